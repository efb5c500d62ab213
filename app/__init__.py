"""The page. It reads folders and calls ``rft``; it never imports torch itself."""
