"""A config is checked when it is made, in sentences that say what to change."""

import json
from pathlib import Path

import pytest

from rft.config import VERSION, Config
from rft.errors import InputError

GOOD = {"checkpoint": "tiny-base", "method": "grpo", "steps": 10}


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"method": "dpo"}, "method must be one of"),
        ({"task": "poetry"}, "task must be one of"),
        ({"samples": 0}, "samples must be at least 1"),
        ({"steps": 0}, "needs steps"),
        ({"method": "cot-sft"}, "needs sft_steps"),
        ({"method": "sft+grpo", "sft_steps": 2, "sft_samples": 32}, "choose 1 to 31"),
        ({"generations": 1}, "at least 2"),
        ({"batch": 64}, "set batch to at most 32"),
        ({"learning_rate": 3.0}, "between 0 and 1"),
        ({"warmup": 1.5}, "share"),
        ({"temperature": 0}, "completions that differ"),
        ({"temperature": float("inf")}, "completions that differ"),
        ({"beta": -1}, "cannot be negative"),
        ({"train_vision": True}, "set rank to 0"),
        ({"rank": 0, "four_bit": True}, "4-bit"),
        ({"targets": []}, "targets"),
        ({"rewards": [["format", 0]]}, "nothing to learn"),
        ({"rewards": [["praise", 1]]}, "No reward is named"),
        ({"data": "elsewhere"}, "lessons/NAME"),
        ({"data": "lessons/base"}, "GRPO needs problems"),
        ({"speed": 1}, "unknown field 'speed'"),
        ({"steps": "many"}, "steps cannot be 'many'"),
        ({"steps": True}, "steps cannot be True"),
        ({"rewards": [["format"]]}, "rewards cannot be"),
        ({"version": VERSION + 1}, "update the Studio"),
        ({"checkpoint": ""}, "choose the checkpoint"),
    ],
)
def test_what_cannot_work_is_said_with_what_to_change(change: dict, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        Config.made({**GOOD, **change})


def test_a_config_comes_back_from_its_file(tmp_path: Path) -> None:
    config = Config.made({**GOOD, "rewards": [["accuracy", 1], ["format", 0.5]]})
    config.save(tmp_path / "config.json")
    assert Config.read(tmp_path / "config.json") == config
    assert config.total_steps == 10 and config.reinforced and not config.supervised


def test_a_file_that_is_no_config_is_named(tmp_path: Path) -> None:
    file = tmp_path / "config.json"
    for text, sentence in (("{", "no readable config"), ("[]", "one JSON object"),
                           (json.dumps({"method": "grpo"}), "are needed")):  # fmt: skip
        file.write_text(text)
        with pytest.raises(InputError, match=sentence):
            Config.read(file)
