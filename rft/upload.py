"""Data sets that somebody uploads: archives and loose files, laid out as a data folder.

An upload is from a stranger. An archive is judged by its directory before anything is unpacked:
names that lead elsewhere, links, encryption, archives within, more files or bytes than are sane.
Only records and images are ever written, and only below the folder that was named. What the
records say is not judged here; :mod:`rft.data` does that, row by row.
"""

from __future__ import annotations

import json
import re
import shutil
import stat
import struct
import unicodedata
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path, PurePosixPath, PureWindowsPath

from rft.errors import InputError, disk_full
from rft.images import MAX_BYTES as IMAGE_BYTES
from rft.machine import gb

MAX_FILES = 20_000
MAX_TOTAL = 4 * 10**9  #: bytes, unpacked; the published images of a task are about 1 to 3 GB
MAX_RECORDS = 256 * 2**20  #: bytes of one JSON or JSONL file
#: Unpacked over packed size. Text of one pattern reaches 100; only padding goes beyond.
MAX_RATIO = 200
_SMALL = 8 * 2**20  # bytes up to which the ratio does not matter: flat pictures pack well
_DIRECTORY = 16 * 2**20  # bytes of an archive's own directory
_DEPTH, _LONGEST = 12, 200  # folders in each other; characters of one name

RECORDS = (".json", ".jsonl")
IMAGES = (".png", ".jpg", ".jpeg", ".jfif", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".heic",
          ".heif", ".avif")  # fmt: skip
_ARCHIVES = (".zip", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".zst", ".7z", ".rar")
#: What systems and repositories leave beside data: passed over without a word.
_LITTER = (".md", ".txt", ".rst", ".yaml", ".yml", ".ini", ".db", "")
_CHUNK = 2**20
# What zipfile trips over in a mutilated archive.
_DAMAGE = (zipfile.BadZipFile, zlib.error, struct.error, EOFError, NotImplementedError,
           RuntimeError, UnicodeDecodeError)  # fmt: skip


def gather(files: Sequence[Path], into: Path) -> Path:
    """The data folder of an upload: one zip, or records (JSON, JSONL) with loose images.

    Loose images are laid where the records name them. ``into`` must be new or empty.
    """
    if not files:
        raise InputError("Nothing was uploaded: send a zip, or a JSON or JSONL with its images.")
    kinds = [file.suffix.lower() for file in files]
    if len(files) == 1 and kinds[0] not in RECORDS:
        return unpack(files[0], into)
    for file, kind in zip(files, kinds, strict=True):
        if kind in _ARCHIVES:
            raise InputError(f"{_quoted(file.name)} is an archive: upload it alone.")
        if kind not in RECORDS + IMAGES:
            raise InputError(f"{_quoted(file.name)} is neither JSON, JSONL nor an image: leave it.")
    if len(files) > MAX_FILES:
        raise InputError(f"{len(files)} files are more than {MAX_FILES}: upload fewer.")
    name, count = Counter(file.name for file in files).most_common(1)[0]
    if count > 1:
        raise InputError(f"{count} files are called {_quoted(name)}: rename, or upload a zip.")
    records = [file for file, kind in zip(files, kinds, strict=True) if kind in RECORDS]
    if not records:
        raise InputError("There are only images: add the JSON or JSONL file with the records.")
    for file in files:
        _check_size(file.name, file.suffix.lower(), file.stat().st_size)
    named = [name for file in records for name in _image_names(file)]

    def fill(draft: Path) -> None:
        for file, kind in zip(files, kinds, strict=True):
            target = draft / _place(file.name, kind, named)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, target)

    return _filled(into, fill)


def unpack(file: Path, into: Path) -> Path:
    """Unpack a zip with a data set into ``into``, new or empty; return the set's own folder.

    InputError names the entry that is refused; then nothing is left behind.
    """
    name = _quoted(file.name)
    if file.suffix.lower() != ".zip":
        raise InputError(f"{name} is no .zip: pack records and images as a zip and send that.")
    _check_directory(file, name)
    try:
        with zipfile.ZipFile(file) as archive:
            wanted = _wanted(archive.infolist(), name)
            return _filled(into, lambda draft: _extract(archive, wanted, draft))
    except _DAMAGE as fault:
        raise InputError(f"{name} is damaged: pack it or upload it again.") from fault


def _check_directory(file: Path, name: str) -> None:
    """Refuse what is no zip, and a directory too large to be read into memory."""
    with file.open("rb") as stream:
        if not stream.read(4).startswith((b"PK\3\4", b"PK\5\6")):
            raise InputError(f"{name} is not a zip, whatever its name says: pack it as a zip.")
        size = stream.seek(0, 2)
        # The closing record and the longest comment after it; the one of zip64 stands before.
        stream.seek(max(0, size - 65_557 - 76))
        end = stream.read()
    bare = end[-22:-18] == b"PK\5\6" and end[-2:] == b"\0\0"
    at = len(end) - 22 if bare else end.rfind(b"PK\5\6")
    if at < 0 or len(end) < at + 22:
        raise InputError(f"{name} is cut off: upload it again.")
    entries, length = _number(end, at + 10, 2), _number(end, at + 12, 4)
    if at >= 76 and end[at - 20 : at - 16] == b"PK\6\7":
        entries, length = _number(end, at - 44, 8), _number(end, at - 36, 8)
    if size > MAX_TOTAL or entries > MAX_FILES or length > _DIRECTORY:
        raise InputError(
            f"{name} holds more than {MAX_FILES} files or {gb(MAX_TOTAL)}: send a part."
        )


def _number(data: bytes, at: int, width: int) -> int:
    return int.from_bytes(data[at : at + width], "little")


def _wanted(entries: Sequence[zipfile.ZipInfo], name: str) -> dict[str, zipfile.ZipInfo]:
    """The entries to write, by their paths; InputError for the first that is not to be trusted."""
    wanted: dict[str, zipfile.ZipInfo] = {}
    total = 0
    for entry in entries:
        # What zipfile calls a name ends at its first NUL; the one that was sent is judged.
        path = _safe_path(entry.orig_filename)
        shown = f"{_quoted(entry.orig_filename)} in {name}"
        mode = entry.external_attr >> 16
        if stat.S_IFMT(mode) not in (0, stat.S_IFREG, stat.S_IFDIR):
            raise InputError(f"{shown} is a link or a device, no file: pack the file itself.")
        if entry.is_dir() or entry.orig_filename.endswith(("/", "\\")):
            continue
        if entry.header_offset < 0:
            raise InputError(f"{shown} is damaged: pack it or upload it again.")
        if entry.flag_bits & 0x41:
            raise InputError(f"{shown} is encrypted: pack it without a password.")
        kind = PurePosixPath(path).suffix.lower()
        if kind in _ARCHIVES:
            raise InputError(f"{shown} is an archive within the archive: unpack it first.")
        if kind in _LITTER or "__MACOSX" in path or PurePosixPath(path).name.startswith("."):
            continue
        if kind not in RECORDS + IMAGES:
            raise InputError(f"{shown} is neither JSON, JSONL nor an image: leave it out.")
        if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise InputError(f"{shown} is packed by an unusual method: pack it with deflate.")
        _check_size(shown, kind, entry.file_size)
        if entry.file_size > max(_SMALL, MAX_RATIO * entry.compress_size):
            raise InputError(f"{shown} unpacks to {gb(entry.file_size)}, over {MAX_RATIO} times its "
                             "packed size: that is padding, not data.")  # fmt: skip
        if path in wanted:
            raise InputError(f"{shown} stands there twice: keep one of the two.")
        wanted[path] = entry
        total += entry.file_size
        if total > MAX_TOTAL or len(wanted) > MAX_FILES:
            raise InputError(f"{name} unpacks to more than {gb(MAX_TOTAL)} or {MAX_FILES} files: "
                             "send a part of it.")  # fmt: skip
    if not any(path.lower().endswith(RECORDS) for path in wanted):
        raise InputError(f"{name} holds no JSON or JSONL file: add the records.")
    return wanted


def _safe_path(name: str) -> str:
    """The entry's path below the folder, with forward slashes; InputError if it leads elsewhere."""
    shown = _quoted(name)
    if not name.strip("/\\. ") or not name.isprintable():
        raise InputError(f"The entry {shown} has no name, or control characters in it: rename it.")
    path = PurePosixPath(unicodedata.normalize("NFC", name.replace("\\", "/")))
    if path.is_absolute() or ".." in path.parts or PureWindowsPath(name).drive:
        raise InputError(f"The entry {shown} lies outside the archive: pack it from its folder.")
    if len(path.parts) > _DEPTH or any(len(part.encode()) > _LONGEST for part in path.parts):
        raise InputError(f"The entry {shown} has too long a name, or too many folders: shorten it.")
    if path.suffix.lower() in RECORDS:  # data files are known by their lower-case ending
        path = path.with_suffix(path.suffix.lower())
    return str(path)


def _check_size(shown: str, kind: str, size: int) -> None:
    most = MAX_RECORDS if kind in RECORDS else IMAGE_BYTES
    if size > most:
        raise InputError(f"{shown} has {gb(size)}, more than the {gb(most)} read here: split it.")


def _extract(archive: zipfile.ZipFile, wanted: dict[str, zipfile.ZipInfo], draft: Path) -> None:
    """Write the entries. zipfile gives out no more than was announced, and checks the sums."""
    for path, entry in wanted.items():
        target, shown = draft / path, _quoted(entry.orig_filename)
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            with archive.open(entry) as packed, target.open("xb") as out:
                shutil.copyfileobj(packed, out, _CHUNK)
        except (FileExistsError, NotADirectoryError):
            raise InputError(f"{shown} stands where another entry does: rename one.") from None


def _filled(into: Path, fill: Callable[[Path], None]) -> Path:
    """Let ``fill`` write a draft, and make it ``into`` when it is whole; return the set's root."""
    if into.exists() and (not into.is_dir() or any(into.iterdir())):
        raise InputError(f"{into.name} holds something already: name a new folder.")
    draft = into.with_name(f"{into.name}.part")
    shutil.rmtree(draft, ignore_errors=True)
    try:
        draft.mkdir(parents=True)
        fill(draft)
        below = _root(draft).relative_to(draft)
        if into.is_dir():
            into.rmdir()
        draft.rename(into)
    except OSError as fault:
        if disk_full(fault):
            raise InputError("The disk is full: free some space and upload again.") from fault
        raise
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return into / below


def _root(folder: Path) -> Path:
    """Where the set begins: people pack a folder, or what is in it."""
    while not _holds_records(folder):
        inside = list(folder.iterdir())
        if len(inside) != 1 or not inside[0].is_dir():
            lost = next(f for f in sorted(folder.rglob("*")) if f.suffix in RECORDS)
            raise InputError(
                f"{_quoted(lost.relative_to(folder).as_posix())} is not where records are looked "
                "for: put it beside the folder of images, or in train_jsons."
            )
        folder = inside[0]
    return folder


def _holds_records(folder: Path) -> bool:
    places = (folder, folder / "train_jsons", folder / "test_jsons")
    return any(f.suffix in RECORDS for p in places if p.is_dir() for f in p.iterdir())


def _image_names(file: Path) -> list[str]:
    """What the records of a loose file call their images, as far as it can be read."""
    try:
        text = file.read_text(encoding="utf-8-sig")
        lines = text.splitlines() if file.suffix.lower() == ".jsonl" else [text]
        values = [json.loads(line) for line in lines if line.strip()]
    except (ValueError, RecursionError):
        return []  # loading it will say what is wrong, and where
    rows = values[0] if values and isinstance(values[0], list) else values
    found = [row.get("image", row.get("images")) for row in rows if isinstance(row, dict)]
    flat = [name for value in found for name in (value if isinstance(value, list) else [value])]
    return list(dict.fromkeys(name for name in flat if isinstance(name, str)))


def _place(name: str, kind: str, named: Sequence[str]) -> str:
    """Where a loose file belongs: an image to the path by which records name it."""
    if kind in RECORDS:
        return str(PurePosixPath(name).with_suffix(kind))
    places = [n for n in named if _bare(n) == name] or [n for n in named if _like(n) == _like(name)]
    if len(places) > 1:
        raise InputError(
            f"{_quoted(name)} could be several images of the records ({', '.join(places[:3])}): "
            "upload a zip, which keeps their folders."
        )
    return _safe_path(places[0]) if places else name


def _bare(name: str) -> str:
    return name.replace("\\", "/").rpartition("/")[2]


def _like(name: str) -> str:
    """The name without what browsers and servers change in one."""
    return re.sub(r"[^\w.]", "", _bare(name)).casefold()


def _quoted(name: str) -> str:
    """A file's name in a message: in quotes, printable, kept short."""
    shown = "".join(letter if letter.isprintable() else "?" for letter in name)
    return f"“{shown if len(shown) <= 80 else shown[:50] + '…' + shown[-25:]}”"
