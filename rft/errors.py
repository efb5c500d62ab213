"""What can go wrong through no fault of the code. Every message names the remedy.

Anything that is not one of these is a bug and must surface as one.
"""

from __future__ import annotations

import errno

#: How a disk, a quota or a bound on files says that there is no more; torch and safetensors
#: write by themselves and tell it in words.
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_FULL_SAID = ("No space left", "File too large", "failed writing file", "file write failed")


class StudioError(Exception):
    """Base of all errors that are shown to a person as one sentence."""


class InputError(StudioError, ValueError):
    """An image, a question, a record or an option that cannot be used as it is."""


class CheckpointError(StudioError, OSError):
    """A checkpoint that cannot be found, fetched, read or run."""


class MemoryShort(StudioError, MemoryError):
    """A model or a generation that does not fit the memory of this machine."""


class DiskError(StudioError, OSError):
    """Something that cannot be written: the disk is full, or the folder is closed to us."""


def disk_full(error: BaseException) -> bool:
    """Whether an error, or what it came from, is that of a disk without room."""
    cause: BaseException | None = error
    while cause is not None:
        if getattr(cause, "errno", None) in _FULL or any(t in str(cause) for t in _FULL_SAID):
            return True
        cause = cause.__cause__ or cause.__context__
    return False
