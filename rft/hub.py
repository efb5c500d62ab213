"""The Hub seen from here: what its cache holds, downloads with progress, its errors as sentences.

Knows repositories and files; knows neither cards nor torch. Asking what is cached never
touches the network.
"""

from __future__ import annotations

import functools
import shutil
import threading
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

from huggingface_hub import (
    HfApi,
    constants,
    hf_hub_download,
    snapshot_download,
    try_to_load_from_cache,
)
from huggingface_hub.errors import (
    EntryNotFoundError,
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
)
from huggingface_hub.utils import get_session
from huggingface_hub.utils import tqdm as hub_tqdm

from rft.checkpoint import ADAPTER_CONFIG, weight_files
from rft.errors import CheckpointError, disk_full
from rft.types import Progress

#: Weights as safetensors, configuration and tokenizer as text. Never pickles, never code.
WEIGHTS = ("*.safetensors",)
TEXTS = ("*.json", "*.txt", "*.jinja")
#: Files of a repository's subfolders (originals, optimizer states) are nobody's to load.
IGNORED = ("*/*",)

#: Where a family's processor files come from when a repository lacks them: the Qwen bases.
PROCESSORS = {
    "qwen2_vl": ("Qwen/Qwen2-VL-2B-Instruct", "Qwen/Qwen2-VL-7B-Instruct"),
    "qwen2_5_vl": ("Qwen/Qwen2.5-VL-3B-Instruct", "Qwen/Qwen2.5-VL-7B-Instruct"),
}
_POLL_SECONDS = 0.25
_PATIENCE_SECONDS = 8
#: The base error of the HTTP client, whichever one this version of huggingface_hub stands on.
ClientError: type[BaseException] = HfHubHTTPError.__bases__[0]
_DISK_MARGIN = 500_000_000  # bytes left free for everything else on the disk


def offline() -> bool:
    """Whether the user forbade the network with HF_HUB_OFFLINE."""
    return bool(constants.HF_HUB_OFFLINE)


def snapshot(repo: str) -> Path | None:
    """The cached folder of a repository if it is complete enough to load, else None."""
    for name in ("config.json", ADAPTER_CONFIG):
        folder = cached_file(repo, name)
        if folder is not None:
            try:
                weight_files(folder.parent)
            except CheckpointError:
                return None  # a download that did not finish; fetching completes it
            return folder.parent
    return None


def cached_file(repo: str, name: str) -> Path | None:
    """One file of a repository, if it is in the cache."""
    found = try_to_load_from_cache(repo, name, revision=_revision(repo))
    return Path(found) if isinstance(found, str) else None


def _revision(repo: str) -> str | None:
    """The one snapshot of a repository that was fetched by its revision; else None, for main."""
    home = _home(repo)
    if (home / "refs" / "main").is_file():
        return None
    there = [folder.name for folder in home.glob("snapshots/*") if folder.is_dir()]
    return there[0] if len(there) == 1 else None


def _home(repo: str) -> Path:
    return Path(constants.HF_HUB_CACHE) / f"models--{repo.replace('/', '--')}"


def has_processor(folder: Path) -> bool:
    """Whether a folder can make its own prompts: tokenizer and image processor are there."""
    tokenizer = any((folder / name).is_file() for name in ("tokenizer.json", "vocab.json"))
    images = ("preprocessor_config.json", "processor_config.json")
    return tokenizer and any((folder / name).is_file() for name in images)


def processor_folder(folder: Path, family: str) -> Path:
    """The folder to load the processor from: the checkpoint's own, else a cached Qwen base."""
    if has_processor(folder):
        return folder
    for repo in PROCESSORS[family]:
        config = cached_file(repo, "preprocessor_config.json")
        if config is not None and has_processor(config.parent):
            return config.parent
    raise CheckpointError(
        f"{folder} has no tokenizer or image processor, and {PROCESSORS[family][0]}, which "
        "could lend them, is not on this machine: copy the base model's tokenizer and "
        "preprocessor_config.json into the folder."
    )


def config_file(repo: str) -> Path:
    """A repository's config.json (or adapter configuration): cached, else fetched."""
    for name in ("config.json", ADAPTER_CONFIG):
        found = cached_file(repo, name)
        if found is not None:
            return found
    reach(repo)
    for name in ("config.json", ADAPTER_CONFIG):
        try:
            return Path(hf_hub_download(repo, name))
        except LocalEntryNotFoundError as error:
            raise _translated(error, repo) from error
        except EntryNotFoundError:
            continue
        except (ClientError, HFValidationError, OSError) as error:
            raise _translated(error, repo) from error
    raise CheckpointError(
        f"{repo} has no config.json on the Hub, so it is no checkpoint to run: check the name."
    )


def reach(repo: str) -> None:
    """CheckpointError at once where there is no way to the Hub.

    Its client would try for half a minute before it said so.
    """
    if offline():
        raise offline_error(repo)
    try:
        get_session().head(constants.ENDPOINT, timeout=_PATIENCE_SECONDS)
    except (ClientError, OSError) as error:
        raise _translated(error, repo) from error


def parameters(repo: str) -> int:
    """How many parameters a repository publishes, taking its safetensors as 16-bit.

    Asked once: a card is looked up at every click.
    """
    return _parameters(repo, constants.ENDPOINT)


@functools.lru_cache(maxsize=256)
def _parameters(repo: str, _endpoint: str) -> int:
    try:
        files = HfApi().model_info(repo, files_metadata=True).siblings or []
    except (ClientError, HFValidationError, OSError) as error:
        raise _translated(error, repo) from error
    weights = [f for f in files if f.rfilename.endswith(".safetensors") and "/" not in f.rfilename]
    return sum(file.size or 0 for file in weights) // 2


def offline_error(repo: str) -> CheckpointError:
    """The sentence for a repository that is needed while the network is forbidden."""
    return CheckpointError(
        f"{repo} is not on this machine and HF_HUB_OFFLINE is set: unset it to download, "
        "or give the path of a local folder."
    )


def fetch(repo: str, family: str | None = None) -> Generator[Progress, None, None]:
    """Download what loading needs of a repository, yielding how far it is.

    With ``family``, processor files that the repository lacks are taken from its Qwen base.
    Closing the iterator stops the download; what has arrived is kept and continued next time.
    Raises CheckpointError: offline, no network, gated, unknown, no safetensors, no space.
    """
    yield Progress(f"Asking the Hub about {repo} …")
    reach(repo)
    yield from _snapshot(repo, WEIGHTS + TEXTS)
    folder = snapshot(repo)
    if folder is None:
        raise CheckpointError(
            f"{repo} publishes no safetensors weights: choose another checkpoint."
        )
    if family is not None and not (folder / ADAPTER_CONFIG).is_file() and not has_processor(folder):
        yield from _snapshot(PROCESSORS[family][0], TEXTS)


def _snapshot(repo: str, patterns: tuple[str, ...]) -> Iterator[Progress]:
    options: dict[str, Any] = {"allow_patterns": list(patterns), "ignore_patterns": list(IGNORED)}
    try:
        plan = snapshot_download(repo, dry_run=True, **options)
    except (ClientError, HFValidationError, OSError) as error:
        raise _translated(error, repo) from error
    total = sum(file.file_size or 0 for file in plan if file.will_download)
    if patterns[0] in WEIGHTS and not any(f.filename.endswith(".safetensors") for f in plan):
        raise CheckpointError(
            f"{repo} publishes no safetensors weights, and pickled ones can run code: "
            "choose another checkpoint."
        )
    check_space(repo, total)
    halt = threading.Event()
    trouble: list[BaseException] = []

    def work() -> None:
        try:
            snapshot_download(repo, tqdm_class=_bar(halt), **options)
        except BaseException as error:  # a thread's outermost frame: reported by the reader
            trouble.append(error)

    start = _stored(repo)
    worker = threading.Thread(target=work, name=f"download {repo}", daemon=True)
    worker.start()
    try:
        while worker.is_alive():
            arrived = min(_stored(repo) - start, total)
            share = arrived / total if total else None
            yield Progress(f"Downloading {repo}: {_gb(arrived)} of {_gb(total)}", share)
            worker.join(_POLL_SECONDS)
    finally:
        halt.set()
    if trouble:
        if isinstance(trouble[0], (ClientError, HFValidationError, OSError)):
            raise _translated(trouble[0], repo) from trouble[0]
        raise trouble[0]


class _Cancelled(Exception):
    """Raised inside a download that nobody waits for any more."""


def _bar(halt: threading.Event) -> type[hub_tqdm]:
    """A silent progress bar whose only job is to end the download once ``halt`` is set."""

    class Bar(hub_tqdm):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            kwargs["disable"] = True
            super().__init__(*args, **kwargs)

        def update(self, n: float | None = 1) -> bool | None:
            if halt.is_set():
                raise _Cancelled
            return super().update(n)

    return Bar


def check_space(repo: str, needed: int) -> None:
    """CheckpointError if the cache's disk cannot take ``needed`` more bytes."""
    free = free_disk()
    if needed + _DISK_MARGIN > free:
        raise CheckpointError(
            f"{repo} needs {_gb(needed)} more on disk and {constants.HF_HUB_CACHE} has "
            f"{_gb(free)} free: make room, or set HF_HOME to a larger disk."
        )


def free_disk() -> int:
    """Free bytes where the Hub's cache is, or will be once it exists."""
    place = Path(constants.HF_HUB_CACHE).expanduser().absolute()
    while not place.exists():
        place = place.parent
    return shutil.disk_usage(place).free


def _stored(repo: str) -> int:
    """Bytes of a repository in the cache, unfinished files included."""
    total = 0
    for file in _home(repo).glob("blobs/*"):
        try:
            total += file.stat().st_size
        except FileNotFoundError:
            continue  # renamed from .incomplete between the listing and the look
    return total


def _translated(error: BaseException, repo: str) -> CheckpointError:
    """Any error of the Hub's client as a sentence that names the remedy."""
    cause = error.__cause__
    if isinstance(cause, (HfHubHTTPError, OfflineModeIsEnabled)):
        error = cause  # the client wraps what the Hub said into "not found locally"
    if isinstance(error, OfflineModeIsEnabled):
        return offline_error(repo)
    if isinstance(error, GatedRepoError):
        return CheckpointError(
            f"{repo} is gated: accept its terms at https://huggingface.co/{repo}, then run "
            "`hf auth login` on this machine."
        )
    if isinstance(error, RepositoryNotFoundError):
        return CheckpointError(
            f"The Hub knows no {repo}, or it is private: check the name, or run `hf auth login`."
        )
    if isinstance(error, HFValidationError):
        return CheckpointError(f"{repo!r} is no Hub id: write it as owner/name.")
    if disk_full(error):
        return CheckpointError(
            f"The disk of {constants.HF_HUB_CACHE} is full: make room, or set HF_HOME to a "
            "larger disk; the download continues where it stopped."
        )
    if isinstance(error, PermissionError):
        return CheckpointError(
            f"{constants.HF_HUB_CACHE} cannot be written: set HF_HOME to a folder of yours."
        )
    if isinstance(error, HfHubHTTPError) and error.response is not None:
        return CheckpointError(
            f"The Hub answered {error.response.status_code} for {repo}: try again later."
        )
    return CheckpointError(
        f"{repo} could not be fetched, the Hub is not reachable: check the network, or give "
        "the path of a local folder."
    )


def _gb(count: int) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 50_000_000 else f"{count / 1e6:.1f} MB"
