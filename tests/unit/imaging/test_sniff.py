"""The format of a file is detected from its bytes alone."""

from __future__ import annotations

import pytest
from PIL import Image

from imagelake.imaging.sniff import sniff_format
from imagelake.run.errors import ErrorCode, ImageRejectedError
from tests.support.images import encoded, quarters


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "AVIF"])
def test_sniff_names_each_allowed_format(kind: str) -> None:
    assert sniff_format(encoded(quarters(), kind)) == kind


def test_sniff_names_an_mpo_a_jpeg() -> None:
    assert sniff_format(encoded(quarters(), "MPO", save_all=True, append_images=[quarters()])) == "JPEG"


@pytest.mark.parametrize("kind", ["TIFF", "BMP", "PDF", "EPS", "ICO", "DDS", "PPM", "JPEG2000", "ICNS", "QOI"])
def test_sniff_names_a_known_format_it_refuses(kind: str) -> None:
    with pytest.raises(ImageRejectedError) as refused:
        sniff_format(encoded(Image.new("RGB", (128, 128)), kind))
    assert refused.value.code is ErrorCode.FORMAT_NOT_ALLOWED
    assert kind.replace("JPEG2000", "JPEG 2000").replace("PPM", "Netpbm") in str(refused.value)


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "SVG"),
        (b"\xef\xbb\xbf<?xml version='1.0'?>\n<!-- drawn -->\n<svg width='1'>", "SVG"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n", "EPS"),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "HEIC"),
        (b"\0\0\0\x0cJXL \r\n\x87\n", "JPEG XL"),
        (b"8BPS\0\1", "PSD"),
    ],
)
def test_sniff_names_a_refused_format_from_its_first_bytes(data: bytes, name: str) -> None:
    with pytest.raises(ImageRejectedError, match=name) as refused:
        sniff_format(data)
    assert refused.value.code is ErrorCode.FORMAT_NOT_ALLOWED


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (b"\n <!DOCTYPE html><html><body><svg></svg>", "HTML"),
        (b"<html lang=en>", "HTML"),
        (b"<?xml version='1.0'?><rss/>", "XML"),
        (b'{"error": "gone"}', "JSON"),
        (b"[1, 2]", "JSON"),
        (b"Not found\r\n", "text"),
        ("Datei nicht gefunden: \u00e4".encode(), "text"),
        (b"\0\0\0\x18ftypmp42\0\0\0\0isom", "MP4"),
        (b"PK\x03\x04", "ZIP"),
        (b"RIFF\0\0\0\0WAVE", "RIFF"),
        (b"\x1f\x8b\x08", "gzip"),
        (bytes(64), "no known format"),
    ],
)
def test_sniff_names_a_file_that_is_not_an_image(data: bytes, name: str) -> None:
    with pytest.raises(ImageRejectedError, match=name) as refused:
        sniff_format(data)
    assert refused.value.code is ErrorCode.NOT_AN_IMAGE


def test_sniff_refuses_an_empty_file() -> None:
    with pytest.raises(ImageRejectedError) as refused:
        sniff_format(b"")
    assert refused.value.code is ErrorCode.EMPTY
