"""A finished run put on the Hub: one repository, one commit, one sentence for what goes wrong.

The token is given or found where huggingface_hub looks for it; it is never stored, logged or
part of an error. What is uploaded is made by rft.export.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from pathlib import Path

from huggingface_hub import HfApi, constants, get_token
from huggingface_hub.errors import HfHubHTTPError
from huggingface_hub.utils import get_session

from rft import checkpoint, hub
from rft.cards import REPO, ROOT
from rft.errors import CheckpointError, InputError, StudioError
from rft.export import facts_of, files_of, finished_run, merge
from rft.modelcard import model_card
from rft.run import Run

#: Seconds to wait for the Hub's first word.
PATIENCE = 8
#: What a repository holds that was just made, and may be filled.
_FRESH = {".gitattributes"}
_PRINTABLE = re.compile(r"[\x21-\x7e]+")


def push(
    run_folder: Path | str,
    repo_id: str,
    token: str | None = None,
    *,
    private: bool = True,
    merged: bool = False,
) -> str:
    """Make the repository, upload the run's checkpoint and card, and return its address.

    The adapter, or with ``merged`` whole weights. A repository that exists is filled only while
    it is empty. InputError or StudioError says what is wrong: the id, no token, offline, no
    permission, the name taken, a base that is not on the Hub.
    """
    run, repo = finished_run(run_folder), repo_id.strip()
    if not REPO.fullmatch(repo):
        raise InputError(
            f"{repo[:100]!r} is no Hub id: write it as owner/name, of letters, digits, dots, "
            "dashes and underscores."
        )
    base = checkpoint.inspect(run.final).base
    if base is not None and not merged and not _of_hub(base):
        raise CheckpointError(
            "The adapter's base is not on the Hub, so nobody could load the adapter from there: "
            "push the merged checkpoint instead."
        )
    if hub.offline():
        raise StudioError("HF_HUB_OFFLINE is set, so nothing can be pushed: unset it first.")
    api = HfApi(token=_token(token))
    try:
        # The client itself would try for half a minute before it said that there is no way.
        get_session().head(constants.ENDPOINT, timeout=PATIENCE)
        _make(api, repo, private)
        # Beside the run, where there is a disk that holds weights.
        with tempfile.TemporaryDirectory(dir=run.folder, prefix=".push-") as draft:
            folder = _stage(run, Path(draft) / "model", repo, merged)
            api.upload_folder(
                repo_id=repo, folder_path=folder, commit_message="Upload a finished run"
            )
    except StudioError:
        raise
    except (hub.ClientError, OSError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and not _of_client(error.__cause__):
            raise  # not the upload of a file, which the client wraps into one
        # Without the cause: what the client says of a request is nobody's to read here.
        raise _told(error, repo) from None
    return f"{constants.ENDPOINT}/{repo}"


def _of_hub(base: str) -> bool:
    """Whether a base's name is a Hub id, and not the path of a folder that looks like one."""
    return bool(REPO.fullmatch(base)) and not (ROOT / base).is_dir() and not Path(base).is_dir()


def _token(given: str | None) -> str:
    token = (given or get_token() or "").strip()
    if not token:
        raise InputError(
            "The Hub wants a token: paste one with write access "
            "(https://huggingface.co/settings/tokens), or set HF_TOKEN."
        )
    if not _PRINTABLE.fullmatch(token):  # the client would quote it in its complaint
        raise InputError("The token has characters that no token has: copy it again.")
    return token


def _make(api: HfApi, repo: str, private: bool) -> None:
    """Create the repository, or take one of that name that is still empty."""
    try:
        api.create_repo(repo, private=private)
    except HfHubHTTPError as error:
        if _status(error) != 409:
            raise
        if not set(api.list_repo_files(repo)) <= _FRESH:
            raise InputError(
                f"{repo} exists already and holds files: choose another name, or delete it on "
                "the Hub."
            ) from None


def _stage(run: Run, folder: Path, repo: str, merged: bool) -> Path:
    """Lay out what is uploaded; links where the disk allows, since weights are large."""
    if merged:
        merge(run.folder, folder)
    else:
        folder.mkdir()
        for file in files_of(run.final):
            try:
                os.link(file, folder / file.name)
            except OSError:
                shutil.copyfile(file, folder / file.name)
    card = model_card(facts_of(run, merged=merged), where=repo)
    (folder / "README.md").write_text(card, encoding="utf-8")
    return folder


def _told(error: BaseException, repo: str) -> StudioError:
    """What the Hub's client met, as a sentence with a remedy and without the request."""
    if isinstance(error, RuntimeError) and error.__cause__ is not None:
        error = error.__cause__  # the upload of one file, wrapped
    status = _status(error)
    owner = repo.split("/")[0]
    if status == 401:
        return StudioError(
            "The Hub does not accept this token: make one with write access at "
            "https://huggingface.co/settings/tokens, and paste it whole."
        )
    if status in (403, 404):
        return StudioError(
            f"This token may not write to {owner}: give it write access, or choose an owner that "
            "it may write to."
        )
    if status == 402:
        return StudioError(f"{owner} has no room left on the Hub: make some, or push elsewhere.")
    if status == 429:
        return StudioError("The Hub asks for a pause (too many requests): push again later.")
    if status is not None:
        return StudioError(f"The Hub answered {status}: push again later.")
    if isinstance(error, OSError) and error.errno is not None and error.filename is not None:
        return StudioError(
            f"The files to push could not be laid out ({error.strerror}): make room on the disk "
            "of the run."
        )
    return StudioError(
        "The Hub is not reachable, or the upload broke off: check the network and push again."
    )


def _of_client(error: BaseException | None) -> bool:
    return isinstance(error, (hub.ClientError, OSError))


def _status(error: BaseException) -> int | None:
    response = getattr(error, "response", None) if isinstance(error, HfHubHTTPError) else None
    return None if response is None else int(response.status_code)
