"""Data folders: written, read back, read in all published forms, and refused by the row."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from rft import data
from rft.data import load, pick, write
from rft.errors import InputError
from rft.records import read, strip_prompt, thought, unwrap
from rft.scenes import SPLITS, make
from rft.shelf import MARKER
from rft.types import Problem

PUBLISHED = {
    "train_jsons/A3-Visual-Counting-train-35k-cot.json": "counting",
    "train_jsons/A2-Structure-Perception-train-4k5-cot.json": "structure",
    "train_jsons/A1-Spatial-Transformation-train-60k-cot.json": "spatial",
    "test_jsons/Visual-Counting-id-test-1k.json": "counting",
    "test_jsons/Visual-Counting-ood-test-1k.json": "counting",
    "test_jsons/Structure-Perception-id-test-820.json": "structure",
    "test_jsons/Structure-Perception-ood-test-800.json": "structure",
    "test_jsons/Spatial-Transformation-id-test-1k.json": "spatial",
    "test_jsons/Spatial-Transformation-ood-left-test-1k.json": "spatial",
    "test_jsons/Spatial-Transformation-ood-right-test-1k.json": "spatial",
}


def problem(number: int, kind: str = "count", image: Path | None = None) -> Problem:
    picture = image or Image.new("RGB", (28, 28), (number % 256, 0, 0))
    return Problem(f"c-{number}", "counting", (picture,), f"Question {number}?", "3", "1+2=3", kind)


def row(**changes) -> dict:
    """A good published counting record, changed; a value of ... removes the field."""
    base = {
        "id": "r1",
        "image": "a.png",
        "problem": "How many?",
        "answer": "3",
        "cot": "One, two, three.",
    }
    base.update(changes)
    return {name: value for name, value in base.items() if value is not ...}


def folder_of(tmp_path: Path, rows: object, name: str = "Visual-Counting-id-test-1k.json") -> Path:
    """A folder with this JSON file (text is written as it is) and the images a.png and b.png."""
    half = "train" if "train" in name else "test"
    for sub in (f"{half}_jsons", f"images/{half}_images"):
        (tmp_path / sub).mkdir(parents=True, exist_ok=True)
    for image in ("a.png", "b.png"):
        Image.new("RGB", (28, 28)).save(tmp_path / f"images/{half}_images" / image)
    text = rows if isinstance(rows, str) else json.dumps(rows)
    (tmp_path / f"{half}_jsons" / name).write_text(text)
    return tmp_path


def refusal(path: Path, *words: str, **choice) -> str:
    with pytest.raises(InputError) as caught:
        load(path, **choice)
    for word in words:
        assert word in str(caught.value), str(caught.value)
    return str(caught.value)


# Writing, and reading back


def test_the_layout_is_the_published_one(tmp_path):
    pair = Problem(
        "s/1", "spatial", (Image.new("RGB", (28, 28)),) * 2, "What?", "change_size(0, 'small')"
    )
    file = write([problem(1), problem(2)], tmp_path, "train", {"seed": 5})
    other = write([pair], tmp_path, "ood-left")
    assert file == tmp_path / "train_jsons/Visual-Counting-train-cot.json"
    assert other == tmp_path / "test_jsons/Spatial-Transformation-ood-left-test.json"
    first = json.loads(file.read_text())[0]
    assert list(first) == ["id", "image", "problem", "answer", "cot", "kind"]
    assert first["image"] == "images/train_images/c-1.png" and (tmp_path / first["image"]).is_file()
    images = json.loads(other.read_text())[0]["image"]
    assert images == ["images/test_images/s_1-0.png", "images/test_images/s_1-1.png"]
    marker = json.loads((tmp_path / MARKER).read_text())
    assert marker["files"]["train_jsons/Visual-Counting-train-cot.json"] == {
        "task": "counting", "split": "train", "problems": 2, "seed": 5,
    }  # fmt: skip


@pytest.mark.parametrize("task", list(SPLITS))
def test_what_is_written_is_read_back(task, tmp_path):
    for split in SPLITS[task]:
        made = [make(task, split, seed, 112) for seed in range(4)]
        write(made, tmp_path, split)
        found = load(tmp_path, task, split)
        assert [replace(p, images=()) for p in found] == [replace(p, images=()) for p in made]
        for mine, theirs in zip(made, found, strict=True):
            for picture, path in zip(mine.images, theirs.images, strict=True):
                assert Image.open(path).tobytes() == picture.tobytes()


def test_splits_of_a_folder_are_not_mixed(tmp_path):
    for split in SPLITS["counting"]:
        write([problem(1)], tmp_path, split)
    refusal(tmp_path, "id, ood, train", "Say which split")
    assert len(load(tmp_path, split="id")) == 1
    refusal(tmp_path, "holds nothing for spatial id", "Visual-Counting", task="spatial", split="id")


def test_writing_a_split_again_replaces_it_and_leaves_the_others(tmp_path):
    write([problem(n) for n in range(5)], tmp_path, "train")
    write([problem(n) for n in range(5)], tmp_path, "id")
    write([problem(n) for n in range(4, 7)], tmp_path, "train")
    names = {p.name for p in (tmp_path / "images/train_images").iterdir()}
    assert names == {"c-4.png", "c-5.png", "c-6.png"}
    assert len(load(tmp_path, split="id")) == 5
    assert not list(tmp_path.rglob("*.part"))


def test_a_folder_of_somebody_else_is_not_touched(tmp_path):
    (tmp_path / "thesis.tex").write_text("x")
    with pytest.raises(InputError, match="new or an empty folder"):
        write([problem(1)], tmp_path, "train")
    (tmp_path / MARKER).write_text("[]")
    with pytest.raises(InputError, match="new or an empty folder"):
        write([problem(1)], tmp_path, "train")
    with pytest.raises(InputError, match="is a file"):
        write([problem(1)], tmp_path / "thesis.tex", "train")
    assert sorted(p.name for p in tmp_path.iterdir()) == [MARKER, "thesis.tex"]


def test_what_cannot_be_written(tmp_path):
    with pytest.raises(InputError, match="called c-1"):
        write([problem(1), problem(1)], tmp_path, "train")
    with pytest.raises(InputError, match="no split 'ood-left'"):
        write([problem(1)], tmp_path, "ood-left")
    with pytest.raises(InputError, match="no problem"):
        write([], tmp_path, "train")
    with pytest.raises(InputError, match="Write them apart"):
        write([problem(1), replace(problem(2), task="structure")], tmp_path, "train")


def test_an_id_cannot_name_a_place(tmp_path):
    write([replace(problem(1), id="../../evil\0/ü")], tmp_path / "out", "train")
    assert not list(tmp_path.glob("evil*"))
    (found,) = load(tmp_path / "out")
    assert found.id == "../../evil\0/ü" and found.images[0].parent.name == "train_images"


# Reading the published forms


def test_the_published_folder(tmp_path):
    for name, task in PUBLISHED.items():
        images = ["a.png", "b.png"] if task == "spatial" else "a.png"
        folder_of(tmp_path, [row(image=images)], name.split("/")[1])
    for task, splits in SPLITS.items():
        for split in splits:
            (found,) = load(tmp_path, task, split)
            half = "train" if split == "train" else "test"
            assert found.task == task
            assert found.images[0] == tmp_path / f"images/{half}_images/a.png"
    assert {p.task for p in load(tmp_path, split="id")} == set(SPLITS)
    (one,) = load(tmp_path / "test_jsons/Visual-Counting-id-test-1k.json")
    assert one == Problem("r1", "counting", (tmp_path / "images/test_images/a.png",), "How many?", "3", "One, two, three.")  # fmt: skip
    assert load(tmp_path / "test_jsons", "counting", "id") == [one]


@pytest.mark.parametrize(
    "image",
    [
        "a.png",
        "./a.png",
        "test_images/a.png",
        "images/test_images/a.png",
        "images\\test_images\\a.png",
    ],
)
def test_image_names_may_count_from_several_places(image, tmp_path):
    (found,) = load(folder_of(tmp_path, [row(image=image)]))
    assert found.images == (tmp_path / "images/test_images/a.png",)


def test_the_own_half_of_the_images_comes_first(tmp_path):
    folder_of(tmp_path, [row()])
    folder_of(tmp_path, [row()], "Visual-Counting-train-x.json")
    for split, half in (("train", "train"), ("id", "test")):
        assert load(tmp_path, split=split)[0].images[0].parent.name == f"{half}_images"


def test_rl_form_sft_form_and_lines(tmp_path):
    reply = "<think>\nOne and two.\n</think>\n<answer>\n3\n</answer>"
    asked = (
        "<image>\nHow many? Output the thinking process in <think> </think> and final answer "
        "(number) in <answer> </answer> tags."
    )
    rows = [
        row(answer=..., cot=..., solution="<answer> 3 </answer>"),
        {"messages": [{"role": "system", "content": "Be kind."}, {"role": "user", "content": asked},
                      {"role": "assistant", "content": reply}], "images": ["a.png"]},
        {"conversations": [{"from": "human", "value": asked}, {"from": "gpt", "value": "3"}],
         "image": "a.png"},
        row(id=7, answer=3, cot=reply),
        row(problem="<image>" + "How many?", cot=None, answer="<answer>3</answer>"),
    ]  # fmt: skip
    text = "\ufeff" + "\r\n".join(json.dumps(r) for r in rows) + "\n\n"
    file = (
        folder_of(tmp_path, text, "Visual-Counting-rl.jsonl")
        / "test_jsons/Visual-Counting-rl.jsonl"
    )
    found = load(file)
    assert [p.question for p in found] == ["How many?"] * 5
    assert [p.answer for p in found] == ["3"] * 5
    assert [p.cot for p in found] == ["", "One and two.", "", "One and two.", ""]
    assert [p.id for p in found] == [
        "r1",
        "Visual-Counting-rl-2",
        "Visual-Counting-rl-3",
        "7",
        "r1",
    ]


def test_a_relative_path_from_inside_the_folder(tmp_path, monkeypatch):
    folder = folder_of(tmp_path, [row()])
    monkeypatch.chdir(folder / "test_jsons")
    (found,) = load(Path("Visual-Counting-id-test-1k.json"))
    assert found.images == (folder / "images/test_images/a.png",)


def test_a_file_without_a_telling_name(tmp_path):
    Image.new("RGB", (28, 28)).save(tmp_path / "a.png")
    file = tmp_path / "mine.json"
    file.write_text(json.dumps([row()]))
    refusal(file, "does not tell its task")
    assert load(file, "structure")[0].kind == "numeric"
    file.write_text(json.dumps([row(image=["a.png", "a.png"])]))
    assert load(tmp_path)[0].task == "spatial"


@pytest.mark.parametrize(
    ("cot", "bare"),
    [
        ("a <b> c", "a <b> c"),
        ("<think>\na\n</think>\n<answer>\n3\n</answer>", "a"),
        ("<summary>s</summary><caption>c</caption><think> a </think>", "a"),
        ("a\n<answer>3</answer>", "a"),
        ("<think>a<answer>3</answer>", "a"),
        ("<think>a", "a"),
        ("a</think><answer>3</answer>", "a"),
        ("", ""),
    ],
)
def test_tags_are_taken_off_a_chain_of_thought(cot, bare):
    assert thought(cot) == bare


def test_tags_are_taken_off_an_answer():
    for text in (
        "6",
        " 6\n",
        "<answer>6</answer>",
        "<think>x</think><answer>\n6\n</answer> so",
        "<answer>6",
    ):
        assert unwrap(text) == "6"


def test_prompts_are_taken_off_questions():
    tasks = pytest.importorskip("rft.tasks")
    question = "What is x?\nA. 1\nB. 2\n<b> & {curly}"
    for task in SPLITS:
        for kind in ("choice", "number"):
            prompt = tasks.prompt_for(task, question, answer_kind=kind)
            assert strip_prompt(prompt, task) == question
    foreign = "Rules of another kind.\n<image>\n<image>\n" + question
    assert strip_prompt(foreign, "spatial") == question
    assert strip_prompt("Why?<image>", "counting") == "Why?"


# Bad rows


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        (row(problem=...), "no field “problem”"),
        (row(problem="  "), "empty problem"),
        (row(problem=["x"]), "“problem” that is a list"),
        (row(answer=...), "no field “answer” or “solution”"),
        (row(answer="<answer> </answer>"), "empty answer"),
        (row(answer=True), "true/false"),
        (row(cot={"a": 1}), "“cot” that is an object"),
        (row(image=...), "no field “image”"),
        (row(image=[]), "neither a file name"),
        (row(image=3), "neither a file name"),
        (row(image=["a.png", "b.png"]), "has 2 image(s), but counting takes 1"),
        (row(image="gone.png"), "“gone.png”, which is not there"),
        (row(image="images"), "which is not there"),
        (row(image="../test_images/a.png"), "outside the data folder"),
        (row(image="/etc/passwd"), "outside the data folder"),
        (row(image="C:\\a.png"), "outside the data folder"),
        (row(image="https://example.org/a.png"), "which is not there"),
        (row(image="/a.png"), "outside the data folder"),
        (row(image=".."), "outside the data folder"),
        (row(image="x\0/a.png"), "which is not there"),
        (row(image="x" * 5000 + "/a.png"), "which is not there"),
        (row(problem="\ud800"), "broken character"),
        ("text", "holds text"),
        (None, "holds nothing"),
        ({"messages": [], "image": "a.png"}, "one user turn"),
        ({"messages": "x", "image": "a.png"}, "one user turn"),
    ],
)
def test_a_bad_row_is_named_by_its_number(bad, words, tmp_path):
    folder = folder_of(tmp_path, [row(), bad, row(id="r3")])
    refusal(folder, "1 of 3 rows", "Visual-Counting-id-test-1k.json, record 2: ", words)


def test_all_bad_rows_are_reported_up_to_a_bound(tmp_path):
    folder = folder_of(tmp_path, [row(image=f"{n}.png") for n in range(50)] + [row()])
    text = refusal(folder, "50 of 51 rows", "record 1:", "record 20:", "… and 30 more")
    assert "record 21:" not in text


def test_bad_lines_of_a_jsonl_are_named(tmp_path):
    lines = [json.dumps(row()), '{"id": ', "", json.dumps(row()), "[" * 100_000, "9" * 5000]
    name = "Visual-Counting-id.jsonl"
    file = folder_of(tmp_path, "\n".join(lines), name) / "test_jsons" / name
    refusal(file, "3 of 5 rows", "line 2: is not valid JSON", "line 5: ", "line 6: ")


def test_files_that_are_no_data(tmp_path):
    name = "Visual-Counting-id-test-1k.json"
    for text, word in (
        ("{", "not valid JSON"),
        ('{"a": 1}', "list of records"),
        ("[]", "no problems"),
        ("", "not valid JSON"),
    ):
        refusal(folder_of(tmp_path / str(len(text)), text), word)
    file = folder_of(tmp_path / "x", "[]") / "test_jsons" / name
    file.write_bytes(b"[\xff]")
    refusal(file, "not UTF-8")
    refusal(tmp_path / "gone", "does not exist")
    (tmp_path / "empty").mkdir()
    refusal(tmp_path / "empty", "no JSON or JSONL")


def test_links_do_not_lead_out_of_the_folder(tmp_path):
    folder = folder_of(tmp_path / "set", [row(image="link.png")])
    outside = tmp_path / "secret.png"
    Image.new("RGB", (28, 28)).save(outside)
    link = folder / "images/test_images/link.png"
    link.symlink_to(outside)
    refusal(folder, "which is not there")
    link.unlink()
    link.symlink_to("a.png")
    assert load(folder)[0].images[0].name == "link.png"
    link.unlink()
    (folder / "images/away").symlink_to(tmp_path)
    folder_of(folder, [row(image="away/secret.png")])
    refusal(folder, "which is not there")


def test_a_set_in_the_hubs_cache_is_read_through_its_links(tmp_path):
    snapshot = folder_of(tmp_path / "datasets--x/snapshots/0123abc", [row()])
    blobs = tmp_path / "datasets--x/blobs"
    blobs.mkdir()
    image = snapshot / "images/test_images/a.png"
    image.rename(blobs / "ffee")
    image.symlink_to(os.path.relpath(blobs / "ffee", image.parent))
    assert load(snapshot)[0].images == (image,)


def test_sixty_thousand_records_are_read_in_seconds(tmp_path):
    one = json.dumps(row(image=["a.png", "b.png"], problem="x" * 300, cot="y" * 900))
    text = f"[{','.join([one] * 60_000)}]"
    folder = folder_of(tmp_path, text, "Spatial-Transformation-train.json")
    started = time.process_time()
    assert len(load(folder)) == 60_000
    assert time.process_time() - started < 15


def test_read_needs_no_file():
    record = read(row(), "counting", "row-1")
    assert (record.images, record.answer) == (("a.png",), "3")


# Picking


def test_a_pick_is_deterministic_nested_and_stratified():
    kinds = ["a"] * 60 + ["b"] * 30 + ["c"] * 10
    problems = [problem(n, kind) for n, kind in enumerate(kinds)]
    picked = pick(problems, 10, seed=1)
    assert picked == pick(problems, 10, seed=1) != pick(problems, 10, seed=2)
    assert pick(problems, 4, seed=1) == picked[:4]
    assert {p.kind for p in picked[:3]} == {"a", "b", "c"}
    assert Counter(p.kind for p in picked) == {"a": 6, "b": 3, "c": 1}
    assert len({p.id for p in pick(problems, 100, 0)}) == 100
    for k in (0, -1, 101):
        with pytest.raises(InputError, match=f"pick {k} of 100"):
            pick(problems, k, 0)


# The command


def run(*argv: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "rft", "data", *argv], capture_output=True, text=True
    )


def fingerprint(folder: Path) -> dict[str, str]:
    return {
        str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in folder.rglob("*")
        if file.is_file()
    }


def test_the_command_writes_a_folder_and_says_so(tmp_path):
    out = tmp_path / "set"
    argv = ["--task", "counting", "--split", "id", "-n", "6", "--seed", "3", "--size", "112"]
    done = run(*argv, str(out))
    assert done.returncode == 0, done.stderr
    assert "6 problems (" in done.stdout and "Visual-Counting-id-test.json" in done.stdout
    assert "6 of 6 problems" in done.stderr
    problems = load(out)
    assert problems[2].id == make("counting", "id", 3_000_002, 112).id
    assert Image.open(problems[0].images[0]).size == (112, 112)
    before = fingerprint(out)
    assert run(*argv, str(out)).returncode == 0
    assert fingerprint(out) == before


@pytest.mark.parametrize(
    ("argv", "word"),
    [
        (["--task", "counting", "--split", "ood-left", "-n", "2"], "no split 'ood-left'"),
        (["--task", "counting", "--split", "id", "-n", "0"], "-n must be"),
        (["--task", "counting", "--split", "id", "-n", "2", "--size", "5"], "--size 5"),
        (["--task", "driving", "--split", "id", "-n", "2"], "invalid choice"),
    ],
)
def test_the_command_refuses_in_a_sentence_and_leaves_no_folder(argv, word, tmp_path, capsys):
    try:
        code = data.command([*argv, str(tmp_path / "out")])
    except SystemExit as left:  # argparse's own refusals
        code = left.code
    assert code and word in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_the_command_says_when_it_cannot_write(tmp_path, capsys):
    (tmp_path / "file").write_text("x")
    argv = ["--task", "counting", "--split", "id", "-n", "1", str(tmp_path / "file" / "out")]
    assert data.command(argv) == 1
    assert "Choose a folder" in capsys.readouterr().err


def test_the_splits_share_no_image():
    seen: dict[str, str] = {}
    for task, splits in SPLITS.items():
        for split in splits:
            for seed in range(40):
                first = make(task, split, seed, 56).images[0]
                held = seen.setdefault(
                    hashlib.sha256(first.tobytes()).hexdigest(), f"{task}/{split}"
                )
                assert held == f"{task}/{split}"


@pytest.mark.parametrize("task", list(SPLITS))
def test_gold_scores_full_marks_and_an_empty_reply_none(task, tmp_path):
    """Over whole written folders, through the loader: what training will see."""
    tasks = pytest.importorskip("rft.tasks")
    parse = pytest.importorskip("rft.parse").parse
    rubric = tasks.TASKS[task].rubric
    best = sum(weight for _, weight in rubric.weights)
    for split in SPLITS[task]:
        write((make(task, split, seed, 56) for seed in range(25)), tmp_path, split)
        for gold in load(tmp_path, task, split):
            reply = f"<think>\n{gold.cot}\n</think>\n<answer>\n{gold.answer}\n</answer>"
            assert gold.cot and gold.kind
            assert rubric.total(parse(reply), gold) == best
            assert rubric.total(parse(""), gold) == 0
