"""Serve the studio: ``python app.py``. Also the entrance of a Hugging Face Space."""

import os
from pathlib import Path

from app import stubs

stubs.skip()  # before Gradio is imported

from app.host import here  # noqa: E402
from app.ui import build, launch_options  # noqa: E402

own_zoo = os.environ.get("RFT_ZOO")
demo = build(zoo_file=Path(own_zoo) if own_zoo else None, host=here(os.environ))

if __name__ == "__main__":
    demo.launch(**launch_options())
