"""What can go wrong through no fault of the code. Every message names the remedy.

Anything that is not one of these is a bug and must surface as one.
"""


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
