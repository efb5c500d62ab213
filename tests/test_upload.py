"""Uploads: honest ones become data folders, hostile ones a sentence and nothing on the disk."""

from __future__ import annotations

import io
import json
import random
import shutil
import stat
import zipfile
from pathlib import Path

import pytest
from PIL import Image

from rft import upload
from rft.data import load, write
from rft.dataset import from_folder
from rft.errors import InputError
from rft.scenes import make
from rft.upload import gather, unpack

ROW = {"id": "r1", "image": "a.png", "problem": "How many?", "answer": "3"}


def png(shade: int = 7) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (28, 28), (shade, 0, 0)).save(out, "PNG")
    return out.getvalue()


def records(*rows: dict) -> str:
    return json.dumps(list(rows) or [ROW])


def packed(tmp_path: Path, *entries, name: str = "set.zip", **how) -> Path:
    """A zip of (name or ZipInfo, content) pairs, after good records and a good image."""
    file = tmp_path / name
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, **how) as archive:
        archive.writestr("Visual-Counting-train.json", records())
        archive.writestr("a.png", png())
        for entry, content in entries:
            archive.writestr(entry, content)
    return file


def refused(file: Path, *words: str) -> None:
    into = file.parent / "into"
    with pytest.raises(InputError) as caught:
        unpack(file, into)
    for word in words:
        assert word in str(caught.value), str(caught.value)
    assert len(str(caught.value)) < 400 and str(caught.value).isprintable()
    assert not into.exists() and not into.with_name("into.part").exists()


@pytest.mark.parametrize("inside", ["", "my set/"])
def test_a_published_folder_is_unpacked_with_or_without_its_own_folder(inside, tmp_path):
    for split in ("train", "id"):
        write((make("counting", split, seed, 56) for seed in range(5)), tmp_path / "set", split)
    with zipfile.ZipFile(tmp_path / "set.ZIP", "w") as archive:
        for file in sorted((tmp_path / "set").rglob("*")):
            archive.write(file, inside + str(file.relative_to(tmp_path / "set")))
        archive.writestr("__MACOSX/._set", "litter")
        archive.writestr(inside + "README.md", "about")
    folder = unpack(tmp_path / "set.ZIP", tmp_path / "into")
    assert folder == tmp_path / "into" / inside
    chosen = from_folder(folder, 4, 3, 0)
    assert len(chosen.train) == 4 and len(chosen.heldout) == 3
    assert not list(folder.rglob("README.md")) and not list(folder.rglob("._set"))


def link(name: str) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name)
    entry.external_attr = (stat.S_IFLNK | 0o777) << 16
    return entry


def raw(name: str) -> zipfile.ZipInfo:
    """An entry under exactly this name, which ZipInfo itself would tidy."""
    entry = zipfile.ZipInfo("x")
    entry.filename = entry.orig_filename = name
    return entry


@pytest.mark.parametrize(
    ("entry", "content", "words"),
    [
        ("../evil.png", png(), ("../evil.png", "outside the archive")),
        ("images/../../evil.png", png(), ("outside the archive",)),
        ("/etc/evil.png", png(), ("/etc/evil.png", "outside")),
        (raw("C:\\evil.png"), png(), ("C:\\evil.png", "outside")),
        (raw("..\\evil.png"), png(), ("outside",)),
        (raw("\\\\host\\share\\evil.png"), png(), ("outside",)),
        (link("b.png"), "/etc/passwd", ("b.png", "is a link")),
        (raw("b\x07.png"), png(), ("“b?.png”", "control characters")),
        (raw("b.png\x00.exe"), png(), ("“b.png?.exe”", "control characters")),
        (raw("\u202egnp.b.png"), png(), ("control characters",)),
        ("b.exe", "MZ", ("b.exe", "neither JSON")),
        ("more.zip", "PK", ("more.zip", "archive within")),
        ("more.tar.gz", "x", ("archive within",)),
        ("b.png", b"\0" * 20_000_000, ("b.png", "padding")),
        ("b.png", b"\0" * 70_000_000, ("b.png", "more than the")),
        ("d/" * 20 + "b.png", png(), ("too many folders",)),
        ("b" * 300 + ".png", png(), ("too long a name",)),
        ("a.png/b.png", png(), ("a.png/b.png", "stands where another")),
        ("deep/./a.png/../b.png", png(), ("outside",)),
    ],
)
def test_a_hostile_entry_is_named_and_nothing_is_written(entry, content, words, tmp_path):
    refused(packed(tmp_path, (entry, content)), *words)


def test_two_entries_of_one_name(tmp_path):
    with pytest.warns(UserWarning):
        file = packed(tmp_path, ("a.png", png(8)))
    refused(file, "a.png", "twice")
    refused(packed(tmp_path, ("./a.png", png(8))), "twice")


def test_an_encrypted_entry_and_an_unusual_method(tmp_path):
    file = packed(tmp_path)
    data = bytearray(file.read_bytes())
    at = data.rfind(b"PK\1\2")
    data[at + 8] |= 1
    file.write_bytes(data)
    refused(file, "a.png", "encrypted")
    entry = zipfile.ZipInfo("b.png")
    entry.compress_type = zipfile.ZIP_LZMA
    refused(packed(tmp_path, (entry, png())), "b.png", "unusual method")


def test_sums_are_bounded(tmp_path, monkeypatch):
    many = [(f"{n}.png", png(n)) for n in range(6)]
    monkeypatch.setattr(upload, "MAX_FILES", 5)
    refused(packed(tmp_path, *many), "more than 5 files")
    monkeypatch.setattr(upload, "MAX_FILES", 50)
    monkeypatch.setattr(upload, "MAX_TOTAL", 1_000)
    refused(packed(tmp_path, *many), "more than")
    monkeypatch.setattr(upload, "MAX_TOTAL", 4 * 10**9)
    monkeypatch.setattr(upload, "_DIRECTORY", 100)
    refused(packed(tmp_path), "more than")


def test_a_directory_that_lies_about_sizes(tmp_path):
    file = packed(tmp_path, ("b.bmp", b"BM" + bytes(5_000_000)))
    data = bytearray(file.read_bytes())
    at = data.rfind(b"PK\1\2")
    data[at + 24 : at + 28] = (100).to_bytes(4, "little")  # announced: 100 bytes
    file.write_bytes(data)
    refused(file, "damaged")


def test_what_is_no_zip(tmp_path):
    for name, data, word in (
        ("set.zip", b"Rar!\x1a\x07", "not a zip"),
        ("set.rar", b"Rar!\x1a\x07", "is no .zip"),
        ("set.zip", b"", "not a zip"),
        ("set.zip", b"PK\3\4" + bytes(100), "cut off"),
    ):
        (tmp_path / name).write_bytes(data)
        refused(tmp_path / name, name, word)
    with zipfile.ZipFile(tmp_path / "set.zip", "w") as archive:
        archive.writestr("a.png", png())
    refused(tmp_path / "set.zip", "no JSON")
    with zipfile.ZipFile(tmp_path / "set.zip", "w") as archive:
        archive.writestr("annotations/a.json", records())
        archive.writestr("images/a.png", png())
    refused(tmp_path / "set.zip", "annotations/a.json", "beside the folder")


def test_a_mutilated_archive_is_a_sentence(tmp_path):
    whole = packed(tmp_path, ("images/b.png", png(9))).read_bytes()
    rng = random.Random(0)
    for number in range(400):
        data = bytearray(whole)
        for _ in range(rng.choice((1, 3, 12))):
            data[rng.randrange(len(data))] = rng.randrange(256)
        file = tmp_path / "mutilated.zip"
        file.write_bytes(data if number % 3 else data[: rng.randrange(len(data))])
        try:
            shutil.rmtree(unpack(file, tmp_path / "into"))
        except InputError:
            assert not (tmp_path / "into").exists()


def test_a_folder_that_holds_something_is_left_alone(tmp_path):
    (tmp_path / "into").mkdir()
    unpack(packed(tmp_path), tmp_path / "into")  # empty: fine
    with pytest.raises(InputError, match="holds something"):
        unpack(packed(tmp_path), tmp_path / "into")
    assert load(tmp_path / "into")[0].answer == "3"


# Loose files


def loose(tmp_path: Path, **files: bytes | str) -> list[Path]:
    (tmp_path / "sent").mkdir()
    made = []
    for name, content in files.items():
        file = tmp_path / "sent" / name
        file.write_bytes(content.encode() if isinstance(content, str) else content)
        made.append(file)
    return made


def test_loose_images_go_where_the_records_name_them(tmp_path):
    rows = [
        {**ROW, "id": "1", "image": "clevr/a (1).png"},
        {**ROW, "id": "2", "image": "images/train_images/b.png"},
        {**ROW, "id": "3", "image": "c.png"},
    ]
    lines = "\n".join(json.dumps(row) for row in rows)
    sent = {"Visual-Counting.JSONL": lines, "a 1.png": png(1), "b.png": png(2), "c.png": png(3)}
    folder = gather(loose(tmp_path, **sent), tmp_path / "into")
    problems = load(folder)
    assert [Image.open(p.images[0]).getpixel((0, 0))[0] for p in problems] == [1, 2, 3]


def test_one_zip_alone_is_unpacked(tmp_path):
    assert load(gather([packed(tmp_path)], tmp_path / "into"))


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({}, "Nothing was uploaded"),
        ({"a.png": png(), "b.png": png()}, "only images"),
        ({"a.json": records(), "b.zip": b"PK"}, "upload it alone"),
        ({"a.json": records(), "b.txt": b"?"}, "neither JSON"),
        ({"a.pdf": b"%PDF"}, "is no .zip"),
        ({"a.json": records({**ROW, "image": "x/a.png"}, {**ROW, "image": "y/a.png"}),
          "a.png": png()}, "several images"),
        ({"a.json": records({**ROW, "image": "../a.png"}), "a.png": png()}, "outside"),
    ],
)  # fmt: skip
def test_loose_files_that_are_refused(files, words, tmp_path):
    with pytest.raises(InputError, match=words):
        gather(loose(tmp_path, **files), tmp_path / "into")
    assert not (tmp_path / "into").exists()


def test_two_loose_files_of_one_name(tmp_path):
    first = loose(tmp_path, **{"a.json": records(), "a.png": png()})
    (tmp_path / "other").mkdir()
    shutil.copy(first[1], tmp_path / "other" / "a.png")
    with pytest.raises(InputError, match=r"2 files are called “a.png”"):
        gather([*first, tmp_path / "other" / "a.png"], tmp_path / "into")


def test_what_is_wrong_inside_is_told_by_the_row(tmp_path):
    rows = [ROW, {**ROW, "image": "gone.png"}, {"image": "a.png", "answer": "3"}, "text"]
    rows += [{**ROW, "answer": ""}] * 30
    file = packed(tmp_path, ("more/x.png", png()))
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("Visual-Counting-train.json", json.dumps(rows))
        archive.writestr("a.png", png())
    folder = unpack(file, tmp_path / "into")
    with pytest.raises(InputError) as caught:
        from_folder(folder, 1, 0, 0)
    told = str(caught.value).splitlines()
    assert "33 of 34 rows" in told[0] and "and 13 more" in told[-1] and len(told) == 22
    assert "record 2: names the image “gone.png”" in told[1]
    assert "record 3: has no field “problem”" in told[2]
    assert "record 4: holds text" in told[3]
    assert "record 5: has an empty answer" in told[4]
