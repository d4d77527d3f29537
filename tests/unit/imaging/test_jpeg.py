"""The preset ``fast`` drops the refinement scans of a progressive JPEG, and still finds one that is cut off."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from imagelake.imaging import Options, process
from imagelake.imaging.jpeg import read_header, without_refinements
from imagelake.run.errors import ErrorCode, ImageRejectedError
from tests.support.images import decoded, encoded, photo, psnr


def test_the_refinements_of_a_progressive_jpeg_are_emptied_and_no_other_scan() -> None:
    progressive = read_header(encoded(photo(300, 200), progressive=True, quality=85))
    shorter = without_refinements(progressive)
    assert len(shorter) < 0.6 * len(progressive.stripped)
    assert shorter.count(b"\xff\xda") == progressive.stripped.count(b"\xff\xda")
    assert shorter.endswith(b"\xff\xd9")
    assert psnr(decoded(shorter), decoded(progressive.stripped)) > 34
    # The decoder must not read past the missing data; that would show in the first block.
    change = decoded(shorter)[:16, :16] - decoded(progressive.stripped)[:16, :16]
    assert np.abs(change).max() < 30
    # The encoder's own tables stay, because later scans need them.
    own = (b"\xff\xc4\0\x14\x10\x01", b"\xff\xc4\0\x14\x11\x01")
    assert [shorter.count(table) for table in own] == [progressive.stripped.count(table) for table in own]
    assert shorter.count(b"\xff\xc4\0\x14\x13\x01") == 4
    uses_table_3 = bytearray(progressive.stripped)
    uses_table_3[progressive.scan_offsets[-1] + 6] |= 3
    assert without_refinements(replace(progressive, stripped=bytes(uses_table_3))) == uses_table_3
    baseline = read_header(encoded(photo(300, 200)))
    assert without_refinements(baseline) == baseline.stripped


def test_a_cut_progressive_jpeg_is_called_truncated_when_its_last_scan_is_not_read() -> None:
    data = encoded(photo(1200, 900), progressive=True)
    for percent in range(5, 100, 5):
        with pytest.raises(ImageRejectedError) as refused:
            process(data[: len(data) * percent // 100], Options(preset="fast"))
        assert refused.value.code is ErrorCode.TRUNCATED, percent
