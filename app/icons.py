"""The few icons of the page, drawn here: line drawings on a 16 px grid, in the text's colour."""

from __future__ import annotations

_PATHS = {
    "copy": "M5.5 5.5h7v8h-7zM10.5 5.5v-3h-7v8h2",
    "again": "M13 8a5 5 0 1 1-1.6-3.7M13 2.5v3h-3",
    "edit": "M3 13l.7-2.8L10.8 3a1.3 1.3 0 0 1 1.9 0l.3.3a1.3 1.3 0 0 1 0 1.9l-7.2 7.1L3 13z",
    "save": "M8 2.5v7.5M5 7.3l3 3 3-3M3 13h10",
    "clear": "M3 4.5h10M6.5 4.5v-2h3v2M4.5 4.5l.6 9h5.8l.6-9",
    "theme": "M8 2.5a5.5 5.5 0 1 0 5.5 5.5A4.3 4.3 0 0 1 8 2.5z",
    "swap": "M3 6h9M9.5 3.5 12 6l-2.5 2.5M13 10.5H4M6.5 8 4 10.5 6.5 13",
    "close": "M4 4l8 8M12 4l-8 8",
    "tune": "M2.5 5h6M12 5h1.5M2.5 11h1.5M7.5 11h6M10.2 3.4v3.2M5.8 9.4v3.2",
    "right": "M3.5 8.5l3 3 6-7",
    "wrong": "M4 4l8 8M12 4l-8 8",
    "plus": "M8 3v10M3 8h10",
    "layers": "M8 2.5 14 6 8 9.5 2 6zM2.5 9.5 8 12.8l5.5-3.3",
    "play": "M5 3.2v9.6L12.5 8z",
    "stop": "M4 4h8v8H4z",
}


def icon(name: str) -> str:
    """An icon as inline SVG; the button around it carries the words."""
    return (
        '<svg class="icon" viewBox="0 0 16 16" width="16" height="16" fill="none" '
        'stroke="currentColor" stroke-width="1.4" stroke-linecap="round" '
        f'stroke-linejoin="round" aria-hidden="true"><path d="{_PATHS[name]}"/></svg>'
    )
