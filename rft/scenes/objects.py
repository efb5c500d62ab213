"""Shaded solids on a table: the sprites that counting and spatial scenes are made of.

A sprite is drawn once at three times its size, scaled down and cached, so that a scene
costs a few pastes. This module knows colours, shapes and light; no questions, no layout.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Literal

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

SHAPES = ("cube", "sphere", "cylinder")
COLORS: dict[str, tuple[int, int, int]] = {
    "gray": (128, 131, 137),
    "red": (206, 44, 44),
    "blue": (42, 84, 205),
    "green": (38, 145, 62),
    "brown": (134, 82, 40),
    "purple": (139, 52, 184),
    "cyan": (43, 190, 199),
    "yellow": (245, 208, 45),
}
Look = Literal["solid", "toon"]

_SUPERSAMPLE = 3


def _shade(rgb: tuple[int, int, int], light: float) -> tuple[int, int, int]:
    """A colour under more (light > 1) or less light; towards white above 1."""
    if light <= 1:
        return tuple(round(c * light) for c in rgb)  # type: ignore[return-value]
    return tuple(round(c + (255 - c) * min(1.0, light - 1)) for c in rgb)  # type: ignore[return-value]


def _sphere(side: int, rgb: tuple[int, int, int], material: str) -> Image.Image:
    y, x = np.mgrid[0:side, 0:side].astype(np.float32)
    radius = side * 0.46
    u, v = (x - side / 2 + 0.5) / radius, (y - side / 2 + 0.5) / radius
    inside = u * u + v * v
    z = np.sqrt(np.clip(1 - inside, 0, 1))
    # The light comes from the upper left, a little towards the viewer.
    diffuse = np.clip(-0.45 * u - 0.62 * v + 0.64 * z, 0, 1)
    color = np.array(rgb, np.float32)
    if material == "metal":
        # A polished ball mirrors its room: pale sky above, a sharp horizon, the dark table below.
        sky = np.clip((0.02 - v) * 8, 0, 1) * np.clip(1.15 + 0.9 * v, 0.15, 1)
        table_light = 0.34 + 0.5 * np.clip((v - 0.1) / 0.9, 0, 1) ** 1.5
        rgba = color * (table_light + 0.62 * sky)[..., None]
        rgba += (255 - color) * (0.45 * sky * (0.6 + 0.4 * diffuse))[..., None]
        rgba += 255 * (0.9 * diffuse**26)[..., None]
    elif material == "glass":
        rim = np.clip(1 - z, 0, 1) ** 2
        light = 0.75 + 0.35 * diffuse
        rgba = color * light[..., None] * 0.8 + 60
        rgba += 255 * (0.9 * diffuse**30 + 0.25 * rim)[..., None]
    else:
        light = 0.42 + 0.72 * diffuse
        rgba = color * light[..., None]
    alpha = np.clip((1 - np.sqrt(inside)) * radius + 0.5, 0, 1) * 255
    if material == "glass":
        alpha *= 0.55 + 0.45 * np.clip(1 - z, 0, 1)
    data = np.dstack([np.clip(rgba, 0, 255), alpha]).astype(np.uint8)
    return Image.fromarray(data, "RGBA")


def _gradient(side: int, stops: list[tuple[float, tuple[int, int, int]]]) -> Image.Image:
    """A horizontal gradient through (position, colour) stops, ``side`` pixels square."""
    at = np.linspace(0, 1, side, dtype=np.float32)
    row = np.stack(
        [np.interp(at, [s for s, _ in stops], [c[i] for _, c in stops]) for i in range(3)], -1
    )
    return Image.fromarray(np.repeat(row[None], side, 0).astype(np.uint8), "RGB").convert("RGBA")


def _masked(paint: Image.Image, mask: Image.Image, opacity: float) -> Image.Image:
    paint = paint.copy()
    paint.putalpha(mask.point(lambda a: round(a * opacity)))
    return paint


def _cylinder(side: int, rgb: tuple[int, int, int], material: str) -> Image.Image:
    left, right = side * 0.13, side * 0.87
    top, bottom, tilt = side * 0.19, side * 0.83, side * 0.13
    if material == "metal":
        lights = [
            (0.0, 0.35), (0.14, 0.8), (0.24, 1.8), (0.42, 1.7), (0.5, 0.7), (0.8, 0.25), (1.0, 0.8)
        ]  # fmt: skip
    elif material == "glass":
        lights = [(0.0, 1.45), (0.18, 1.05), (0.3, 1.7), (0.4, 1.1), (0.85, 1.0), (1.0, 1.4)]
    else:
        lights = [(0.0, 0.72), (0.3, 1.05), (0.7, 0.72), (1.0, 0.5)]
    mask = Image.new("L", (side, side))
    pen = ImageDraw.Draw(mask)
    pen.rectangle([left, top, right, bottom], fill=255)
    pen.ellipse([left, bottom - tilt, right, bottom + tilt], fill=255)
    pen.ellipse([left, top - tilt, right, top + tilt], fill=255)
    stops = [(0.13 + 0.74 * at, _shade(rgb, light)) for at, light in lights]
    opacity = 0.72 if material == "glass" else 1.0
    out = _masked(_gradient(side, stops), mask, opacity)
    lid = Image.new("L", (side, side))
    ImageDraw.Draw(lid).ellipse([left, top - tilt, right, top + tilt], fill=255)
    lid_light = {"metal": 1.42, "glass": 1.5}.get(material, 1.2)
    out.paste(
        _masked(Image.new("RGBA", out.size, _shade(rgb, lid_light)), lid, opacity), (0, 0), lid
    )
    if material == "glass":  # the far rim of its foot, seen through it
        pen = ImageDraw.Draw(out)
        ink, width = (*_shade(rgb, 0.8), 190), max(1, round(side * 0.012))
        pen.arc([left, bottom - tilt, right, bottom + tilt], 184, 356, fill=ink, width=width)
        pen.ellipse(
            [left, top - tilt, right, top + tilt], outline=(*_shade(rgb, 1.8), 230), width=width
        )
    return out


def _cube(side: int, rgb: tuple[int, int, int], material: str) -> Image.Image:
    # A cube seen from above its right edge: three faces, each a parallelogram.
    a, b, c, d = (side * f for f in (0.08, 0.64, 0.92, 0.30))
    top, low, foot = side * 0.06, side * 0.28, side * 0.93
    rise = low - top
    faces = {
        "front": [(a, low), (b, low), (b, foot), (a, foot)],
        "top": [(a, low), (d, top), (c, top), (b, low)],
        "side": [(b, low), (c, top), (c, foot - rise), (b, foot)],
    }
    light = {
        "metal": {"front": 0.92, "top": 1.5, "side": 0.45},
        "glass": {"front": 1.15, "top": 1.5, "side": 0.95},
    }.get(material, {"front": 0.95, "top": 1.22, "side": 0.6})
    opacity = 0.74 if material == "glass" else 1.0
    out = Image.new("RGBA", (side, side))
    for name, corners in faces.items():
        mask = Image.new("L", out.size)
        ImageDraw.Draw(mask).polygon(corners, fill=255)
        tone = light[name]
        if material == "rubber":
            stops = [(0.0, _shade(rgb, tone * 1.03)), (1.0, _shade(rgb, tone * 0.9))]
        elif material == "metal":  # a broad bright reflection on darkened paint
            stops = [
                (0.0, _shade(rgb, tone * 0.6)),
                (0.16, _shade(rgb, tone * 0.85)),
                (0.26, _shade(rgb, min(1.85, tone + 0.85))),
                (0.44, _shade(rgb, min(1.75, tone + 0.7))),
                (0.52, _shade(rgb, tone * 0.8)),
                (1.0, _shade(rgb, tone * 0.5)),
            ]
        else:  # a bright streak tells a polished face
            stops = [
                (0.0, _shade(rgb, tone * 0.9)),
                (0.26, _shade(rgb, tone)),
                (0.36, _shade(rgb, min(1.8, tone + 0.65))),
                (0.46, _shade(rgb, tone)),
                (1.0, _shade(rgb, tone * 0.75)),
            ]
        out.paste(_masked(_gradient(side, stops), mask, opacity), (0, 0), mask)
    pen = ImageDraw.Draw(out)
    edge = (*_shade(rgb, 1.55 if material != "rubber" else 1.25), 200)
    width = max(1, round(side * 0.012))
    pen.line([(a, low), (b, low), (b, foot)], fill=edge, width=width)
    pen.line([(b, low), (c, top)], fill=edge, width=width)
    if material == "glass":  # the far edges, seen through it
        ink, corner = (*_shade(rgb, 0.8), 190), (d, foot - rise)
        for end in ((d, top), (a, foot), (c, foot - rise)):
            pen.line([corner, end], fill=ink, width=width)
    return out


def _toon(side: int, shape: str, rgb: tuple[int, int, int], material: str) -> Image.Image:
    """Another world's look: flat paint and a dark outline; metal is told by its streaks."""
    mask = _PAINTERS[shape](side, rgb, "rubber").getchannel("A").point(lambda a: 255 * (a > 127))
    ring = mask.filter(ImageFilter.MinFilter(2 * max(1, side // 36) + 1))
    out = _masked(Image.new("RGBA", mask.size, _shade(rgb, 0.35)), mask, 1.0)
    flat = Image.new("RGBA", mask.size, _shade(rgb, 1.02))
    pen = ImageDraw.Draw(flat)
    pen.polygon(
        [(side * 0.62, 0), (side, 0), (side, side), (side * 0.5, side)], fill=_shade(rgb, 0.78)
    )
    if material != "rubber":
        for at, width in ((0.24, 0.09), (0.38, 0.04)):
            pen.line(
                [(side * at, side), (side * (at + 0.22), 0)],
                fill=_shade(rgb, 1.75),
                width=round(side * width),
            )
    out.paste(flat, (0, 0), ring)
    return out


_PAINTERS = {"cube": _cube, "sphere": _sphere, "cylinder": _cylinder}


@lru_cache(maxsize=4096)
def sprite(shape: str, color: str, material: str, side: int, look: Look = "solid") -> Image.Image:
    """One object, RGBA, ``side`` x ``side`` pixels, without its shadow. Do not draw on it."""
    big = side * _SUPERSAMPLE
    rgb = COLORS[color]
    picture = (
        _toon(big, shape, rgb, material) if look == "toon" else _PAINTERS[shape](big, rgb, material)
    )
    # Premultiplied while scaling, or dark fringes appear around every object.
    return picture.convert("RGBa").resize((side, side), Image.Resampling.BOX).convert("RGBA")


@lru_cache(maxsize=512)
def shadow(side: int, strength: float = 0.42) -> Image.Image:
    """The soft shadow that an object of this side throws to its lower right (alpha only)."""
    mask = Image.new("L", (2 * side, side))
    box = [side * 0.30, side * 0.34, side * 1.52, side * 0.72]
    ImageDraw.Draw(mask).ellipse(box, fill=round(255 * strength))
    return mask.filter(ImageFilter.GaussianBlur(side * 0.09))


@lru_cache(maxsize=64)
def table(size: int, tone: tuple[int, int, int] = (203, 205, 209)) -> Image.Image:
    """An empty, softly lit table, RGB, ``size`` x ``size`` pixels. Copy before drawing."""
    y, x = np.mgrid[0:size, 0:size].astype(np.float32) / size
    light = 1.03 - 0.22 * ((x - 0.42) ** 2 + (y - 0.4) ** 2) + 0.05 * y
    data = np.clip(np.array(tone, np.float32) * light[..., None], 0, 255)
    return Image.fromarray(data.astype(np.uint8), "RGB")


def place(
    canvas: Image.Image,
    center: tuple[float, float],
    side: int,
    shape: str,
    color: str,
    material: str,
    look: Look = "solid",
) -> None:
    """Draw an object with its shadow; ``center`` in pixels. Draw from the back to the front."""
    x, y = round(center[0] - side / 2), round(center[1] - side / 2)
    dark = shadow(side, 0.28 if material == "glass" else 0.42)
    canvas.paste((28, 30, 38), (x - side // 4, y + side // 2), dark)
    picture = sprite(shape, color, material, side, look)
    canvas.paste(picture, (x, y), picture)
