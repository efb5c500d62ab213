"""Every odd file of the image gate, built for real and sent through it."""

from __future__ import annotations

import io
import struct
import subprocess
import sys
import threading
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms, features

from rft import images
from rft.errors import InputError
from rft.images import open_image, open_images

RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 128, 0), (0, 0, 255), (255, 255, 255)


def scene(width: int = 60, height: int = 40) -> Image.Image:
    """Red, its upper left quarter blue: any turn or flip of it can be told."""
    picture = Image.new("RGB", (width, height), RED)
    picture.paste(BLUE, (0, 0, width // 2, height // 2))
    return picture


def encoded(picture: Image.Image, form: str, **options) -> bytes:
    file = io.BytesIO()
    picture.save(file, form, **options)
    return file.getvalue()


def near(found: object, wanted: tuple[int, int, int], slack: int = 12) -> bool:
    return all(abs(a - b) <= slack for a, b in zip(found, wanted, strict=True))  # type: ignore[call-overload]


def refusal(source, *words: str) -> str:
    with pytest.raises(InputError) as caught:
        open_image(source)
    sentence = str(caught.value)
    for word in words:
        assert word in sentence, sentence
    assert sentence.endswith(".") and "Traceback" not in sentence
    return sentence


def png_header(width: int, height: int, kind: int = 2) -> bytes:
    """A PNG that claims a size and holds next to nothing."""

    def chunk(tag: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + tag + body + struct.pack(">I", zlib.crc32(tag + body))

    header = struct.pack(">IIBBBBB", width, height, 8, kind, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b"\0" * 1000))
        + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF"])
def test_the_usual_formats_from_bytes_and_from_files_of_any_name(form, tmp_path):
    data = encoded(scene(), form)
    file = tmp_path / "picture.dat"
    file.write_bytes(data)
    for source in (data, file):
        picture = open_image(source)
        assert (picture.mode, picture.size) == ("RGB", (60, 40))
        assert near(picture.getpixel((5, 5)), BLUE) and near(picture.getpixel((55, 35)), RED)


def test_a_decoded_image_is_copied_and_left_as_it_is():
    source = scene()
    picture = open_image(source)
    picture.paste(WHITE, (0, 0, 60, 40))
    assert source.getpixel((0, 0)) == BLUE


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_rotation_is_applied(form, orientation):
    undo = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    stored = scene().transpose(undo[orientation]) if orientation > 1 else scene()
    exif = Image.Exif()
    exif[0x0112] = orientation
    picture = open_image(encoded(stored, form, exif=exif))
    assert picture.size == (60, 40)
    assert near(picture.getpixel((5, 5)), BLUE)
    assert near(picture.getpixel((55, 5)), RED) and near(picture.getpixel((5, 35)), RED)


def test_a_large_rotated_photo_is_both_reduced_and_turned():
    exif = Image.Exif()
    exif[0x0112] = 6
    stored = scene(4000, 3000).transpose(Image.Transpose.ROTATE_90)
    picture = open_image(encoded(stored, "JPEG", exif=exif), max_pixels=300_000)
    assert picture.width > picture.height
    assert picture.width * picture.height <= 303_000
    assert abs(picture.width / picture.height - 4 / 3) < 0.01
    assert near(picture.getpixel((5, 5)), BLUE)


def test_nothing_of_the_metadata_is_passed_on():
    exif = Image.Exif()
    exif[0x010F] = "a camera"
    exif[0x8825] = {1: "N", 2: (48.0, 51.0, 0.0)}
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    data = encoded(scene(), "JPEG", exif=exif, icc_profile=profile, comment=b"at home")
    picture = open_image(data)
    assert picture.info == {} and not picture.getexif()
    assert b"at home" not in encoded(picture, "JPEG") and b"camera" not in encoded(picture, "PNG")


def test_broken_exif_does_not_cost_the_picture():
    data = encoded(scene(), "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\x7fnonsense")
    assert open_image(data).size == (60, 40)


def test_heic_is_read_and_its_library_only_loaded_for_it(tmp_path):
    pillow_heif = pytest.importorskip("pillow_heif")
    file = tmp_path / "IMG_0001.HEIC"
    pillow_heif.from_pillow(scene(64, 48)).save(file, quality=95)
    renamed = tmp_path / "photo.jpg"
    renamed.write_bytes(file.read_bytes())
    for path in (file, renamed):
        picture = open_image(path)
        assert picture.size == (64, 48)
        assert near(picture.getpixel((5, 5)), BLUE, 30) and near(
            picture.getpixel((60, 44)), RED, 30
        )
    code = (
        "import sys, rft.images; assert 'pillow_heif' not in sys.modules;"
        "from pathlib import Path; rft.images.open_image(Path(sys.argv[1]));"
        "assert 'pillow_heif' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code, str(file)], check=True)


def test_a_cut_heic_is_refused():
    pillow_heif = pytest.importorskip("pillow_heif")
    file = io.BytesIO()
    pillow_heif.from_pillow(scene(64, 48)).save(file)
    data = file.getvalue()
    refusal(data[: len(data) // 2], "damaged", "again")
    refusal(data[:20], "damaged", "again")


@pytest.mark.skipif(not features.check("avif"), reason="this Pillow has no AVIF")
def test_avif():
    assert near(open_image(encoded(scene(), "AVIF")).getpixel((5, 5)), BLUE, 30)


@pytest.mark.parametrize("form", ["JPEG", "TIFF"])
def test_cmyk(form):
    picture = open_image(encoded(scene().convert("CMYK"), form))
    assert picture.mode == "RGB"
    assert near(picture.getpixel((5, 5)), BLUE) and near(picture.getpixel((55, 35)), RED)


@pytest.mark.parametrize("form", ["PNG", "TIFF"])
def test_sixteen_bits_are_scaled_not_clipped(form):
    ramp = np.tile(np.linspace(0, 65535, 64).astype(np.uint16), (32, 1))
    picture = open_image(encoded(Image.fromarray(ramp), form))
    grey = np.asarray(picture)[0, :, 0].astype(int)
    assert grey[0] == 0 and grey[-1] == 255
    assert abs(grey[32] - 129) <= 1 and (np.diff(grey) > 0).all()


def test_floats_are_scaled_and_those_that_are_no_numbers_refused():
    ramp = np.tile(np.linspace(0, 1, 64, dtype=np.float32), (32, 1))
    for samples in (ramp, ramp * 255, ramp * 5000 - 300):
        grey = np.asarray(open_image(encoded(Image.fromarray(samples), "TIFF")))[0, :, 0]
        assert grey[0] == 0 and grey[-1] == 255 and 126 <= grey[32] <= 131
    for bad in (np.nan, np.inf):
        spoilt = ramp.copy()
        spoilt[3, 3] = bad
        refusal(encoded(Image.fromarray(spoilt), "TIFF"), "NaN", "8-bit PNG")


def test_32_bit_integers_and_a_flat_image():
    values = np.full((16, 16), 7, dtype=np.int32)
    assert open_image(encoded(Image.fromarray(values), "TIFF")).getpixel((0, 0)) == (7, 7, 7)
    values[:, 8:] = -70_000
    assert open_image(encoded(Image.fromarray(values), "TIFF")).getextrema()[0] == (0, 255)


def test_transparency_is_laid_on_white():
    layered = Image.new("RGBA", (20, 20), (255, 0, 0, 0))
    layered.paste((0, 0, 255, 255), (0, 0, 10, 20))
    palette = Image.new("P", (20, 20), 0)
    palette.putpalette([255, 0, 0, 0, 0, 255])
    palette.paste(1, (0, 0, 10, 20))
    cases = [
        encoded(layered, "PNG"),
        encoded(layered, "WEBP", lossless=True),
        encoded(palette, "PNG", transparency=0),
        encoded(palette, "GIF", transparency=0),
        encoded(layered.convert("LA"), "PNG"),
        encoded(scene(20, 20), "PNG", transparency=RED),
    ]
    for data in cases:
        picture = open_image(data)
        assert picture.mode == "RGB" and picture.getpixel((19, 19)) == WHITE
        assert picture.getpixel((1, 1)) != WHITE
    half = open_image(Image.new("RGBA", (20, 20), (0, 0, 0, 128)))
    assert near(half.getpixel((3, 3)), (127, 127, 127), 2)


@pytest.mark.parametrize(
    "mode", ["1", "L", "LA", "P", "PA", "RGBa", "La", "YCbCr", "HSV", "RGBX", "LAB"]
)
def test_other_modes_of_decoded_images(mode):
    base = scene()
    if mode in ("RGBa", "La", "PA"):
        base = base.convert({"RGBa": "RGBA", "La": "LA", "PA": "P"}[mode])
    picture = open_image(base.convert(mode))
    assert (picture.mode, picture.size) == ("RGB", (60, 40))


@pytest.mark.parametrize("form", ["GIF", "WEBP", "PNG", "TIFF"])
def test_of_an_animation_the_first_frame(form):
    frames = [scene(), Image.new("RGB", (60, 40), GREEN), Image.new("RGB", (60, 40), WHITE)]
    data = encoded(frames[0], form, save_all=True, append_images=frames[1:])
    assert near(open_image(data).getpixel((5, 5)), BLUE)


def test_a_phone_photo_with_a_second_picture_inside():
    data = encoded(scene(), "MPO", save_all=True, append_images=[Image.new("RGB", (60, 40), GREEN)])
    assert near(open_image(data).getpixel((5, 5)), BLUE)


SVG = '<?xml version="1.0"?>\n<!-- drawn -->\n<svg xmlns="http://www.w3.org/2000/svg"><g/></svg>'


def test_svg_is_refused_by_name(tmp_path):
    for name in ("figure.svg", "figure.png"):
        file = tmp_path / name
        file.write_text(SVG)
        refusal(file, name, "SVG", "PNG")
    refusal(SVG.encode("utf-16"), "SVG")
    refusal(b"\xef\xbb\xbf  <svg width='3'/>", "SVG")


def test_a_text_file_named_png(tmp_path):
    file = tmp_path / "notes.png"
    file.write_text("This is no picture, only a few words. Überhaupt nicht.\n")
    refusal(file, "notes.png", "text", "Send a PNG or JPEG")
    refusal(b"<!DOCTYPE html><html><body>404</body></html>", "web page")


@pytest.mark.parametrize(
    ("head", "word"),
    [
        (b"%PDF-1.7\n", "PDF"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "PostScript"),
        (b"8BPS\0\1" + b"\0" * 30, "Photoshop"),
        (b"PK\3\4" + b"\0" * 30, "zip"),
        (b"\0\0\0\x18ftypmp42" + b"\0" * 30, "video"),
        (b"RIFF\x24\0\0\0WAVEfmt ", "sound"),
        (b"\0\0\1\0\1\0", "icon"),
        (b"P6 20 20 255\n" + b"\xf0\0" * 600, "PNG, JPEG"),
        (bytes(range(256)) * 4, "PNG, JPEG"),
    ],
)
def test_other_kinds_of_files_are_called_by_name(head, word):
    refusal(head, word)


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF"])
def test_a_cut_file_is_refused_wherever_it_is_cut(form):
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8))
    data = encoded(noise, form)
    for share in (0.1, 0.4, 0.7):
        refusal(data[: int(len(data) * share)], "again")
    for length in (1, 4, 12, 20):
        with pytest.raises(InputError):
            open_image(data[:length])


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "AVIF"])
def test_damaged_files_give_a_picture_or_a_sentence_never_a_crash(form):
    if form == "AVIF" and not features.check("avif"):
        pytest.skip("this Pillow has no AVIF")
    data = encoded(scene(), form)
    rng = np.random.default_rng(1)
    for _ in range(150):
        spoilt = bytearray(data)
        for place in rng.integers(0, len(spoilt), rng.integers(1, 8)):
            spoilt[place] = rng.integers(0, 256)
        try:
            assert open_image(bytes(spoilt)).mode == "RGB"
        except InputError as fault:
            assert str(fault).endswith(".")


def test_zero_bytes(tmp_path):
    (tmp_path / "empty.png").touch()
    refusal(tmp_path / "empty.png", "empty.png", "empty", "0 bytes")
    refusal(b"", "empty")


def test_what_is_not_a_file(tmp_path):
    refusal(tmp_path / "gone.png", "gone.png", "does not exist")
    refusal(tmp_path, "not a file")
    refusal(Path("/dev/zero"), "not a file")
    refusal(tmp_path / "nul\0.png", "cannot be read")
    refusal(tmp_path / ("x" * 300), "cannot be read")


def test_extreme_sizes():
    for size in ((1, 1), (7, 200), (30, 4)):
        refusal(Image.new("RGB", size), f"{size[0]} × {size[1]}", "too small")
    for size in ((1, 20_000), (20_000, 1), (8, 1608)):
        refusal(encoded(Image.new("RGB", size), "PNG"), f"{size[0]} × {size[1]}", "Crop")
    assert open_image(Image.new("RGB", (8, 1600))).size == (8, 1600)
    assert open_image(Image.new("RGB", (8, 8))).size == (8, 8)


def test_the_bounds_keep_legal_proportions_legal():
    for size in ((20_000, 100), (20_000, 101), (12_345, 62)):
        picture = open_image(Image.new("L", size), max_side=4_000)
        assert max(picture.size) <= 4_000 and max(picture.size) <= 200 * min(picture.size)


def test_a_bomb_is_refused_from_its_header():
    for data in (
        png_header(60_000, 60_000),
        png_header(10_000, 9_000),
        png_header(13_000, 13_000, kind=0),
        b"GIF89a" + struct.pack("<HH", 60_000, 60_000) + b"\0\0\0,\0\0\0\0\x60\xea\x60\xea\0\2\0;",
    ):
        assert len(data) < 200
        refusal(data, "million", "smaller")


def test_a_bomb_does_not_fill_the_memory():
    code = (
        "import resource, sys; from rft.images import open_image; from rft.errors import InputError\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "try: open_image(sys.stdin.buffer.read())\n"
        "except InputError: pass\n"
        "assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 20_000\n"
    )
    subprocess.run([sys.executable, "-c", code], input=png_header(60_000, 60_000), check=True)


@pytest.mark.parametrize("mode", ["I;16", "F", "P", "I"])
def test_a_large_picture_that_cannot_shrink_first_is_refused_by_its_header(mode):
    data = encoded(Image.new(mode, (5000, 4200)), "TIFF", compression="tiff_deflate")
    refusal(data, "5000 × 4200", "20 million", "JPEG")


def test_large_pictures_wait_for_each_other():
    data = encoded(Image.new("RGB", (5000, 5000)), "PNG", compress_level=1)
    code = (
        "import resource, sys, threading; from rft.images import open_image\n"
        "data = sys.stdin.buffer.read()\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "threads = [threading.Thread(target=open_image, args=(data,)) for _ in range(3)]\n"
        "[t.start() for t in threads], [t.join() for t in threads]\n"
        "used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before\n"
        "assert used < 230_000, used\n"
    )
    subprocess.run([sys.executable, "-c", code], input=data, check=True, timeout=60)


def test_a_heavy_file_is_refused_before_it_is_read(tmp_path):
    file = tmp_path / "raw.tif"
    with file.open("wb") as hole:
        hole.truncate(images.MAX_BYTES + 1)
    refusal(file, "raw.tif", "MB", "JPEG")
    refusal(bytes(images.MAX_BYTES + 1), "MB")


def test_a_48_megapixel_photo_is_reduced_on_opening():
    data = encoded(scene(8000, 6000), "JPEG", quality=30)
    picture = open_image(data)
    assert images.KEPT_PIXELS * 0.98 < picture.width * picture.height < images.KEPT_PIXELS * 1.01
    assert near(picture.getpixel((9, 9)), BLUE) and near(picture.getpixel((2000, 1500)), RED)


def test_palette_pictures_are_reduced_too():
    picture = open_image(scene(3000, 2000).convert("P"), max_pixels=60_000)
    assert picture.width * picture.height <= 61_000 and near(picture.getpixel((9, 9)), BLUE)


def test_forty_images_at_once():
    with pytest.raises(InputError, match=r"40 images.*up to 8"):
        open_images([scene()] * 40)
    assert len(open_images([scene()] * images.MAX_IMAGES)) == images.MAX_IMAGES
    assert open_images([]) == []


def test_a_strange_name_does_not_break_the_sentence(tmp_path):
    file = tmp_path / ("a\nb\x1b" + "é" * 100 + ".png")
    file.touch()
    sentence = refusal(file, "a?b?", "…")
    assert "\n" not in sentence and "\x1b" not in sentence and len(sentence) < 200


def test_opening_from_several_threads():
    data = encoded(scene(), "WEBP")
    sizes: list[tuple[int, int]] = []
    threads = [
        threading.Thread(target=lambda: sizes.append(open_image(data).size)) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sizes == [(60, 40)] * 8
