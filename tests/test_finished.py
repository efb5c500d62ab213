"""Finished runs as cards, and the names by which checkpoints find each other."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from rft import finished, hub, loading, machine, place, zoo
from rft.config import Config
from rft.errors import CheckpointError, InputError
from rft.evaluate import Share
from rft.run import Run
from rft.runs import create
from rft.scenes import make

PLENTY = machine.Memory(10**12)
BASE = zoo.ROOT / "assets" / "tiny" / "base"


def adapter(folder: Path, base: str) -> Path:
    """The smallest folder that is an adapter by its headers."""
    folder.mkdir(parents=True)
    (folder / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": base}))
    header = json.dumps({"w": {"dtype": "F32", "shape": [5], "data_offsets": [0, 20]}}).encode()
    weights = len(header).to_bytes(8, "little") + header + bytes(20)
    (folder / "adapter_model.safetensors").write_bytes(weights)
    return folder


def run_of(root: Path, checkpoint: str = "tiny-base", base: str = "assets/tiny/base",
           title: str = "Few-shot", **fields: Any) -> Run:  # fmt: skip
    """A run that ended well, without having been trained."""
    config = Config(checkpoint=checkpoint, samples=8,
                    **{"method": "grpo", "steps": 40, **fields})  # fmt: skip
    run = create(
        root, config, [make("counting", "train", i, 48) for i in range(8)], [], title=title
    )
    adapter(run.final, base)
    for name, right in (("before", 15), ("after", 35)):
        shares = {"strict": Share(right, 64).record(), "lenient": Share(right + 1, 64).record()}
        written = {**shares, "answers": []}
        (run.folder / f"{name}.json").write_text(json.dumps(written))
    (run.folder / "done").write_text(json.dumps({"seconds": 1, "steps": 40}))
    return run


def test_a_finished_run_is_a_card(tmp_path: Path) -> None:
    run = run_of(tmp_path / "runs")
    assert not [card for card in zoo.cards() if card.run]
    (card,) = [card for card in zoo.cards(runs=tmp_path / "runs") if card.run]
    assert (card.id, card.where) == (str(run.folder), str(run.final))
    assert (card.title, card.task, card.stage) == ("Few-shot", "counting", "zero")
    assert (card.family, card.bundled) == ("qwen2_vl", False)
    assert card.parameters == zoo.card_for("tiny-base").parameters + 5
    assert list(card.measured.items()) == [
        ("Before", "23% [15, 35]"), ("After", "55% [43, 66]"), ("Held-out", "64"),
    ]  # fmt: skip
    assert card.note == "Started from Tiny base: 40 steps of GRPO on 8 examples of visual counting."
    assert zoo.state(card, PLENTY).kind == "cached"
    for typed in (run.folder, run.final, f"{run.folder}/"):
        assert zoo.card_for(str(typed)) == card
    assert place.folder(str(run.folder)) == run.final


def test_ans_sft_is_measured_by_bare_answers(tmp_path: Path) -> None:
    run = run_of(tmp_path, method="ans-sft", sft_steps=5, steps=0)
    assert zoo.card_for(str(run.folder)).measured["After"] == "56% [44, 68]"


def test_runs_come_last_and_the_newest_first(tmp_path: Path) -> None:
    first, second = (run_of(tmp_path, title=title) for title in ("one", "two"))
    first.folder.rename(first.folder.with_name("20200101-000000-one"))
    listed = zoo.cards(runs=tmp_path)
    assert [card.title for card in listed[-2:]] == ["two", "one"]
    assert listed[:-2] == zoo.cards()
    shutil.rmtree(second.folder)
    assert [card.title for card in zoo.cards(runs=tmp_path) if card.run] == ["one"]


@pytest.mark.parametrize(
    ("fields", "stage"),
    [
        ({"checkpoint": "tiny-base"}, "zero"),
        ({"checkpoint": "tiny"}, "zero"),
        ({"checkpoint": "assets/tiny/base"}, "zero"),
        ({"checkpoint": str(BASE)}, "zero"),
        ({"checkpoint": "Qwen/Qwen2-VL-2B-Instruct"}, "zero"),
        ({"checkpoint": "somebody/unknown"}, "zero"),
        ({"checkpoint": "tiny-counting-cot-sft"}, "sft+grpo"),
        ({"checkpoint": "counting-2b-rft"}, "sft+grpo"),
        ({"checkpoint": "tiny-base", "method": "cot-sft", "sft_steps": 5}, "cot-sft"),
        ({"checkpoint": "tiny-base", "method": "ans-sft", "sft_steps": 5}, "ans-sft"),
        (
            {"checkpoint": "tiny-base", "method": "sft+grpo", "sft_steps": 5, "steps": 5,
             "sft_samples": 4, "batch": 4, "samples": 8},
            "sft+grpo",
        ),
    ],
)  # fmt: skip
def test_the_stage_by_method_and_start(fields: dict[str, Any], stage: str) -> None:
    config = Config(**{"method": "grpo", "steps": 5, **fields})
    assert finished.stage(config) == stage


def test_a_run_from_a_run_is_what_both_made_of_it(tmp_path: Path) -> None:
    taught = run_of(tmp_path, method="cot-sft", sft_steps=5, steps=0, title="Taught")
    more = run_of(tmp_path, checkpoint=str(taught.folder), title="More")
    again = run_of(tmp_path, checkpoint=str(more.final), title="Again")
    zero = run_of(tmp_path, checkpoint=str(run_of(tmp_path).folder))
    stages = [zoo.card_for(str(run.folder)).stage for run in (taught, more, again, zero)]
    assert stages == ["cot-sft", "sft+grpo", "sft+grpo", "zero"]
    assert zoo.card_for(str(more.folder)).note.startswith("Started from Taught: 40 steps of GRPO")
    # One that names itself comes to an end.
    config = json.loads((more.folder / "config.json").read_text())
    (more.folder / "config.json").write_text(json.dumps({**config, "checkpoint": str(more.folder)}))
    assert finished.stage(more.config) == "zero"


def test_a_run_in_this_repository_is_called_by_its_path_there() -> None:
    assert finished.name_of(zoo.ROOT / "runs" / "mine") == "runs/mine"
    assert finished.name_of(Path("/elsewhere/mine")) == "/elsewhere/mine"


def test_paths_count_from_the_repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert zoo.card_for("assets/tiny/base").id == "tiny-base"
    assert zoo.card_for(str(BASE)).id == "tiny-base"


def test_runs_that_are_no_checkpoint_say_so(tmp_path: Path) -> None:
    run = run_of(tmp_path)
    (run.folder / "done").unlink()
    (run.folder / "error.txt").write_text("The loss became NaN: lower the learning rate.")
    assert not [card for card in zoo.cards(runs=tmp_path) if card.run]
    with pytest.raises(InputError, match=r"“Few-shot” has no finished checkpoint \(it is error\)"):
        zoo.card_for(str(run.folder))
    broken = run_of(tmp_path, title="broken")
    (broken.folder / "config.json").write_text('{"version": 99}')
    assert not [card for card in zoo.cards(runs=tmp_path) if card.run]
    with pytest.raises(InputError, match="newer version"):
        zoo.card_for(str(broken.folder))
    damaged = run_of(tmp_path, title="damaged")
    (damaged.final / "adapter_model.safetensors").write_bytes(b"")
    card = next(card for card in zoo.cards(runs=tmp_path) if card.run)
    assert card.title == "damaged" and "damaged" in zoo.state(card, PLENTY).sentence


def test_odd_reports_do_not_break_a_card(tmp_path: Path) -> None:
    run = run_of(tmp_path)
    for written in ("{", "[]", '{"strict": 3}', '{"strict": {"rate": null}}'):
        (run.folder / "after.json").write_text(written)
        assert set(zoo.card_for(str(run.folder)).measured) == {"Before", "Held-out"}


def test_an_adapter_finds_its_base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(BASE, tmp_path / "own")
    run = run_of(tmp_path / "runs", base="../start")
    shutil.copytree(BASE, run.folder / "start")
    known = {
        "assets/tiny/base": BASE,
        "tiny-base": BASE,
        str(BASE): BASE,
        "own": Path("own"),
    }
    for base, folder in known.items():
        made = adapter(tmp_path / "adapters" / base.replace("/", "-"), base)
        assert place.folder(base, made) == folder
        assert loading.find(base, made) == folder
        assert zoo.card_for(str(made)).family == "qwen2_vl"
        assert zoo.state(zoo.card_for(str(made)), PLENTY).kind == "cached"
    assert place.folder("../start", run.final).resolve() == (run.folder / "start").resolve()
    assert zoo.card_for(str(run.folder)).family == "qwen2_vl"


def test_a_base_that_is_not_here_is_named(tmp_path: Path) -> None:
    for base in ("Qwen/Qwen2-VL-2B-Instruct", "qwen2-vl-2b", "/gone/base", "x" * 5000, "~nobody/x"):
        assert place.folder(base) is None
    if hub.snapshot("Qwen/Qwen2-VL-2B-Instruct") is not None:
        pytest.skip("the 2B base is in this machine's cache")
    run = run_of(tmp_path, base="Qwen/Qwen2-VL-2B-Instruct")
    card = zoo.card_for(str(run.folder))
    assert zoo.state(card, PLENTY).kind == "unavailable"
    assert "An adapter of Qwen/Qwen2-VL-2B-Instruct" in zoo.state(card, PLENTY).sentence
    with pytest.raises(CheckpointError, match="neither a folder nor a downloaded"):
        loading.load_model(run.final)
