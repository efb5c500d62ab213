"""What all tests share: no network, and the same small things built once."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

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


@pytest.fixture(scope="session")
def slow(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained checkpoint of many layers: what it says can be stopped on any machine.

    It never ends by itself: the logit of what ends a reply is 0, and those of others are spread.
    """
    from transformers import GenerationConfig, Qwen2VLConfig, Qwen2VLForConditionalGeneration

    folder = shutil.copytree(tiny, tmp_path_factory.mktemp("checkpoint") / "slow")
    config = Qwen2VLConfig.from_pretrained(tiny)
    config.text_config.num_hidden_layers *= 8
    config.text_config.layer_types *= 8
    model = Qwen2VLForConditionalGeneration(config)
    words = model.get_output_embeddings().weight.data.mul_(3)
    words[GenerationConfig.from_pretrained(tiny).eos_token_id] = 0
    model.save_pretrained(folder)
    return folder


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


@dataclass(frozen=True)
class Endpoint:
    """A running tests/endpointserver.py: its base address, and what it has been asked."""

    url: str

    def log(self) -> dict[str, Any]:
        with urllib.request.urlopen(f"{self.url.removesuffix('/v1')}/log") as answer:
            return json.load(answer)

    def asked(self) -> dict[str, Any]:
        """The last request."""
        return self.log()["asked"][-1]


@pytest.fixture(scope="session")
def endpoint() -> Iterator[Endpoint]:
    """A server of the OpenAI chat interface, in a process of its own."""
    file = Path(__file__).with_name("endpointserver.py")
    with subprocess.Popen(
        [sys.executable, str(file)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as server:
        assert server.stdin is not None and server.stdout is not None
        yield Endpoint(server.stdout.readline().strip())
        server.stdin.close()
