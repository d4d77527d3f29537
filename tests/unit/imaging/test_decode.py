"""Images of every kind come out upright, in sRGB and true to the original."""

from __future__ import annotations

import io
import struct
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms

from imagelake.imaging import Options, process
from imagelake.run.errors import ErrorCode, ImageRejectedError
from tests.support.images import (
    GPS_MARK,
    WIDE_GAMUT,
    chunk,
    decoded,
    encoded,
    exif,
    interlaced_png,
    jpeg_with,
    photo,
    png_with,
    psnr,
    quarters,
)
from tests.support.sample import pairs

BEST = Options(encode_quality=95)
# The change to an upright image that its orientation takes back.
_STORED = {
    1: None,
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


def center(data: bytes) -> list[int]:
    pixels = decoded(data)
    color: list[int] = pixels[pixels.shape[0] // 2, pixels.shape[1] // 2].tolist()
    return color


def is_near(color: list[int], expected: tuple[int, int, int], by: int = 6) -> bool:
    return max(abs(value - wanted) for value, wanted in zip(color, expected, strict=True)) <= by


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "AVIF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_applied_when_the_file_states_one(kind: str, orientation: int) -> None:
    upright = quarters()
    method = _STORED[orientation]
    stored = upright if method is None else upright.transpose(method)
    result = process(encoded(stored, kind, exif=exif(orientation)), BEST)
    assert (result.width, result.height) == (result.original_width, result.original_height) == (96, 64)
    pixels = decoded(result.image)
    for x, y in ((12, 12), (84, 12), (12, 52), (84, 52)):
        assert is_near(pixels[y, x].tolist(), upright.getpixel((x, y)), by=12), (x, y)  # type: ignore[arg-type]


def test_orientation_is_applied_when_the_image_is_drafted() -> None:
    result = process(encoded(quarters(4000, 2000), exif=exif(6)))
    assert (result.original_width, result.original_height) == (2000, 4000)
    assert (result.width, result.height) == (256, 512)
    assert is_near(decoded(result.image)[10, 10].tolist(), (0, 0, 255))


@pytest.mark.parametrize("damage", [b"II*\0\xff\xff\xff\xff", b"MM", b"II*\0\x08\0\0\0\xff\xff", b"XX*\0", b""])
def test_orientation_is_ignored_when_the_exif_is_damaged(damage: bytes) -> None:
    assert process(jpeg_with(encoded(quarters()), 0xE1, b"Exif\0\0" + damage)).width == 96


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "options", "content_type"),
    [
        ("JPEG", {}, "image/jpeg"),
        ("JPEG", {"progressive": True}, "image/jpeg"),
        ("PNG", {}, "image/png"),
        ("WEBP", {}, "image/webp"),
        ("WEBP", {"lossless": True}, "image/webp"),
        ("GIF", {}, "image/gif"),
        ("AVIF", {}, "image/avif"),
    ],
)
def test_every_format_comes_out_as_it_went_in(kind: str, options: dict[str, Any], content_type: str) -> None:
    image = photo(300, 200)
    result = process(encoded(image, kind, **options), BEST)
    assert result.content_type == content_type
    assert (result.width, result.height, result.original_width, result.original_height) == (300, 200, 300, 200)
    # A GIF has 256 colors.
    assert psnr(decoded(result.image), np.asarray(image)) > (24 if kind == "GIF" else 33)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("size", "progressive"),
    pairs([(1080, 1350), (1080, 1080), (2050, 1370), (1023, 700), (4095, 600), (513, 512)], [False, True]),
)
def test_resizing_is_close_to_a_full_decode_with_lanczos(size: tuple[int, int], progressive: bool) -> None:
    data = encoded(photo(*size), progressive=progressive)
    result = process(data, Options(encode_quality=95))
    with Image.open(io.BytesIO(data)) as image:
        reference = image.resize((result.width, result.height), Image.Resampling.LANCZOS)
    assert psnr(decoded(result.image), np.asarray(reference)) > 38


@pytest.mark.parametrize("size", [(512, 512), (511, 300), (40, 30), (16, 16)])
def test_an_image_is_never_enlarged(size: tuple[int, int]) -> None:
    result = process(encoded(photo(*size)))
    assert (result.width, result.height) == size


def test_the_size_is_that_of_the_options() -> None:
    result = process(encoded(photo(900, 600)), Options(image_size=300))
    assert (result.width, result.height) == (300, 200)


def test_cmyk_becomes_rgb() -> None:
    ink = Image.new("CMYK", (64, 64), (0, 255, 255, 0))
    assert is_near(center(process(encoded(ink)).image), (254, 0, 0), by=10)


def test_sixteen_bits_keep_their_range() -> None:
    ramp = np.tile(np.linspace(0, 65535, 64).astype(np.uint16), (32, 1))
    result = decoded(process(encoded(Image.fromarray(ramp), "PNG"), BEST).image)
    assert np.abs(result[16, :, 0] - (ramp[16] >> 8)).max() <= 3


@pytest.mark.parametrize("alpha_of", ["RGBA", "LA"])
def test_transparency_comes_out_on_white(alpha_of: str) -> None:
    clear = Image.new("RGBA", (64, 64), (0, 0, 0, 0)).convert(alpha_of)
    half = Image.new("RGBA", (64, 64), (0, 0, 0, 128)).convert(alpha_of)
    assert is_near(center(process(encoded(clear, "PNG")).image), (255, 255, 255))
    assert is_near(center(process(encoded(half, "PNG")).image), (127, 127, 127))


@pytest.mark.parametrize("kind", ["WEBP", "AVIF"])
def test_transparency_comes_out_on_white_when_the_format_is_not_png(kind: str) -> None:
    clear = Image.new("RGBA", (64, 64), (200, 0, 0, 0))
    assert is_near(center(process(encoded(clear, kind)).image), (255, 255, 255))


def test_edges_of_transparency_do_not_darken_when_resized() -> None:
    image = Image.new("RGBA", (1024, 1024), (0, 0, 0, 0))
    image.paste((255, 255, 255, 255), (0, 0, 513, 1024))
    assert decoded(process(encoded(image, "PNG")).image).min() >= 250


@pytest.mark.parametrize("kind", ["PNG", "GIF"])
def test_a_palette_with_a_transparent_entry_comes_out_on_white(kind: str) -> None:
    image = Image.new("P", (64, 64), 1)
    image.putpalette([255, 0, 0, 0, 0, 255])
    image.paste(0, (0, 0, 20, 64))
    pixels = decoded(process(encoded(image, kind, transparency=1), BEST).image)
    assert is_near(pixels[32, 50].tolist(), (255, 255, 255))
    assert is_near(pixels[32, 5].tolist(), (255, 0, 0), by=10)


@pytest.mark.parametrize(("mode", "color"), [("1", 1), ("L", 90), ("RGB", (10, 200, 30)), ("P", 0)])
def test_a_transparent_color_comes_out_on_white(mode: str, color: Any) -> None:
    image = Image.new(mode, (64, 64), color)
    assert is_near(center(process(encoded(image, "PNG", transparency=color)).image), (255, 255, 255))


@pytest.mark.parametrize("mode", ["1", "L"])
def test_gray_stays_gray(mode: str) -> None:
    result = process(encoded(photo(64, 64).convert(mode), "PNG"))
    assert result.colorfulness == 0
    assert result.mean_rgb[0] == result.mean_rgb[1] == result.mean_rgb[2]


def test_an_interlaced_png_is_read() -> None:
    data = interlaced_png(b"\x50", color=0)
    assert is_near(center(process(data).image), (0x50, 0x50, 0x50), by=2)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "AVIF"])
def test_a_wide_profile_makes_colors_stronger_in_srgb(kind: str) -> None:
    image = Image.new("RGB", (64, 64), (180, 90, 90))
    plain = center(process(encoded(image, kind), BEST).image)
    red, green, _ = center(process(encoded(image, kind, icc_profile=WIDE_GAMUT), BEST).image)
    assert red > plain[0] + 10
    assert green < plain[1] - 10


def test_a_profile_is_ignored_when_it_is_srgb() -> None:
    image = photo(200, 100)
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    assert process(encoded(image, icc_profile=srgb)) == process(encoded(image))


@pytest.mark.parametrize("profile", [b"\0" * 200, WIDE_GAMUT[:150], WIDE_GAMUT[:300] + bytes(200), b"x" * 100_000])
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_a_profile_is_ignored_when_it_is_broken(kind: str, profile: bytes) -> None:
    image = photo(64, 64)
    assert process(encoded(image, kind, icc_profile=profile)).mean_rgb == process(encoded(image, kind)).mean_rgb


def test_a_profile_is_ignored_when_it_is_for_other_pixels() -> None:
    gray = photo(64, 64).convert("L")
    assert process(encoded(gray, icc_profile=WIDE_GAMUT)).phash == process(encoded(gray)).phash


def test_the_first_image_of_an_mpo_is_read_as_a_jpeg() -> None:
    gain_map = Image.new("L", (48, 32), 7)
    result = process(encoded(quarters(), "MPO", save_all=True, append_images=[gain_map], quality=95))
    assert result.content_type == "image/jpeg"
    assert (result.width, result.height) == (96, 64)
    assert is_near(decoded(result.image)[10, 10].tolist(), (254, 0, 0), by=10)


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "AVIF"])
def test_the_first_frame_of_an_animation_is_read(kind: str) -> None:
    frames = [Image.new("RGB", (64, 48), color) for color in ((255, 0, 0), (0, 255, 0), (0, 0, 255))]
    result = process(encoded(frames[0], kind, save_all=True, append_images=frames[1:], duration=50))
    assert is_near(center(result.image), (255, 0, 0), by=12)


def test_a_gif_frame_may_be_larger_than_its_canvas() -> None:
    data = bytearray(encoded(quarters(), "GIF"))
    data[6:10] = struct.pack("<HH", 10, 10)
    assert (process(bytes(data)).width, process(bytes(data)).height) == (96, 64)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "AVIF"])
def test_no_metadata_is_left_when_the_file_is_full_of_it(kind: str) -> None:
    xmp = b"<x:xmpmeta>PLANTED-XMP</x:xmpmeta>"
    data = encoded(photo(600, 400), kind, exif=exif(1), icc_profile=WIDE_GAMUT, xmp=xmp)
    assert GPS_MARK in data
    if kind == "JPEG":
        data = jpeg_with(data, 0xFE, b"PLANTED-COMMENT")
        data = jpeg_with(data, 0xED, b"Photoshop 3.0\x008BIM\x04\x04\0\0\0\0\0\x0bPLANTED-IPTC")
    if kind == "PNG":
        data = png_with(data, chunk(b"tEXt", b"Author\0PLANTED-TEXT"))
    image = process(data).image
    assert b"PLANTED" not in image
    assert _markers(image) == {0xE0, 0xDB, 0xC0, 0xC4, 0xDA}


def test_no_comment_is_left_when_a_gif_has_one() -> None:
    assert _markers(process(encoded(quarters(), "GIF", comment=b"PLANTED")).image) == {0xE0, 0xDB, 0xC0, 0xC4, 0xDA}


def _markers(jpeg: bytes) -> set[int]:
    """List the kinds of segments up to the scan; only JFIF, tables, a baseline frame and the scan are clean."""
    markers, position = set(), 2
    while 0xDA not in markers:
        markers.add(jpeg[position + 1])
        position += 2 + int.from_bytes(jpeg[position + 2 : position + 4], "big")
    return markers


@pytest.mark.parametrize("size", [(1, 1), (7, 7), (7, 100)])
def test_a_tiny_image_is_refused(size: tuple[int, int]) -> None:
    with pytest.raises(ImageRejectedError) as refused:
        process(encoded(Image.new("RGB", size), "PNG"))
    assert refused.value.code is ErrorCode.TOO_SMALL


def test_an_extreme_aspect_is_refused() -> None:
    with pytest.raises(ImageRejectedError) as refused:
        process(encoded(Image.new("RGB", (2000, 10)), "PNG"))
    assert refused.value.code is ErrorCode.ODD_ASPECT_RATIO


@pytest.mark.parametrize("size", [(1, 1), (1, 5), (9000, 2), (2, 9000), (3, 8)])
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "WEBP"])
def test_tiny_and_extreme_images_are_read_when_the_options_allow(kind: str, size: tuple[int, int]) -> None:
    result = process(encoded(photo(*size), kind), Options(min_image_size=1, max_aspect_ratio=10_000))
    assert (result.original_width, result.original_height) == size
    assert max(result.width, result.height) <= 512
    assert min(result.width, result.height) >= 1


def test_a_format_is_refused_when_the_options_leave_it_out() -> None:
    with pytest.raises(ImageRejectedError, match="GIF") as refused:
        process(encoded(quarters(), "GIF"), Options(formats=frozenset({"JPEG"})))
    assert refused.value.code is ErrorCode.FORMAT_NOT_ALLOWED


@pytest.mark.parametrize(
    "wrong",
    [{"image_size": 0}, {"image_size": 4096}, {"encode_quality": 100}, {"max_pixels": 0}, {"formats": {"BMP"}},
     {"formats": frozenset()}, {"min_image_size": 0}, {"max_aspect_ratio": 0.5}, {"max_image_area": 0},
     {"resize_mode": "fixed"}, {"preset": "best"}, {"tensor": "float16"}],
)  # fmt: skip
def test_options_are_refused_when_out_of_range(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Options(**wrong)


def gif_on_canvas(image: Image.Image, canvas: tuple[int, int], left: int, top: int, **options: Any) -> bytes:
    """Make the canvas of a GIF larger than its frame (GIF89a, 18 and 20)."""
    data = encoded(image, "GIF", **options)
    frame = data.rindex(b"," + bytes(4) + struct.pack("<HH", *image.size))
    moved = data[: frame + 1] + struct.pack("<HH", left, top) + data[frame + 5 :]
    return moved[:6] + struct.pack("<HH", *canvas) + moved[10:]


@pytest.mark.parametrize("options", [{}, {"interlace": 1}, {"transparency": 200}], ids=str)
@pytest.mark.parametrize("place", [(0, 0), (16, 8), (32, 32)])
def test_a_gif_is_white_outside_of_its_frame(place: tuple[int, int], options: dict[str, Any]) -> None:
    """Browsers show nothing there, whatever the background color of the canvas (GIF89a, 18)."""
    frame = quarters().quantize(16)
    data = gif_on_canvas(frame, (128, 96), *place, **options)
    expected = Image.new("RGB", (128, 96), "white")
    expected.paste(frame.convert("RGB"), place)
    assert psnr(decoded(process(data).image), np.asarray(expected)) > 24
    assert np.abs(decoded(process(data).image)[0, -1] - 255).max() <= 3 or place[0] == 32


def test_a_gray_gif_is_white_outside_of_its_frame() -> None:
    data = gif_on_canvas(Image.new("L", (64, 64), 40), (96, 64), 0, 0)
    pixels = decoded(process(data).image)
    assert np.abs(pixels[:, :60] - 40).max() <= 3
    assert np.abs(pixels[:, 68:] - 255).max() <= 3
