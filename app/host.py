"""Who is asking: the person at this machine, or visitors that nobody knows.

On a public page, what a visitor types must neither look around on the host's disk, nor fill it,
nor take its processor for hours. This is the one place that tells the two apart, from the
environment that it is given. Knows no page and no checkpoint.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_address

_YES = ("1", "on", "true", "yes")


@dataclass(frozen=True)
class Host:
    """What may be done here. ``public``: visitors choose from the list of checkpoints alone.

    ``training``: whether runs may be started; where not, ``why`` is the sentence that says so.
    ``evaluating``: whether any set may be evaluated; where not, only what SHORT_ONLY says.
    """

    public: bool = False
    training: bool = True
    why: str = ""
    evaluating: bool = True


#: Problems that a stranger's evaluation may have.
STRANGERS_PROBLEMS = 50
#: The sentence for an evaluation that a stranger may not start.
SHORT_ONLY = (
    f"On a public page a visitor evaluates up to {STRANGERS_PROBLEMS} drawn scenes with bundled "
    "checkpoints, one visitor at a time. Its owner allows more with RFT_EVALUATION=on."
)


#: The sentence for a checkpoint that a stranger may not name.
LISTED_ONLY = (
    "On a public page, checkpoints are chosen from the list. Its owner adds one by a zoo file "
    "(RFT_ZOO), or lets every visitor name any with RFT_VISITORS=trusted."
)
_ZERO = (
    "This Space runs on ZeroGPU, which lends a GPU for the length of one request, and a run "
    "needs it for longer. Duplicate the Space to hardware of its own, or run the Studio on your "
    "own machine."
)
_STRANGERS = (
    "Training is off on a public page, where any visitor could take the machine for hours. Its "
    "owner allows it with RFT_TRAINING=on; on your own machine it is on."
)


def here(environ: Mapping[str, str]) -> Host:
    """The host that these environment variables describe.

    A Space is public, and so is a page that is served on more than the loopback, unless its
    owner says that whoever reaches it is trusted.
    """
    reached = "SPACE_ID" in environ or not _loopback(environ.get("GRADIO_SERVER_NAME", ""))
    public = reached and environ.get("RFT_VISITORS", "").strip().lower() != "trusted"
    asked = _yes(environ, "RFT_EVALUATION") or _yes(environ, "RFT_TRAINING")
    evaluating = asked or not public
    if _yes(environ, "SPACES_ZERO_GPU"):
        return Host(public, False, _ZERO, evaluating)
    if public and not _yes(environ, "RFT_TRAINING"):
        return Host(public, False, _STRANGERS, evaluating)
    return Host(public)


def _loopback(name: str) -> bool:
    """Whether a server of this name is reached from its own machine alone; "" is Gradio's own."""
    bare = name.strip().strip("[]")
    if bare in ("", "localhost"):
        return True
    try:
        return ip_address(bare).is_loopback
    except ValueError:  # a name, that of a network's interface in all likelihood
        return False


def _yes(environ: Mapping[str, str], name: str) -> bool:
    return environ.get(name, "").strip().lower() in _YES
