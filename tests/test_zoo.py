"""Cards: the released facts, what this machine can run, and what a user types."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from bundled import COUNTING

from rft import cards, machine, promptfile, tasks, zoo
from rft.checkpoint import FAMILIES, inspect
from rft.errors import InputError
from rft.retrain import EARLIER

PLENTY = machine.Memory(10**12)


@pytest.fixture(scope="module")
def by_id() -> dict[str, zoo.Card]:
    return {card.id: card for card in zoo.cards()}


def test_listing_needs_no_torch() -> None:
    code = "import sys; from rft import zoo; [zoo.state(c) for c in zoo.cards()]\n"
    code += "print([m for m in ('torch', 'transformers', 'gradio') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_released_zoo(by_id: dict[str, zoo.Card]) -> None:
    released = [card for card in by_id.values() if card.where.startswith("tanhuajie2001/")]
    names = {"counting": "Visual-Counting", "structure": "Structure-Perception"}
    names["spatial"] = "Spatial-Transformation"
    expected = {
        f"tanhuajie2001/Reason-RFT-{zero}{name}-Qwen2-VL-{size}": (task, size, stage)
        for zero, stage in (("Zero-", "zero"), ("", "sft+grpo"))
        for task, name in names.items()
        for size in ("2B", "7B")
    }
    assert {card.where: (card.task, card.size, card.stage) for card in released} == expected
    columns = {"counting": 3, "structure": 2, "spatial": 3}
    assert all(len(card.reported) == columns[card.task] for card in released if card.task)
    assert by_id["counting-2b-zero"].reported["Counting ID"] == 98.4
    assert by_id["spatial-7b-rft"].reported == {
        "Spatial ID": 79.97, "Spatial left": 59.36, "Spatial right": 58.61,
    }  # fmt: skip
    assert list(by_id["qwen2-vl-7b"].reported.values())[3:5] == [43.3, 43.88]
    assert {by_id["robobrain-3b"].family, by_id["robobrain-7b"].family} == {"qwen2_5_vl"}
    assert {card.family for card in by_id.values()} <= set(FAMILIES)


def test_bundled_cards_are_folders_of_this_repository(by_id: dict[str, zoo.Card]) -> None:
    bundled = [card for card in by_id.values() if card.bundled]
    there = {folder.name for folder in (zoo.ROOT / "assets" / "tiny").iterdir()}
    assert {card.id for card in bundled} == {f"tiny-{name}" for name in there - set(EARLIER)}
    assert COUNTING[0].id == "tiny-base" and len(COUNTING) > 1
    for card in bundled:
        assert Path(card.where).is_relative_to(zoo.ROOT)
        assert card.download_bytes == 0


def test_what_is_still_to_be_trained_has_no_card(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "assets" / "tiny" / "spatial-zero").mkdir(parents=True)
    monkeypatch.setattr(cards, "ROOT", tmp_path)
    found = {card.id for card in cards.read_cards()}
    assert {name for name in found if name.startswith("tiny-")} == {"tiny-spatial-zero"}
    assert "counting-2b-zero" in found


@pytest.mark.parametrize("name", [card.id for card in zoo.cards() if card.bundled])
def test_bundled_checkpoints_are_what_their_cards_say(
    by_id: dict[str, zoo.Card], name: str
) -> None:
    card = by_id[name]
    facts = inspect(Path(card.where))
    parameters = facts.parameters
    if facts.base is not None:  # an adapter
        assert (zoo.ROOT / facts.base).samefile(by_id["tiny-base"].where)
        facts = inspect(Path(by_id["tiny-base"].where))
        parameters += facts.parameters
    assert facts.family == card.family
    assert abs(parameters - card.parameters) < 0.15 * card.parameters
    assert zoo.state(card, PLENTY).kind == "bundled"
    assert max(f.stat().st_size for f in Path(card.where).iterdir()) < 9_500_000


def test_states_say_their_numbers(by_id: dict[str, zoo.Card], tiny: Path) -> None:
    seven = by_id["counting-7b-rft"]
    small = machine.Memory(6_100_000_000)
    assert zoo.state(seven, small) == zoo.State(
        "too-large", "Needs 17.8 GB, this machine has 6.1 GB free."
    )
    assert zoo.state(seven, replace(small, gpu=8 * 10**9)).sentence.endswith(
        "8.0 GB free on its GPU."
    )
    away = zoo.state(seven, PLENTY)
    assert away.kind == "unavailable"  # the tests run with HF_HUB_OFFLINE=1
    assert "unset it to download, or give the path of a local folder" in away.sentence
    local = zoo.card_for(str(tiny))
    assert zoo.state(local, PLENTY).kind == "cached"
    assert zoo.state(replace(local, bundled=True), PLENTY).kind == "bundled"
    gone = zoo.state(replace(local, where=str(tiny / "gone")), PLENTY)
    assert (gone.kind, "missing" in gone.sentence) == ("unavailable", True)


def test_this_machine_has_memory() -> None:
    assert machine.memory().main > 10**8
    assert (machine.gb(17_800_000_000), machine.gb(12_000_000)) == ("17.8 GB", "12 MB")


@pytest.mark.parametrize(
    ("files", "free"),
    [
        (
            {
                "memory.max": "1000",
                "memory.current": "400",
                "memory.stat": "anon 1\ninactive_file 50",
            },
            650,
        ),
        ({"memory.max": "100", "memory.current": "400", "memory.stat": ""}, 0),
        ({"memory.max": "max", "memory.current": "400", "memory.stat": ""}, sys.maxsize),
        (
            {
                "memory/memory.limit_in_bytes": "1000",
                "memory/memory.usage_in_bytes": "300",
                "memory/memory.stat": "total_inactive_file 7",
            },
            707,
        ),
        ({}, sys.maxsize),
    ],
)
def test_a_containers_limit(tmp_path: Path, files: dict[str, str], free: int) -> None:
    (tmp_path / "memory").mkdir()
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    assert machine.container_free(tmp_path) == free


def test_a_local_folder(tiny: Path) -> None:
    card = zoo.card_for(f"  '{tiny}' ")
    assert (card.where, card.family, card.task, card.stage) == (str(tiny), "qwen2_vl", None, None)
    assert card.size == "2.6M"
    assert card.memory_bytes > 2 * card.parameters > 0
    assert list(zoo.fetch(card)) == []


def test_known_ids_are_found_without_the_network(by_id: dict[str, zoo.Card]) -> None:
    assert zoo.card_for("counting-2b-zero") == by_id["counting-2b-zero"]
    assert zoo.card_for("Qwen/Qwen2-VL-2B-Instruct") == by_id["qwen2-vl-2b"]


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        ("", "Type the path"),
        ("word", "no Hub id like owner/name"),
        ("/no/such/folder", "There is no folder"),
        ("../../no/where", "There is no folder"),
        ("owner/name with spaces", "There is no folder"),
        ("owner/na\0me", "There is no folder"),
        ("x" * 5000, "is no path"),
        ("https://example.com/owner/name", "There is no folder"),
        ("nobody/nothing", "HF_HUB_OFFLINE is set"),
        ("https://huggingface.co/nobody/nothing", "nobody/nothing is not on this machine"),
        (__file__, "is a file"),
        ("~nosuchuser/x", "give the whole path"),
    ],
)
def test_what_a_user_types_wrong(typed: str, told: str) -> None:
    with pytest.raises(InputError, match=told):
        zoo.card_for(typed)


def test_other_families_are_refused_by_name(tiny: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(tiny, tmp_path / "mine"))
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "model_type": "llama"}))
    with pytest.raises(
        InputError, match=r"mine is a llama checkpoint; the Studio runs the Qwen2-VL"
    ):
        zoo.card_for(str(folder))


OWN = """
[[card]]
id = "spatial-2b-rft"
prompt_file = "prompt.txt"

[[card]]
id = "mine"
title = "Mine"
where = "checkpoints/mine"
task = "counting"
stage = "ans-sft"
"""


def test_a_users_own_file_overlays_and_extends(
    tiny: Path, tmp_path: Path, by_id: dict[str, zoo.Card]
) -> None:
    (tmp_path / "own.toml").write_text(OWN)
    (tmp_path / "prompt.txt").write_text("Find the functions. {Q}\n")
    shutil.copytree(tiny, tmp_path / "checkpoints" / "mine")
    own = {card.id: card for card in zoo.cards(tmp_path / "own.toml")}
    assert list(own) == [*by_id, "mine"]
    spatial = own["spatial-2b-rft"]
    assert replace(spatial, prompt_file=None) == by_id["spatial-2b-rft"]
    assert zoo.instruction(spatial) == promptfile.Instruction("Find the functions. {Q}\n", False)
    assert zoo.instruction(by_id["spatial-2b-rft"]) is None
    assert own["mine"].where == str(tmp_path / "checkpoints" / "mine")
    assert (own["mine"].family, own["mine"].stage) == ("qwen2_vl", "ans-sft")
    assert zoo.state(own["mine"], PLENTY).kind == "cached"
    assert zoo.card_for("mine", tmp_path / "own.toml") == own["mine"]


@pytest.mark.parametrize(
    ("written", "told"),
    [
        ("[[card]\n", "cannot be read"),
        ("[[card]]\ntitle = 'x'\n", "needs an id"),
        ("[[card]]\nid = 'x'\n", "needs `where`"),
        ("[[card]]\nid = 'x'\nwhere = 'a/b'\nprompt = 'p'\n", "unknown field 'prompt'"),
        ("[[card]]\nid = 'x'\nwhere = 'a/b'\nmodel = 'GPT'\n", "no known model"),
        ("[[card]]\nid = 'x'\nwhere = 'a/b'\ntask = 'chess'\n", "task 'chess'"),
        ("[[card]]\nid = 'x'\nwhere = 'a/b'\nstage = 'rl'\n", "stage 'rl'"),
        ("[[card]]\nid = 'x'\nwhere = 'a/b'\nreported = [1.0]\n", "1 numbers for 8 columns"),
        ("[[card]]\nid = 'x'\nwhere = 5\n", "where"),
        ("[[card]]\nid = 'x'\nwhere = '~nobody-here/x'\n", "`where` in the home of a user"),
        (
            "[[card]]\nid = 'x'\nwhere = 'a/b'\nprompt_file = '~nobody-here/x'\n",
            "`prompt_file` in the home of a user",
        ),
        ("card = 3\n", "card"),
        ("card = ['x']\n", "needs an id"),
        ("[[card]]\nid = 'x'\nwhere = 'a/b'\nreported = 3\n", "list of numbers"),
        ("[[card]]\nid = 'x'\nwhere = 'a/b'\nmeasured = 3\n", "not a table"),
        ("model = 3\n", "model"),
        ("[model.x]\nsize = '1B'\n[[card]]\nid='x'\nwhere='a/b'\nmodel='x'\n", "model"),
    ],
)
def test_a_users_file_with_mistakes(tmp_path: Path, written: str, told: str) -> None:
    (tmp_path / "own.toml").write_text(written)
    with pytest.raises(InputError, match=told):
        zoo.cards(tmp_path / "own.toml")


def test_a_users_card_whose_folder_is_broken_is_listed(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "own.toml").write_text("[[card]]\nid = 'x'\nwhere = 'empty'\n")
    card = zoo.cards(tmp_path / "own.toml")[-1]
    assert zoo.state(card, PLENTY).kind == "unavailable"
    assert "no config.json" in zoo.state(card, PLENTY).sentence


def test_the_trained_prompt_is_known_by_its_hash(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "The words that trained it."
    digest = hashlib.sha256(text.encode()).hexdigest()
    monkeypatch.setattr(tasks, "TRAINED_INSTRUCTION_SHA256", digest)
    expected = promptfile.Instruction(text, True)
    for name, written in (
        ("a.txt", text),
        ("b.txt", text + "\n"),
        ("c.txt", text + "\r\n"),
        ("d.py", f"import nowhere\nX = 'a longer one, {text}'\nPROMPT = {text!r}\n"),
    ):
        (tmp_path / name).write_text(written, newline="")
        assert promptfile.read_instruction(tmp_path / name) == expected, name
    (tmp_path / "e.txt").write_text("Other words.")
    assert not promptfile.read_instruction(tmp_path / "e.txt").trained


@pytest.mark.parametrize(
    ("name", "written", "told"),
    [
        ("a.txt", b"\xff\xfe\x00", "cannot be read"),
        ("a.txt", b" \n", "holds no text"),
        ("a.py", b"def", "not valid Python"),
        ("a.py", b"x = 1", "holds no text"),
    ],
)
def test_prompt_files_that_cannot_be_used(
    tmp_path: Path, name: str, written: bytes, told: str
) -> None:
    (tmp_path / name).write_bytes(written)
    with pytest.raises(InputError, match=told):
        promptfile.read_instruction(tmp_path / name)
    with pytest.raises(InputError, match="cannot be read"):
        promptfile.read_instruction(tmp_path / "nowhere.txt")


@pytest.mark.parametrize("size", [1, 2])
def test_adapters_that_name_themselves_or_each_other(tmp_path: Path, size: int) -> None:
    folders = [tmp_path / f"adapter{i}" for i in range(size)]
    for folder, base in zip(folders, [*folders[1:], folders[0]], strict=True):
        folder.mkdir()
        written = json.dumps({"base_model_name_or_path": str(base)})
        (folder / "adapter_config.json").write_text(written)
        header = b"{}"
        length = len(header).to_bytes(8, "little")
        (folder / "adapter_model.safetensors").write_bytes(length + header)
    with pytest.raises(InputError, match="merge it first"):
        zoo.card_for(str(folders[0]))
