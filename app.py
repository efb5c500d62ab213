"""Serve the studio: ``python app.py``. Also the entrance of a Hugging Face Space."""

from app.ui import build, launch_options

demo = build()

if __name__ == "__main__":
    demo.launch(**launch_options())
