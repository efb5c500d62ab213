"""Serve the studio: ``python app.py``. Also the entrance of a Hugging Face Space."""

import os
from pathlib import Path

from app.host import here
from app.ui import build, launch_options

own_zoo = os.environ.get("RFT_ZOO")
demo = build(zoo_file=Path(own_zoo) if own_zoo else None, host=here(os.environ))

if __name__ == "__main__":
    demo.launch(**launch_options())
