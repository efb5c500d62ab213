"""The one gate that every image passes: whatever comes in, an upright RGB picture leaves.

What a file is, its first bytes tell; its name is never believed. Size is judged from the
header, before anything is decoded. Nothing of the file's metadata is passed on. This
module knows no model beyond the proportions that Qwen2-VL accepts, and no page.

What becomes of the odd cases, each under a test of its own:

- EXIF rotation is applied; transparency is laid on white; of an animation, the first frame
  counts; CMYK is converted without its colour profile.
- 16-bit and float samples are scaled into 8 bits, not clipped.
- Pictures above ``KEPT_PIXELS`` (or ``KEPT_SIDE``) are made smaller on opening: no model
  here looks at more, and the originals would only fill the memory.
- Pictures thinner than 8 pixels, or longer than 200 times their width, are refused: the
  first show nothing, the second Qwen2-VL's processor does not take. Padding them would
  hide from the user that the model cannot see his picture.
"""

from __future__ import annotations

import io
import stat
import struct
import threading
import zlib
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path

from PIL import ExifTags, Image, UnidentifiedImageError

from rft.errors import InputError
from rft.formats import formats_of, why_refused

MAX_BYTES = 64 * 2**20  #: of a file; camera raw dumps and videos are larger, photos are not
MAX_PIXELS = 80_000_000  #: by the header; below Pillow's own alarm, above a 64 MP phone's
MAX_DEEP_PIXELS = 20_000_000  #: of modes that must be converted whole before they can shrink
MAX_ASPECT = 200  #: long side over short side: Qwen2-VL's processor refuses more
MIN_SIDE = 8  #: pixels
MAX_IMAGES = 8  #: in one turn
KEPT_PIXELS = 4_000_000  #: what is kept of a large picture; the paper's models see 0.48 million
KEPT_SIDE = 8_192
_LARGE = 8_000_000  # pixels; from here on one picture at a time is decoded in the process
_one_large = threading.Lock()

# Modes that can be averaged as they are.
_AVERAGED = ("RGB", "L", "RGBA", "LA", "CMYK", "RGBX", "YCbCr")

# What Pillow and its decoders raise on damaged files: besides OSError, whatever the
# parsing of a mutilated header happens to trip over.
_DAMAGE = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    IndexError,
    KeyError,
    TypeError,
    OverflowError,
    RuntimeError,
    struct.error,
    zlib.error,
)

_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def open_images(
    sources: Sequence[Path | bytes | Image.Image], limit: int = MAX_IMAGES
) -> list[Image.Image]:
    """All the images of one turn, through :func:`open_image`; InputError for too many."""
    if len(sources) > limit:
        raise InputError(
            f"{len(sources)} images at once are too many: a turn takes up to {limit}. "
            "Keep those the question is about, or ask in several turns."
        )
    return [open_image(source) for source in sources]


def open_image(
    source: Path | bytes | Image.Image,
    *,
    max_side: int = KEPT_SIDE,
    max_pixels: int = KEPT_PIXELS,
) -> Image.Image:
    """A fresh RGB image, upright, at most ``max_side`` long and ``max_pixels`` large.

    ``source`` is a file, its bytes, or a decoded image (which is left as it is). Raises
    InputError, whose message names the file and the remedy.
    """
    name = _name(source)
    picture = source if isinstance(source, Image.Image) else _identify(_read(source, name), name)
    _check_size(picture, name)
    # Large pictures wait for each other: each may take hundreds of MB while it is decoded.
    large = picture.width * picture.height > _LARGE
    with _one_large if large else nullcontext():
        return _decode(picture, picture is not source, name, max_side, max_pixels)


def pixels(source: Path | bytes | Image.Image) -> int:
    """How many pixels a picture has, by its header: nothing is decoded. As open_image raises."""
    name = _name(source)
    picture = source if isinstance(source, Image.Image) else _identify(_read(source, name), name)
    return picture.width * picture.height


def _decode(
    picture: Image.Image, ours: bool, name: str, max_side: int, max_pixels: int
) -> Image.Image:
    """The judged picture as open_image promises it. A picture that is not ours is kept."""
    factor = _factor(picture.size, max_side, max_pixels)
    try:
        if factor < 1 and ours:
            # Only JPEG heeds this: it decodes at a half, a quarter or an eighth.
            width, height = picture.size
            picture.draft(picture.mode, (int(width * factor), int(height * factor)))
        picture.load()
        turn = _turn(picture)
        if picture.mode == "1":  # a large scan, which shrinks well as grey
            picture = picture.convert("L")
        flat = _to_rgb(_shrink(picture, max_side, max_pixels), name)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise _too_large(name) from None
    except InputError:
        raise
    except MemoryError as fault:
        raise InputError(f"{name} does not fit the memory. Make it smaller.") from fault
    except _DAMAGE as fault:
        raise InputError(
            f"{name} is damaged or cut off: it cannot be read to its end. "
            "Download or export it again."
        ) from fault
    flat = _shrink(flat, max_side, max_pixels)
    if turn is not None:
        flat = flat.transpose(turn)
    clean = Image.new("RGB", flat.size)  # carries no EXIF, no profile, no comment
    clean.paste(flat)
    return clean


def _turn(picture: Image.Image) -> Image.Transpose | None:
    """How to set a loaded picture upright. Broken EXIF data is no reason to refuse it.

    Asked after loading, because Pillow turns TIFF files itself while loading.
    """
    try:
        return _UPRIGHT.get(picture.getexif().get(ExifTags.Base.Orientation, 1))
    except _DAMAGE:
        return None


def _name(source: Path | bytes | Image.Image) -> str:
    """How a message calls the source: its file name, in quotes, kept short."""
    if not isinstance(source, Path):
        return "The image"
    name = "".join(letter if letter.isprintable() else "?" for letter in source.name)
    return f"“{name if len(name) <= 60 else name[:40] + '…' + name[-16:]}”"


def _read(source: Path | bytes, name: str) -> bytes:
    """The bytes of the file, no more of them than are allowed."""
    if isinstance(source, bytes):
        data = source
    else:
        try:
            status = source.stat()
            if not stat.S_ISREG(status.st_mode):
                raise InputError(f"{name} is not a file. Choose an image file.")
            if status.st_size > MAX_BYTES:
                raise _too_heavy(name, status.st_size)
            with source.open("rb") as file:
                data = file.read(MAX_BYTES + 1)
        except FileNotFoundError:
            raise InputError(f"{name} does not exist (any more). Choose the image again.") from None
        except (OSError, ValueError) as fault:
            if isinstance(fault, InputError):
                raise
            raise InputError(
                f"{name} cannot be read. Check that you may read the file, or upload it again."
            ) from fault
    if not data:
        raise InputError(f"{name} is empty (0 bytes). Download or export it again.")
    if len(data) > MAX_BYTES:
        raise _too_heavy(name, len(data))
    return data


def _identify(data: bytes, name: str) -> Image.Image:
    """The image, its header read and nothing decoded; InputError says what it is instead."""
    formats = formats_of(data, name)
    try:
        return Image.open(io.BytesIO(data), formats=formats)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise _too_large(name) from None
    except UnidentifiedImageError:
        raise InputError(why_refused(data, name)) from None
    except _DAMAGE as fault:
        raise InputError(
            f"{name} is damaged: its header makes no sense. Download or export it again."
        ) from fault


def _check_size(picture: Image.Image, name: str) -> None:
    """Refuse by the header what is too large to decode or cannot be looked at."""
    size = width, height = picture.size
    if width * height > MAX_PIXELS:
        raise _too_large(name, size)
    if width * height > MAX_DEEP_PIXELS and not (_averaged(picture) or picture.mode == "1"):
        raise InputError(
            f"{name} is {width} × {height} pixels with deep samples or a palette, of which up to "
            f"{MAX_DEEP_PIXELS // 10**6} million are decoded here. "
            "Make it smaller, or save it as a JPEG."
        )
    if max(size) > MAX_ASPECT * min(size):
        raise InputError(
            f"{name} is {width} × {height} pixels: more than {MAX_ASPECT} times as long as wide, "
            "which the models do not accept. Crop it to the part that matters."
        )
    if min(size) < MIN_SIDE:
        raise InputError(
            f"{name} is {width} × {height} pixels: too small to show anything. "
            f"Send one of at least {MIN_SIDE} × {MIN_SIDE} pixels."
        )


def _too_large(name: str, size: tuple[int, int] | None = None) -> InputError:
    what = f"{size[0]} × {size[1]} pixels" if size else "far too many pixels"
    return InputError(
        f"{name} claims {what}, more than the {MAX_PIXELS // 10**6} million that are decoded "
        "here. Make it smaller, or crop it."
    )


def _too_heavy(name: str, size: int) -> InputError:
    return InputError(
        f"{name} has {size / 2**20:.0f} MB, more than the {MAX_BYTES // 2**20} MB that are "
        "read here. Save it as JPEG, or make it smaller."
    )


def _factor(size: tuple[int, int], max_side: int, max_pixels: int) -> float:
    """By how much both sides must shrink to fit the bounds; 1 or less."""
    width, height = size
    return min(1.0, max_side / max(size), (max_pixels / (width * height)) ** 0.5)


def _averaged(picture: Image.Image) -> bool:
    """Whether its pixels mean something once averaged; a transparent colour would not."""
    return picture.mode in _AVERAGED and "transparency" not in picture.info


def _shrink(picture: Image.Image, max_side: int, max_pixels: int) -> Image.Image:
    """The picture within the bounds. Modes that cannot be averaged stay as they are.

    The short side is rounded up, so that a legal proportion stays legal.
    """
    factor = _factor(picture.size, max_side, max_pixels)
    if factor == 1 or not _averaged(picture):
        return picture
    sides = [side * factor for side in picture.size]
    short = sides.index(min(sides))
    target = [max(1, int(side)) for side in sides]
    target[short] = min(picture.size[short], int(sides[short]) + 1)
    return picture.resize((target[0], target[1]), Image.Resampling.BICUBIC, reducing_gap=2.0)


def _to_rgb(picture: Image.Image, name: str) -> Image.Image:
    """RGB of any mode: transparency on white, deep samples scaled into 8 bits."""
    if picture.mode.startswith(("I", "F")):
        return _deep(picture, name).convert("RGB")
    if picture.mode == "La":  # for which Pillow knows no other way
        picture = picture.convert("LA")
    if picture.mode in ("RGBA", "LA", "PA", "RGBa") or "transparency" in picture.info:
        layered = picture.convert("RGBA")
        flat = Image.new("RGB", layered.size, "white")
        flat.paste(layered, mask=layered.getchannel("A"))
        return flat
    return picture.convert("RGB")


def _deep(picture: Image.Image, name: str) -> Image.Image:
    """Grey samples of more than 8 bits, as 8 bits.

    The full range of the type becomes the full range of grey where the file states it
    (16 bits; floats in 0…1); otherwise the values found are stretched over it.
    """
    import numpy as np

    values = np.asarray(picture).astype(np.float32)
    if not np.isfinite(values).all():
        raise InputError(
            f"{name} holds samples that are no numbers (NaN or infinity). "
            "Fill them in, and save it as an 8-bit PNG."
        )
    low, high = float(values.min()), float(values.max())
    if picture.mode.startswith("I;16") or (picture.mode == "I" and low >= 0 and high > 255):
        low, high = (0.0, 65535.0) if high <= 65535 else (low, high)
    elif low >= 0 and high <= 255:
        low, high = (0.0, 1.0) if picture.mode == "F" and high <= 1 else (0.0, 255.0)
    scaled = (values - low) * (255.0 / max(high - low, 1e-12))
    return Image.fromarray(np.clip(scaled + 0.5, 0, 255).astype(np.uint8))
