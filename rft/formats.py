"""What kind of file somebody sent, told by its first bytes; its name is never believed.

This module decides who may decode a file and words the refusal of everything else. It
decodes nothing itself.
"""

from __future__ import annotations

from PIL import Image

from rft.errors import InputError

# No EPS, PSD, PDF and the like: their decoders are rare, slow, or start other programs.
_EVERYDAY = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF")
_REMEDY = "Save it as PNG or JPEG and send that."

# First bytes of what people send by mistake, and what to call it.
_NOT_PICTURES = (
    (b"%PDF", "a PDF document"),
    (b"%!PS", "a PostScript file"),
    (b"\xc5\xd0\xd3\xc6", "a PostScript file"),
    (b"8BPS", "a Photoshop file"),
    (b"PK\x03\x04", "a zip archive or an office document"),
    (b"\xff\x0a", "a JPEG XL image"),
    (b"\0\0\0\x0cJXL ", "a JPEG XL image"),
    (b"\0\0\0\x0cjP  ", "a JPEG 2000 image"),
    (b"\xff\x4f\xff\x51", "a JPEG 2000 image"),
    (b"\0\0\x01\0", "an icon file"),
    (b"RIFF", "a sound or video file"),  # WebP is told from it before
    (b"\x1a\x45\xdf\xa3", "a video"),
)
_HEIF_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"}
_AVIF_BRANDS = {b"avif", b"avis"}
# First bytes of what is accepted: a file that has them and is not understood is damaged.
_PICTURES = (b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"BM", b"II*\0", b"MM\0*")


def formats_of(data: bytes, name: str) -> tuple[str, ...]:
    """The Pillow formats that may open the file. InputError where a decoder is missing."""
    brand = data[8:12] if data[4:8] == b"ftyp" else b""
    if brand in _HEIF_BRANDS:
        _learn_heif(name)
        return ("HEIF",)
    if brand in _AVIF_BRANDS:
        Image.init()
        if "AVIF" not in Image.OPEN:
            raise InputError(f"{name} is AVIF, which this Pillow cannot read. {_REMEDY}")
        return ("AVIF",)
    return _EVERYDAY


def _learn_heif(name: str) -> None:
    """Teach Pillow HEIC, only when such a file comes: the library is heavy and optional."""
    try:
        import pillow_heif
    except ImportError:
        raise InputError(
            f"{name} is a HEIC photo, and the package pillow-heif is missing here. "
            "Run “pip install pillow-heif”, or save the photo as JPEG and send that."
        ) from None
    pillow_heif.register_heif_opener()


def why_refused(data: bytes, name: str) -> str:
    """A sentence about a file that is none of the accepted formats."""
    ftyp, brand = data[4:8] == b"ftyp", data[8:12]
    known = brand in _HEIF_BRANDS | _AVIF_BRANDS if ftyp else brand == b"WEBP"
    if known or data.startswith(_PICTURES):
        return f"{name} is damaged or cut off. Download or export it again."
    if ftyp:
        return f"{name} is a video. Send a single frame as PNG or JPEG."
    for magic, what in _NOT_PICTURES:
        if data.startswith(magic):
            return f"{name} is {what}, which is not read here. {_REMEDY}"
    text = _as_text(data[:4096])
    if "<html" in text.lower() or "<!doctype html" in text.lower():
        return f"{name} is a web page, not the image itself. Download the image again."
    if "<svg" in text.lower() or (data[:2] == b"\x1f\x8b" and name.lower().endswith(".svgz”")):
        return (
            f"{name} is an SVG drawing, not a pixel image. Convert it to PNG "
            "(any browser or Inkscape does) and send that."
        )
    if text:
        return f"{name} holds text, whatever its name says. Send a PNG or JPEG image."
    kinds = ", ".join(("PNG", "JPEG", "WebP", "GIF", "BMP", "TIFF", "HEIC"))
    return f"{name} is no image that is read here ({kinds} or AVIF). {_REMEDY}"


def _as_text(head: bytes) -> str:
    """The bytes as text, "" where they are none."""
    wide = head.startswith((b"\xff\xfe", b"\xfe\xff"))
    text = head.decode("utf-16" if wide else "utf-8-sig", errors="ignore")
    odd = any(letter < " " and letter not in "\t\r\n\f" for letter in text)
    return text if text and not odd and len(text) * (2 if wide else 4) >= len(head) - 4 else ""
