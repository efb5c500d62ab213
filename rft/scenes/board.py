"""The tiled table of the spatial scenes, seen by a camera at its front, its left or its right.

Places on the table are (x, y) in tiles: x from the left, y from the front, whatever the view.
This module knows tiles, projection and paint; no objects and no questions.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Literal

from PIL import Image, ImageDraw, ImageFilter

from rft.scenes.objects import table

View = Literal["front", "left", "right"]
Place = tuple[float, float]
Tone = tuple[int, int, int]

#: Tiles along each side of the table.
TILES = 4
#: Colours of the table: light and dull, so that none hides an object.
TONES: tuple[Tone, ...] = (
    (226, 216, 200),
    (208, 214, 220),
    (222, 222, 222),
    (214, 221, 210),
    (226, 214, 214),
)

_RIM = 0.22  # how far the table reaches beyond its tiles
_THICKNESS = 0.03  # of the board, as a share of the picture
_STRIP: Tone = (74, 78, 90)
_SUPERSAMPLE = 3

# A pinhole camera far away, so that an object's size says little of its depth: the front row
# is drawn 16% larger than the back row, while the next size is about 40% larger.
_DEPTH = 20.0
_HORIZON, _DROP = -2.621, 63.1
_SPREAD = 3.9


def turned(place: Place, view: View) -> Place:
    """A place on the table as the view has it: x from its left, y from its front."""
    x, y = place
    if view == "left":  # the camera looks along x: the table's front is at its right
        return TILES - y, x
    if view == "right":
        return y, TILES - x
    return x, y


def project(place: Place, view: View = "front") -> tuple[float, float, float]:
    """Where a place is seen: x and y as shares of the picture, and the scale, 1 in the middle."""
    x, y = turned(place, view)
    scale = _DEPTH / (_DEPTH + y - TILES / 2)
    return (
        0.5 + _SPREAD / _DEPTH * scale * (x - TILES / 2),
        _HORIZON + _DROP / _DEPTH * scale,
        scale,
    )


@lru_cache(maxsize=64)
def paint(size: int, tone: Tone, view: View) -> Image.Image:
    """The empty table, RGB, ``size`` x ``size`` pixels. Copy before drawing.

    A dark strip runs along its front edge and turns with it: so the view can be told.
    """
    side = size * _SUPERSAMPLE
    canvas = table(side, _tinted(tone, 0.72))

    def corners(x: float, y: float, width: float, height: float) -> list[Place]:
        spots = ((x, y), (x + width, y), (x + width, y + height), (x, y + height))
        return [(at[0] * side, at[1] * side) for at in (project(spot, view) for spot in spots)]

    whole = corners(-_RIM, -_RIM, TILES + 2 * _RIM, TILES + 2 * _RIM)
    strip = corners(-_RIM, -_RIM, TILES + 2 * _RIM, _RIM * 0.9)
    drop = _THICKNESS * side

    gloom = Image.new("L", canvas.size)
    ImageDraw.Draw(gloom).polygon([(x + drop, y + 2 * drop) for x, y in whole], fill=120)
    # Blurred small: a wide blur at full size would take most of the time.
    gloom = gloom.resize((size // 2, size // 2)).filter(ImageFilter.GaussianBlur(size * 0.012))
    canvas = canvas.copy()
    canvas.paste((30, 32, 40), (0, 0), gloom.resize(canvas.size))

    pen = ImageDraw.Draw(canvas)
    for top, face, above in (
        (whole, _tinted(tone, 0.70), _tinted(tone, 0.94)),
        (strip, _tinted(_STRIP, 0.75), _STRIP),
    ):
        nearest = sorted(top, key=lambda at: -at[1])[:2]
        if nearest[0][1] > 0.9 * side:  # a side that faces the camera shows the board's thickness
            one, two = nearest
            pen.polygon([one, two, (two[0], two[1] + drop), (one[0], one[1] + drop)], fill=face)
        pen.polygon(top, fill=above)
    for column in range(TILES):
        for row in range(TILES):
            light = 1.03 if (column + row) % 2 else 0.965
            pen.polygon(corners(column, row, 1, 1), fill=_tinted(tone, light))
    return canvas.resize((size, size), Image.Resampling.BOX)


def _tinted(tone: Tone, light: float) -> Tone:
    red, green, blue = (min(255, round(part * light)) for part in tone)
    return red, green, blue
