"""The grids that pictures are laid on: one to name places by, one that labels keep to.

Coordinates are those of the unit square with y down.
"""

from __future__ import annotations

import math

from rft.scenes.figures import Point

#: Cells along each side to which labels keep: the patches of a tiny checkpoint's vision tower. A
#: digit that lies in one patch is learned; one that lies across four, in all its places, is not.
GRID = 8


def cell(x: float, y: float) -> str:
    """A place on a board of four by four: columns a to d from the left, rows 1 to 4 from the top."""
    return f"{'abcd'[int(x * 4)]}{int(y * 4) + 1}"


def corner(at: Point) -> tuple[float, float]:
    """The middle of the cell of GRID whose middle is next left of and above a place, in cells."""
    return math.floor(at.real * GRID - 0.5) + 0.5, math.floor(at.imag * GRID - 0.5) + 0.5
