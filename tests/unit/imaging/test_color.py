"""Tone curve, primaries and transparency of a file decide about its colors; the expected values are from standards."""

from __future__ import annotations

import struct
import zlib
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms

from imagelake.imaging import Options, color, process
from tests.support.images import (
    GAMMA_22,
    LINEAR,
    chunk,
    decoded,
    encoded,
    gray_profile,
    jpeg_with,
    matrix_profile,
    png_of,
    png_with,
    quarters,
)
from tests.support.sample import pairs

BEST = Options(encode_quality=95)
Color = tuple[int, ...]
# The curve of sRGB as an ICC profile has it (ICC.1:2022, 10.18, type 3).
SRGB_CURVE = b"para\0\0\0\0\0\3\0\0" + struct.pack(
    ">5i", *(round(65536 * number) for number in (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045))
)
# Primaries adapted to D50, as profiles have them: https://registry.color.org/rgb-registry.
SRGB = ((0.6484, 0.3309), (0.3212, 0.5978), (0.1559, 0.0660))
DISPLAY_P3 = ((0.6810, 0.3190), (0.2848, 0.6672), (0.1555, 0.0660))
# The same primaries with their own white D65, as a PNG has them, in units of 1/100,000 (PNG third edition, 11.3.2.1).
SRGB_POINTS = (31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000)
P3_POINTS = (31270, 32900, 68000, 32000, 26500, 69000, 15000, 6000)


def from_linear(light: Any) -> Color:
    """Apply the curve of sRGB (IEC 61966-2-1) to light of 0 to 1."""
    light = np.clip(light, 0, 1)
    values = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    return tuple(int(value) for value in np.round(np.atleast_1d(255 * values)))


def to_linear(rgb: Color) -> Any:
    values = np.array(rgb) / 255
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def p3_to_srgb(rgb: Color, exponent: float | None = None) -> Color:
    """Convert Display P3 by the matrices of CSS Color 4, section 18."""
    light = to_linear(rgb) if exponent is None else (np.array(rgb) / 255) ** exponent
    p3 = [[608311 / 1250200, 189793 / 714400, 198249 / 1000160], [35783 / 156275, 247089 / 357200, 198249 / 2500400],
          [0, 32229 / 714400, 5220557 / 5000800]]  # fmt: skip
    srgb = [[12831 / 3959, -329 / 214, -1974 / 3959], [-851781 / 878810, 1648619 / 878810, 36519 / 878810],
            [705 / 12673, -2585 / 12673, 705 / 667]]  # fmt: skip
    return from_linear(np.array(srgb) @ np.array(p3) @ light)


def middle(data: bytes) -> Color:
    pixels = decoded(process(data, BEST).image)
    return tuple(int(value) for value in pixels[pixels.shape[0] // 2, pixels.shape[1] // 2])


def assert_near(found: Color, expected: Color, by: int = 3) -> None:
    """Compare colors; a JPEG of flat color and the rounding of a profile change a value a little."""
    wanted = expected * 3 if len(expected) == 1 else expected
    assert max(abs(one - other) for one, other in zip(found, wanted, strict=True)) <= by, (found, wanted)


def flat(rgb: Color, kind: str = "PNG", mode: str = "RGB", **options: Any) -> bytes:
    return encoded(Image.new(mode, (32, 32), rgb if len(rgb) > 1 else rgb[0]), kind, **options)


# ---- Profiles --------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("name", "rgb"),
    pairs(
        [b"sRGB", b"Display P3 Gamut with sRGB Transfer", b"c2", b""],
        [(200, 60, 60), (10, 200, 90), (128, 128, 128), (250, 250, 10)],
    ),
)
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "AVIF"])
def test_primaries_count_and_not_the_description(kind: str, name: bytes, rgb: Color) -> None:
    """(200, 60, 60) in Display P3 is (217, 42, 52) in sRGB."""
    profile = matrix_profile(*DISPLAY_P3, curve=SRGB_CURVE, name=name)
    assert_near(middle(flat(rgb, kind, icc_profile=profile)), p3_to_srgb(rgb), by=6 if kind in ("WEBP", "AVIF") else 3)


@pytest.mark.parametrize("value", [5, 60, 128, 250])
@pytest.mark.parametrize("name", [b"GIMP built-in Linear sRGB", b"sRGB IEC61966-2.1"])
def test_the_tone_curve_counts_and_not_the_description(name: bytes, value: int) -> None:
    """60 in linear light is 133 in sRGB."""
    profile = matrix_profile(*SRGB, curve=LINEAR, name=name)
    assert_near(middle(flat((value,) * 3, icc_profile=profile)), from_linear(value / 255))
    assert_near(middle(flat((value,), mode="L", icc_profile=gray_profile(LINEAR))), from_linear(value / 255))


@pytest.mark.parametrize("name", [b"sRGB", b"uRGB", b"Nobody knows"])
def test_a_profile_with_the_curve_and_primaries_of_srgb_changes_no_pixel(name: bytes) -> None:
    image = quarters()
    profile = matrix_profile(*SRGB, curve=SRGB_CURVE, name=name)
    assert process(encoded(image, "PNG", icc_profile=profile)).image == process(encoded(image, "PNG")).image
    gray = image.convert("L")
    profile = gray_profile(SRGB_CURVE)
    assert process(encoded(gray, "PNG", icc_profile=profile)).image == process(encoded(gray, "PNG")).image


def test_a_profile_is_examined_once(monkeypatch: pytest.MonkeyPatch) -> None:
    color._make_conversion.cache_clear()
    built = []
    build = ImageCms.buildTransform

    def count(*arguments: Any, **options: Any) -> Any:
        built.append(arguments)
        return build(*arguments, **options)

    monkeypatch.setattr(ImageCms, "buildTransform", count)
    for rgb in ((1, 2, 3), (4, 5, 6), (7, 8, 9)):
        process(flat(rgb, icc_profile=matrix_profile(*DISPLAY_P3)))
    assert len(built) == 1


@pytest.mark.slow
def test_many_threads_may_use_the_same_profile() -> None:
    colors = [(value, 255 - value, 90) for value in range(0, 256, 8)]
    files = [flat(rgb, icc_profile=matrix_profile(*DISPLAY_P3, curve=SRGB_CURVE)) for rgb in colors]
    expected = [middle(data) for data in files]
    color._make_conversion.cache_clear()
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(middle, files)) == expected


# ---- Colors that a PNG states without a profile ----------------------------------------------------------------------
def gamma(value: float) -> bytes:
    return chunk(b"gAMA", struct.pack(">I", round(100_000 * value)))


def points(*values: int) -> bytes:
    return chunk(b"cHRM", struct.pack(">8I", *values))


def codes(primaries: int, curve: int, matrix: int = 0, is_full: int = 1) -> bytes:
    return chunk(b"cICP", bytes([primaries, curve, matrix, is_full]))


def icc(profile: bytes) -> bytes:
    return chunk(b"iCCP", b"name\0\0" + zlib.compress(profile))


SRGB_CHUNK = chunk(b"sRGB", b"\0")


@pytest.mark.parametrize("mode", ["RGB", "L", "P", "LA", "RGBA"])
@pytest.mark.parametrize(("value", "exponent"), [(1.0, 1.0), (0.5, 2.0), (0.55556, 1.8), (0.2, 5.0)])
@pytest.mark.parametrize("level", [55, 128, 200])
def test_gamma_says_how_much_light_a_value_is(mode: str, value: float, exponent: float, level: int) -> None:
    """PNG third edition, 11.3.2.2: a sample is light to the power of gamma. 55 with gamma 1 is 128 in sRGB."""
    image = Image.new("RGB", (32, 32), (level,) * 3).convert("RGB" if mode == "P" else mode)
    data = png_with(encoded(image.quantize(4) if mode == "P" else image, "PNG"), gamma(value))
    assert_near(middle(data), from_linear((level / 255) ** exponent))


@pytest.mark.parametrize(
    "chunks",
    [gamma(0.45455), gamma(0.45455) + points(*SRGB_POINTS), gamma(0.44), points(*SRGB_POINTS), SRGB_CHUNK + gamma(1),
     SRGB_CHUNK + points(*P3_POINTS), gamma(0), gamma(20_000), chunk(b"gAMA", b"\1"), points(*[0] * 8),
     points(*[31270, 32900] * 4), points(31270, 0, *P3_POINTS[2:]), codes(1, 13), codes(9, 16), codes(9, 18),
     codes(12, 13, 1), codes(12, 13, 0, 0), codes(2, 2), codes(1, 13) + gamma(1), chunk(b"cICP", b"\x0c\x0d")],
    ids=lambda chunks: str(chunks[4:20]),
)  # fmt: skip
def test_colors_stay_when_a_png_states_those_of_srgb_or_none_that_make_sense(chunks: bytes) -> None:
    """The chunk sRGB overrides gAMA and cHRM (4.3). Like libpng, a gamma within 5 % of 1/2.2 is taken for sRGB's."""
    image = encoded(quarters(), "PNG")
    assert process(png_with(image, chunks)).image == process(image).image


P3_PROFILE = matrix_profile(*DISPLAY_P3, curve=SRGB_CURVE)


@pytest.mark.parametrize(
    ("chunks", "expected"),
    [
        (points(*P3_POINTS), p3_to_srgb((200, 60, 60))),
        (gamma(0.45455) + points(*P3_POINTS), p3_to_srgb((200, 60, 60))),
        (gamma(1) + points(*P3_POINTS), p3_to_srgb((200, 60, 60), 1.0)),
        (points(*P3_POINTS) + gamma(0.5), p3_to_srgb((200, 60, 60), 2.0)),
        (icc(P3_PROFILE) + gamma(1), p3_to_srgb((200, 60, 60))),
        (gamma(1) + SRGB_CHUNK + icc(P3_PROFILE), p3_to_srgb((200, 60, 60))),
        (codes(12, 13), p3_to_srgb((200, 60, 60))),
        (codes(12, 8) + gamma(0.5), p3_to_srgb((200, 60, 60), 1.0)),
        (icc(P3_PROFILE) + codes(12, 4), p3_to_srgb((200, 60, 60), 2.2)),
        (codes(12, 8) + SRGB_CHUNK, p3_to_srgb((200, 60, 60), 1.0)),
        (codes(9, 16) + gamma(1), from_linear(np.array((200, 60, 60)) / 255)),
        (chunk(b"iCCP", b"name\0\0broken") + gamma(1), from_linear(np.array((200, 60, 60)) / 255)),
    ],
)  # fmt: skip
def test_chunks_count_in_the_order_of_the_standard(chunks: bytes, expected: Color) -> None:
    """PNG third edition, 4.3: cICP before iCCP before sRGB before gAMA and cHRM. Codes are those of ITU-T H.273."""
    assert_near(middle(png_with(flat((200, 60, 60)), chunks)), expected)


# ---- Transparency ----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("alpha", [255, 128, 0])
@pytest.mark.parametrize("level", [55, 0, 200])
def test_gray_with_alpha_is_converted_before_it_gets_its_background(level: int, alpha: int) -> None:
    """55 with a linear gray profile is 128. The background is mixed in as CSS does it, in sRGB (CSS Compositing 1)."""
    data = flat((level, alpha), mode="LA", icc_profile=gray_profile(LINEAR))
    own = from_linear(level / 255)[0]
    assert_near(middle(data), (round((own * alpha + 255 * (255 - alpha)) / 255),))


@pytest.mark.parametrize("interlace", [0, 1])
@pytest.mark.parametrize("chunks", [icc(gray_profile(LINEAR)), gamma(1.0), codes(1, 8)], ids=["iCCP", "gAMA", "cICP"])
@pytest.mark.parametrize(("level", "alpha"), [(55, 255), (55, 128), (200, 255), (0, 0), (120, 30)])
def test_gray_of_16_bits_with_alpha_has_its_profile(level: int, alpha: int, chunks: bytes, interlace: int) -> None:
    """A gray PNG may have a gray profile with any number of bits (PNG third edition, 11.3.2.3)."""
    steps = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]
    sizes = [(len(range(x, 32, dx)), len(range(y, 32, dy))) for x, y, dx, dy in steps] if interlace else [(32, 32)]
    pixel = bytes((level, level, alpha, alpha))
    body = zlib.compress(b"".join((b"\0" + pixel * columns) * rows for columns, rows in sizes))
    data = png_with(png_of(32, 32, body, 16, 4, interlace), chunks)
    own = from_linear(level / 255)[0]
    assert_near(middle(data), (round((own * alpha + 255 * (255 - alpha)) / 255),))


@pytest.mark.parametrize("alpha", [255, 128, 0])
def test_color_with_alpha_is_converted_before_it_gets_its_background(alpha: int) -> None:
    data = flat((200, 60, 60, alpha), mode="RGBA", icc_profile=P3_PROFILE)
    expected = [round((value * alpha + 255 * (255 - alpha)) / 255) for value in p3_to_srgb((200, 60, 60))]
    assert_near(middle(data), tuple(expected))


def test_the_white_of_the_background_is_white_whatever_the_profile() -> None:
    profile = gray_profile(GAMMA_22)
    data = png_with(flat((90,), mode="L", transparency=90), icc(profile))
    assert_near(middle(data), (255,), by=0)


@pytest.mark.parametrize("alphas", [b"\0\xff", b"\x80\xff\0", b"\xff\xff\x01"])
def test_a_palette_may_have_several_transparent_entries(alphas: bytes) -> None:
    image = Image.new("P", (32, 32), 0)
    image.putpalette([200, 60, 60, 0, 0, 255, 1, 2, 3])
    expected = [round((value * alphas[0] + 255 * (255 - alphas[0])) / 255) for value in p3_to_srgb((200, 60, 60))]
    assert_near(middle(encoded(image, "PNG", transparency=alphas, icc_profile=P3_PROFILE)), tuple(expected))


def row_of(samples: list[int], depth: int) -> bytes:
    bits = "".join(f"{sample:0{depth}b}" for sample in samples)
    return b"\0" + int(bits, 2).to_bytes(len(bits) // 8, "big")


def png_with_transparent(samples: list[int], depth: int, color_type: int, value: bytes) -> bytes:
    """Make a PNG whose rows repeat these samples, each for eight pixels."""
    channels = 3 if color_type == 2 else 1
    wide = [part for at in range(0, len(samples), channels) for part in samples[at : at + channels] * 8]
    data = png_of(len(wide) // channels, 16, zlib.compress(row_of(wide, depth) * 16), depth, color_type)
    return png_with(data, chunk(b"tRNS", value))


@pytest.mark.parametrize(("depth", "scale"), [(1, 255), (2, 85), (4, 17), (8, 1)])
@pytest.mark.parametrize("index", [0, 1])
def test_the_transparent_gray_of_a_png_of_few_bits_is_white(depth: int, scale: int, index: int) -> None:
    """PNG third edition, 11.3.1.1: the value has the depth of the samples."""
    levels = [0, (1 << depth) - 1]
    data = png_with_transparent(levels, depth, 0, struct.pack(">H", levels[index]))
    row = decoded(process(data, BEST).image)[8]
    kept = levels[1 - index] * scale
    assert_near(tuple(row[4 + 8 * index]), (255,))
    assert_near(tuple(row[4 + 8 * (1 - index)]), (kept,))


@pytest.mark.parametrize("level", range(4))
def test_each_of_four_grays_may_be_transparent(level: int) -> None:
    row = decoded(process(png_with_transparent([0, 1, 2, 3], 2, 0, struct.pack(">H", level)), BEST).image)[8]
    expected = [255 if one == level else 85 * one for one in range(4)]
    assert np.abs(row[4::8, 0] - expected).max() <= 4


@pytest.mark.parametrize(("transparent", "other"), [(0, 0x0001), (0x1234, 0x1235), (0xFF00, 0x00FF), (0x8000, 0x80FF)])
def test_a_transparent_value_of_16_bits_is_compared_in_full(transparent: int, other: int) -> None:
    """11.3.1.1: a decoder that reduces samples to 8 bits compares all 16 bits before."""
    data = png_with_transparent([transparent, other], 16, 0, struct.pack(">H", transparent))
    row = decoded(process(data, BEST).image)[8]
    assert_near(tuple(row[4]), (255,))
    assert_near(tuple(row[12]), (other >> 8,))
    rgb = [[transparent, 0x4000, 0x7FFF], [other, 0x4000, 0x7FFF]]
    data = png_with_transparent([*rgb[0], *rgb[1]], 16, 2, struct.pack(">3H", *rgb[0]))
    row = decoded(process(data, Options(encode_quality=95)).image)[8]
    assert_near(tuple(row[3]), (255,), by=8)
    assert_near(tuple(row[12]), (other >> 8, 0x40, 0x7F), by=30)


def test_a_png_of_16_bits_may_be_interlaced_and_have_a_transparent_color() -> None:
    passes = [(2, 2), (2, 2), (4, 2), (4, 4), (8, 4), (8, 8), (16, 8)]
    pixel = struct.pack(">3H", 0x1234, 0x5678, 0x9ABC)
    body = zlib.compress(b"".join((b"\0" + pixel * width) * height for width, height in passes))
    data = png_of(16, 16, body, depth=16, color=2, interlace=1)
    assert_near(middle(data), (0x12, 0x56, 0x9A))
    assert_near(middle(png_with(data, chunk(b"tRNS", pixel))), (255,))


# ---- Orientation -----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "AVIF"])
@pytest.mark.parametrize("form", ["<tiff:Orientation>6</tiff:Orientation>", '<r tiff:Orientation="6"/>'])
def test_an_orientation_that_only_xmp_states_is_ignored(kind: str, form: str) -> None:
    """Browsers apply only the orientation of EXIF; see docs/dataset.md."""
    xmp = f'<x:xmpmeta xmlns:x="adobe:ns:meta/" xmlns:tiff="http://ns.adobe.com/tiff/1.0/">{form}</x:xmpmeta>'.encode()
    if kind == "PNG":
        data = png_with(encoded(quarters(), kind), chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + xmp))
    elif kind == "JPEG":
        data = jpeg_with(encoded(quarters()), 0xE1, b"http://ns.adobe.com/xap/1.0/\0" + xmp)
    else:
        data = encoded(quarters(), kind, xmp=xmp)
    assert xmp in data
    result = process(data)
    assert (result.width, result.height) == (96, 64)
