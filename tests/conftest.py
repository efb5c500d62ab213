"""What all tests share: no network, and the same small things built once."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from playwright.sync_api import Browser

# Before anything imports huggingface_hub or gradio, which read these while being imported.
os.environ.update(
    HF_HUB_OFFLINE="1", HF_HUB_DISABLE_TELEMETRY="1", GRADIO_ANALYTICS_ENABLED="False"
)

# Laws are about values; on shared cores, the time of one example says nothing.
settings.register_profile("values", deadline=None)
settings.load_profile("values")


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained tiny checkpoint: for what needs a model but not what it says. Read only."""
    from rft.tiny import build

    return build(tmp_path_factory.mktemp("checkpoint") / "tiny", seed=1)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium, installed where it is missing."""
    from playwright.sync_api import sync_playwright
    from visiting import ARGUMENTS, chromium

    path = chromium()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        yield browser
        browser.close()
