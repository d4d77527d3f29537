"""docs/limits.md has the numbers of the code."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

from check_input import run_input
from fetch import pager
from imagelake.imaging import Options, avif, exif, gif, header, png, vp8l
from imagelake.lake import hash_log
from imagelake.run import image_options, models, posts
from imagelake.sources import (
    contract,
    feed,
    feed_document,
    feed_handlers,
    plain_text,
    responses,
    stream,
    wire,
    xml_text,
)
from imagelake.web import body, http1
from imagelake.web.client import GuardedClient
from transform import decoder
from transform.download import Limits
from validate import batch_size, pages, planner, retries

PAGE = Path(__file__).parents[2] / "docs" / "limits.md"
NUMBERS = {
    "bytes of an image file": Limits().max_bytes,
    "bytes of any other response": inspect.signature(GuardedClient.exchange).parameters["max_bytes"].default,
    f"chunks of a body, and one more for each {http1.MIN_CHUNK} bytes[^chunks]": http1.MAX_SMALL_CHUNKS,
    "bytes without the end of a chunk's line or of the trailers": http1._LONGEST_LINE,
    "bytes of the heads of a response": http1._LONGEST_HEAD,
    "gzip members of a body": body.MAX_MEMBERS,
    "JSON values of a page": responses.MAX_VALUES,
    "entries of a page": wire.MAX_ENTRIES,
    "bytes of the pages of a feed in a run": pager.MAX_BYTES,
    "bytes of the entries of rejects of a feed in a run": pages.MAX_REJECT_BYTES,
    "characters of the URL of a page": contract.MAX_PAGE_URL,
    "characters of the id in a bookmark": feed.MAX_BOOKMARK,
    "elements of an XML feed": feed_handlers._MAX_ELEMENTS,
    "open elements inside each other": feed_handlers._MAX_DEPTH,
    "attributes of an element": feed_handlers._MAX_ATTRIBUTES,
    "namespaces of an XML feed": feed_handlers._MAX_NAMESPACES,
    "ampersands of an XML feed": xml_text.MAX_AMPERSANDS,
    "pieces of text of a feed that is not well-formed XML": feed_document._LooseParser.max_pieces,
    "seconds of CPU time for an XML feed": feed_handlers._MAX_SECONDS,
    "tags of HTML that are read at once": plain_text.MAX_TAGS_OF_PART,
    "characters of a Content-Type": responses.MAX_CONTENT_TYPE,
    "media items of a post": posts.MAX_MEDIA,
    "bytes of a post's texts, once for each media item": posts.MAX_POST_BYTES,
    "bytes of `post_id`": posts.MAX_POST_ID_BYTES,
    "characters of `author_id`": posts.MAX_AUTHOR_ID,
    "bytes of `media_id`": posts.MAX_MEDIA_ID_BYTES,
    "characters of `skip_reason`": posts.MAX_SKIP_REASON,
    "media items of a post in a stream": stream.MAX_RECORD_MEDIA,
    "JSON values of a record of a stream": stream.MAX_RECORD_VALUES,
    "pixels of an image": Options().max_pixels,
    "bytes of memory of a decoder[^pixels]": header.MAX_DECODER_BYTES,
    "seconds of CPU time of a decoder, by an estimate[^time]": header.MAX_DECODER_SECONDS,
    "pixels of the result": image_options.MAX_RESULT_PIXELS,
    "bytes of a color profile": header.MAX_PROFILE_BYTES,
    "segments of a JPEG, chunks of a PNG, chunks of a WebP in front of a lossless image": header.MAX_PARTS,
    "bytes of the unpacked texts of a PNG": png._MAX_TEXT_BYTES,
    "blocks of a GIF": gif._MAX_BLOCKS,
    "units of all frames of an AVIF": avif._MAX_UNITS,
    "items of an AVIF, and boxes in one of its boxes": avif._MAX_BOXES,
    "pieces of all items of an AVIF": avif._MAX_PIECES,
    "bytes of the lists of items of an AVIF": avif._MAX_TABLE_BYTES,
    "blocks of a lossless WebP with prefix codes of their own": vp8l.MAX_BLOCKS,
    "pixels of the transforms of a lossless WebP": vp8l.MAX_TRANSFORM_PIXELS,
    "entries of EXIF that are read": exif._MAX_ENTRIES,
    "failures of the decoder on one image[^failures]": decoder.MAX_FAILURES,
    "bytes of memory of the decoder's process[^failures]": decoder.LIMITS.memory_bytes,
    "seconds of CPU time of the decoder for one image[^failures]": decoder.LIMITS.cpu_seconds,
    "feeds of a run, each server of a list counted": run_input.MAX_FEEDS,
    "bytes of a feed as JSON[^bytes]": run_input.MAX_FEED_BYTES,
    "bytes of all feeds of a run as JSON[^bytes]": run_input.MAX_FEEDS_BYTES,
    "items of a batch": models.MAX_BATCH_SIZE,
    "bytes of the items of a batch": planner.MAX_BATCH_BYTES,
    "bytes of the images and tensors of a batch, by an estimate": batch_size.MAX_IMAGE_BYTES,
    "reasons in the counts of skipped media items": planner.MAX_SKIP_REASONS,
    "batches of a retry with a warning of their own": retries.MAX_SENTENCES,
    "bytes of the names of a batch in the hash log": hash_log.MAX_NAMES_BYTES,
}


def test_page_has_the_numbers_of_the_code() -> None:
    rows = re.findall(r"^\| (.+?) \| ([\d,]+) \| .+ \|$", PAGE.read_text(), re.MULTILINE)
    assert [(name, int(number.replace(",", ""))) for name, number in rows] == list(NUMBERS.items())
