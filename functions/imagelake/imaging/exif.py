"""Read the one EXIF tag that changes how an image looks, and nothing else: the rest tells about the camera's owner."""

from __future__ import annotations

import struct

_ORIENTATION = 0x0112
_SHORT = 3
# Cameras write about 15 entries into the first directory (EXIF 2.32, 4.6.4 A); a block could hold 65,535.
_MAX_ENTRIES = 1_000


def read_orientation(block: bytes) -> int:
    """Read the orientation from an EXIF block, 1 to 8 (EXIF 2.32, 4.6.4 A); 1 if there is none or it is damaged.

    Only the entries of the first directory are read, and no offset except that of the directory is followed. So a
    hostile block costs nothing.
    """
    tiff = block.removeprefix(b"Exif\0\0")
    byte_order = {b"II": "<", b"MM": ">"}.get(tiff[:2])
    if byte_order is None:
        return 1
    try:
        (directory,) = struct.unpack_from(f"{byte_order}I", tiff, 4)
        (count,) = struct.unpack_from(f"{byte_order}H", tiff, directory)
        for entry in range(directory + 2, directory + 2 + 12 * min(count, _MAX_ENTRIES), 12):
            tag, kind, _, value = struct.unpack_from(f"{byte_order}HHIH", tiff, entry)
            if tag == _ORIENTATION:
                return value if kind == _SHORT and 1 <= value <= 8 else 1
    except struct.error:
        pass
    return 1
