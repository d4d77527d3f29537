"""A few hundred malformed files, made from small images and a seed."""

from __future__ import annotations

import io
import random
import struct
import zipfile

from tests.support.images import chunk, encoded, exif, jpeg_with, photo, png_with

KINDS = ["JPEG", "PNG", "WEBP", "GIF", "AVIF"]
_MAGIC = {"JPEG": 3, "PNG": 8, "WEBP": 12, "GIF": 6, "AVIF": 12}
_OTHER_KINDS = ["BMP", "TIFF", "ICO", "PPM", "TGA", "PCX", "JPEG2000", "DDS", "PDF", "EPS"]
# Code that a browser, a shell or an unpacker would run if it found it in an image that it downloads.
PAYLOADS = {
    "HTML": b"<!doctype html><html><script>alert('PLANTED-SCRIPT')</script></html>",
    "JS": b"/*PLANTED-SCRIPT*/=1;alert(1)//",
    "PHP": b"<?php system('PLANTED-SCRIPT'); ?>",
    "shell": b"#!/bin/sh\n: PLANTED-SCRIPT\n",
    "PDF": b"%PDF-1.7\n1 0 obj<</S/JavaScript/JS(PLANTED-SCRIPT)>>endobj\ntrailer<</Root 1 0 R>>\n%%EOF",
}


def malformed() -> dict[str, bytes]:
    """Make the files by name; they are the same on every machine whose encoders write the same bytes."""
    dice = random.Random("malformed")
    samples = {kind: encoded(photo(64, 48), kind, **({} if kind == "GIF" else {"exif": exif(6)})) for kind in KINDS} | {
        "progressive JPEG": encoded(photo(64, 48), progressive=True)
    }
    return {
        **_cut(samples),
        **_flipped(samples, dice),
        **_spliced(samples, dice),
        **_disguised(samples),
        **_polyglots(samples),
        **_foreign(),
    }


def _cut(samples: dict[str, bytes]) -> dict[str, bytes]:
    return {
        f"{kind} cut at {percent} %": data[: len(data) * percent // 100]
        for kind, data in samples.items()
        for percent in range(0, 100, 5)
    }


def _flipped(samples: dict[str, bytes], dice: random.Random) -> dict[str, bytes]:
    files = {}
    for kind, data in samples.items():
        for number in range(16):
            broken = bytearray(data)
            for _ in range(dice.choice((1, 4, 30))):
                at = dice.randrange(len(data) if dice.random() < 0.5 else min(len(data), 800))
                broken[at] ^= 1 << dice.randrange(8)
            files[f"{kind} flipped {number}"] = bytes(broken)
    return files


def _spliced(samples: dict[str, bytes], dice: random.Random) -> dict[str, bytes]:
    files = {}
    for kind, data in samples.items():
        for number in range(5):
            start, length = dice.randrange(len(data)), dice.randrange(1, 300)
            files[f"{kind} hole {number}"] = data[:start] + data[start + length :]
            files[f"{kind} repeat {number}"] = data[: start + length] + data[start:]
            files[f"{kind} noise {number}"] = data[:start] + dice.randbytes(length) + data[start + length :]
    return files


def _disguised(samples: dict[str, bytes]) -> dict[str, bytes]:
    """Put the first bytes of one format before the rest of another."""
    return {
        f"{other} that begins as {kind}": samples[kind][: _MAGIC[kind]] + samples[other][_MAGIC[other] :]
        for kind in KINDS
        for other in KINDS
        if kind != other
    }


def _polyglots(samples: dict[str, bytes]) -> dict[str, bytes]:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as opened:
        opened.writestr("PLANTED-SCRIPT.html", PAYLOADS["HTML"])
    payloads = PAYLOADS | {"ZIP": archive.getvalue()}
    jpeg, png, gif = samples["JPEG"], samples["PNG"], samples["GIF"]
    files = {
        f"{kind} and {name}": data + payload for kind, data in samples.items() for name, payload in payloads.items()
    }
    for name, payload in payloads.items():
        files[f"JPEG with {name} in its comment"] = jpeg_with(jpeg, 0xFE, payload)
        files[f"JPEG with {name} in a segment"] = jpeg_with(jpeg, 0xEF, payload)
        files[f"PNG with {name} in its text"] = png_with(png, chunk(b"tEXt", b"Comment\0" + payload))
        files[f"GIF with {name} in its comment"] = gif[:-1] + b"!\xfe" + bytes([len(payload) % 256]) + payload + b"\0;"
        files[f"{name} before a JPEG"] = payload + jpeg
    # The size of this GIF is the start of a comment in JavaScript, so the file is a script as well.
    files["GIF that is a script"] = b"GIF89a/*" + gif[8:] + b"*/=1;alert('PLANTED-SCRIPT');"
    return files


def _foreign() -> dict[str, bytes]:
    image = photo(64, 48)
    return {
        **{kind: encoded(image, kind) for kind in _OTHER_KINDS},
        "HTML": PAYLOADS["HTML"],
        "HTML after spaces": b" \r\n\t" * 100 + PAYLOADS["HTML"],
        "HTML after a byte order mark": b"\xef\xbb\xbf" + PAYLOADS["HTML"],
        "SVG": b"<svg xmlns='http://www.w3.org/2000/svg'><script>PLANTED-SCRIPT</script></svg>",
        "SVG with an entity": b"<!DOCTYPE svg [<!ENTITY x SYSTEM 'file:///etc/passwd'>]><svg>&x;</svg>",
        "PostScript": b"%!PS\n(/etc/passwd) (r) file PLANTED-SCRIPT",
        "JSON": b'{"error": "PLANTED-SCRIPT"}',
        "ELF": b"\x7fELF\2\1\1" + bytes(200),
        "MP4": b"\0\0\0\x18ftypmp42" + bytes(100),
        "HEIC": struct.pack(">I", 24) + b"ftypheic\0\0\0\0mif1heic" + bytes(100),
        "nothing": b"",
        "zeros": bytes(5_000),
    }  # fmt: skip
