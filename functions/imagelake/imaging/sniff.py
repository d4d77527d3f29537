"""Detect the format of a file from its first bytes; file names and Content-Type headers are not trusted."""

from __future__ import annotations

import re

from imagelake.run.errors import ErrorCode, ImageRejectedError

_IMAGES = {
    "JPEG": re.compile(rb"\xff\xd8\xff"),
    "PNG": re.compile(rb"\x89PNG\r\n\x1a\n"),
    "WEBP": re.compile(rb"RIFF.{4}WEBP", re.DOTALL),
    "GIF": re.compile(rb"GIF8[79]a"),
}
# Formats of images, and of documents that draw one. Their decoders are not worth the risk for a feed of photos.
_REFUSED = {
    "TIFF": re.compile(rb"II[*+]\0|MM\0[*+]"),
    "BMP": re.compile(rb"BM.{4}\0\0\0\0", re.DOTALL),
    "PDF": re.compile(rb"%PDF-"),
    "EPS or PostScript": re.compile(rb"%!PS|\xc5\xd0\xd3\xc6"),
    "PSD": re.compile(rb"8BPS"),
    "ICO": re.compile(rb"\0\0[\x01\x02]\0[^\0]\0"),
    "ICNS": re.compile(rb"icns"),
    "JPEG 2000": re.compile(rb"\0\0\0\x0cjP  \r\n|\xff\x4f\xff\x51"),
    "JPEG XL": re.compile(rb"\xff\x0a|\0\0\0\x0cJXL \r\n"),
    "JPEG XR": re.compile(rb"II\xbc"),
    "QOI": re.compile(rb"qoif"),
    "DDS": re.compile(rb"DDS "),
    "MNG": re.compile(rb"\x8aMNG\r\n"),
    "WMF or EMF": re.compile(rb"\xd7\xcd\xc6\x9a|\x01\0\0\0.{36} EMF", re.DOTALL),
    "OpenEXR": re.compile(rb"v/1\x01"),
    "Netpbm": re.compile(rb"P[1-7][ \t\r\n]"),
}
_NOT_IMAGES = {
    "a ZIP archive": re.compile(rb"PK\x03\x04"),
    "gzip": re.compile(rb"\x1f\x8b"),
    "Matroska or WebM video": re.compile(rb"\x1a\x45\xdf\xa3"),
    "MP3 or AAC audio": re.compile(rb"ID3|\xff[\xf1\xf9\xfb]"),
    "a RIFF file that holds no WebP": re.compile(rb"RIFF"),
}
_HTML = re.compile(rb"<(!doctype\s+html|html|head|body|script|title|meta)\b", re.IGNORECASE)
_SVG = re.compile(rb"<(\w+:)?svg[\s>]", re.IGNORECASE)
_HEAD_BYTES = 1024


def sniff_format(data: bytes) -> str:
    """Return the format of ``data``, a key of ``formats.FORMATS``.

    Raises ``ImageRejectedError`` with the code ``EMPTY``, with ``FORMAT_NOT_ALLOWED`` for a known format that is not
    decoded, or with ``NOT_AN_IMAGE``. The message names the format found instead.
    """
    if not data:
        raise ImageRejectedError(ErrorCode.EMPTY, "The file has no bytes.")
    head = bytes(data[:_HEAD_BYTES])
    if name := _first_match(_IMAGES, head):
        return name
    if head[4:8] == b"ftyp":
        return _sniff_brands(head)
    if name := _first_match(_REFUSED, head):
        raise refusal(name)
    raise _not_an_image(head)


def refusal(name: str) -> ImageRejectedError:
    """Make the error for an image in a format that is not decoded."""
    return ImageRejectedError(ErrorCode.FORMAT_NOT_ALLOWED, f"The file is {name}, a format that is not accepted.")


def _first_match(patterns: dict[str, re.Pattern[bytes]], head: bytes) -> str | None:
    return next((name for name, pattern in patterns.items() if pattern.match(head)), None)


def _sniff_brands(head: bytes) -> str:
    """Distinguish AVIF, HEIC and video by the brands of an ISO base media file (ISO/IEC 14496-12, 4.3)."""
    box = head[8 : max(16, int.from_bytes(head[:4], "big"))]
    brands = {box[:4], *(box[start : start + 4] for start in range(8, len(box), 4))}
    if brands & {b"avif", b"avis"}:
        return "AVIF"
    if brands & {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"}:
        raise refusal("HEIC")
    raise ImageRejectedError(ErrorCode.NOT_AN_IMAGE, "The file is not an image but MP4 or QuickTime video.")


def _not_an_image(head: bytes) -> ImageRejectedError:
    """Make the error for a file that is not a known image format; the message names what the file seems to be."""
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if name := _first_match(_NOT_IMAGES, head):
        pass
    elif text[:1] == b"<":
        if not _HTML.match(text) and _SVG.search(text):
            return refusal("SVG")
        name = "HTML" if _HTML.search(text) else "XML"
    elif text[:1] in (b"{", b"["):
        name = "JSON"
    else:
        name = "text" if _is_text(head) else "bytes of no known format"
    return ImageRejectedError(ErrorCode.NOT_AN_IMAGE, f"The file is not an image but {name}.")


def _is_text(head: bytes) -> bool:
    # The head may end in the middle of a character of several bytes.
    return head.decode("utf-8", "ignore").replace("\ufeff", "").isprintable() or not re.search(
        rb"[\0-\x08\x0e-\x1f\x7f-\xff]", head
    )
