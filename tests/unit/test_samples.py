"""The samples are what their README says: every photo credited, every case reproducible, every outcome counted."""

from __future__ import annotations

import importlib.util
import json
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageOps

from imagelake.imaging import process
from imagelake.lake.rows import Status
from imagelake.run.errors import ErrorCode, ImageRejectedError
from imagelake.sources import Feed, get_source
from imagelake.web.messages import Response
from transform.comparisons import Match, hashes_of
from transform.near_duplicates import find, is_comparable

SAMPLES = Path(__file__).resolve().parents[2] / "samples"
README = (SAMPLES / "README.md").read_text("utf-8")
POSTS = json.loads((SAMPLES / "feed.json").read_text("utf-8"))["posts"]
PHOTO_BLOG = (SAMPLES / "photoblog.xml").read_text("utf-8")
PHOTOS = sorted((SAMPLES / "photos").iterdir(), key=lambda photo: photo.stem)
CASE_FILES = sorted((SAMPLES / "cases").iterdir())
LICENSES = {
    "CC0-1.0": "publicdomain/zero/1.0/",
    "Public domain": "publicdomain/mark/1.0/",
    "CC-BY-2.0": "licenses/by/2.0/",
    "CC-BY-4.0": "licenses/by/4.0/",
    "CC-BY-SA-3.0": "licenses/by-sa/3.0/",
    "CC-BY-SA-4.0": "licenses/by-sa/4.0/",
}


def table(heading: str) -> list[list[str]]:
    section = README.split(f"## {heading}\n")[1].split("\n## ")[0]
    rows = [line.strip("|").split("|") for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in row] for row in rows[2:]]


def own_images(post: dict[str, Any]) -> list[dict[str, Any]]:
    images: list[dict[str, Any]] = post.get("images", post.get("gallery", []))
    return images


def cases() -> dict[str, Callable[[], bytes]]:
    spec = importlib.util.spec_from_file_location("make_samples", SAMPLES / "make_samples.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    found: dict[str, Callable[[], bytes]] = module.CASES
    return found


CASES = cases()


def near_duplicates() -> list[Match | None]:
    """For each picture that comes out ``ok``, in the order of the feed, what it looks like."""
    files = [image["file"] for post in POSTS for image in own_images(post) if "outcome" not in image]
    made = [process((SAMPLES / file).read_bytes()) for file in files]
    assert all(is_comparable(vars(picture)) for picture in made)
    hashes = hashes_of([vars(picture) for picture in made])
    return find(hashes, hashes[:0])


def test_every_photo_has_one_row_with_author_source_and_known_license() -> None:
    rows = {row[0].strip("`"): row[1:] for row in table("Photos")}
    assert list(rows) == [photo.name for photo in PHOTOS]
    for subject, author, source, license_link, changes in rows.values():
        name, target = re.fullmatch(r"\[(.+)\]\(https://creativecommons\.org/(.+)\)", license_link).groups()  # type: ignore[union-attr]
        assert LICENSES[name] == target
        assert subject
        assert author
        assert "https://" in source
        assert changes


@pytest.mark.parametrize("photo", PHOTOS, ids=lambda photo: photo.name)
def test_photo_is_of_social_size_and_without_metadata(photo: Path) -> None:
    assert photo.stat().st_size <= 150_000
    with Image.open(photo) as image:
        assert image.format == "JPEG"
        assert max(image.size) <= 1350
        assert min(image.size) >= 300
        assert 0.8 <= image.width / image.height <= 1.91
        assert not image.getexif()
        assert "icc_profile" not in image.info


def test_samples_stay_small() -> None:
    assert len(PHOTOS) >= 24
    assert sum(file.stat().st_size for file in SAMPLES.rglob("*") if file.is_file()) < 5_000_000


def test_cases_are_those_of_the_script_and_the_readme() -> None:
    assert {file.name for file in CASE_FILES} == set(CASES) == {row[0].strip("`") for row in table("Hard cases")}


@pytest.mark.parametrize("name", ["page.jpg", "truncated.jpg"])
def test_case_is_the_same_when_it_is_made_without_an_encoder(name: str) -> None:
    assert CASES[name]() == (SAMPLES / "cases" / name).read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["rotated-with-gps.jpg", "cut-out.png", "meadow.webp", "blinking.gif", "near-duplicate.jpg"]
)
def test_case_looks_the_same_when_it_is_made_again(name: str, tmp_path: Path) -> None:
    again = tmp_path / name
    again.write_bytes(CASES[name]())
    with Image.open(again) as made, Image.open(SAMPLES / "cases" / name) as kept:
        assert (made.mode, made.size, made.getexif()) == (kept.mode, kept.size, kept.getexif())
        pixels, expected = (np.asarray(image.convert("RGBA"), dtype=np.int16) for image in (made, kept))
    assert np.abs(pixels - expected).mean() < 2  # encoders differ between versions


def test_bomb_is_small_and_gigantic() -> None:
    bomb = SAMPLES / "cases" / "bomb.png"
    made = CASES["bomb.png"]()
    assert made[:33] == bomb.read_bytes()[:33]
    assert bomb.stat().st_size < 60_000
    assert int.from_bytes(made[16:20], "big") * int.from_bytes(made[20:24], "big") == 400_000_000


def test_rotated_case_stands_upright_when_its_orientation_is_applied() -> None:
    case, original = SAMPLES / "cases" / "rotated-with-gps.jpg", SAMPLES / "photos" / "dandelion.jpg"
    with Image.open(case) as stored, Image.open(original) as photo:
        assert stored.getexif().get_ifd(0x8825)[1] == "N"
        upright = np.asarray(ImageOps.exif_transpose(stored), dtype=np.int16)
        expected = np.asarray(photo.resize((540, 675), Image.Resampling.LANCZOS), dtype=np.int16)
    assert np.abs(upright - expected).mean() < 5


def test_every_photo_is_posted_and_every_posted_file_exists() -> None:
    files = set(re.findall(r'"file": "([^"]+)"', (SAMPLES / "feed.json").read_text("utf-8")))
    files |= set(re.findall(r'url="([^"]+)"', PHOTO_BLOG))
    assert files == {str(file.relative_to(SAMPLES)) for file in [*PHOTOS, *CASE_FILES]}


@pytest.mark.parametrize(
    "image",
    [image for post in POSTS for image in own_images(post) if "status" not in image],
    ids=lambda image: image.get("as") or image["file"],
)
def test_image_has_the_expected_outcome_when_it_is_processed(image: dict[str, Any]) -> None:
    data = (SAMPLES / image["file"]).read_bytes()
    status, _, code = image.get("outcome", "ok").partition(" ")
    if status == "rejected":
        with pytest.raises(ImageRejectedError) as caught:
            process(data)
        assert caught.value.code is ErrorCode(code)
    else:
        process(data)


@pytest.mark.slow
def test_outcome_table_adds_up_when_the_feed_is_counted() -> None:
    rejected = [post for post in POSTS if post.keys() & {"without", "repost"}]
    posts = [post for post in POSTS if post not in rejected]
    images = [image for post in posts for image in own_images(post)]
    outcomes = Counter(image.get("outcome", "ok") for image in images)
    pictured, filmed = sum(bool(own_images(post)) for post in posts), sum("video" in post for post in posts)
    neither = len(posts) - pictured - filmed
    expected = {
        "entries": (len(POSTS), f"on 2 pages: 20, {len(POSTS) - 20}"),
        "posts": (len(posts), f"{pictured} with images, {filmed} with a video, {neither} with neither"),
        "rejected posts": (len(rejected), "1 post without its author, 1 repost"),
        "media items": (len(images) + filmed, f"{len(images)} images planned, {filmed} video skipped"),
    }
    for status in Status:
        found = {outcome.partition(" ")[2]: n for outcome, n in sorted(outcomes.items()) if outcome.startswith(status)}
        codes = ", ".join(f"`{code}` {number}" for code, number in found.items() if code)
        expected[f"`{status}`"] = (sum(found.values()), codes)
    alike = [match for match in near_duplicates() if match is not None]
    expected["`ok`"] = (expected["`ok`"][0], f"{len(alike)} near duplicates")
    assert table("Expected result") == [[what, str(number), note] for what, (number, note) in expected.items()]


def test_photo_blog_states_the_license_and_the_author_of_each_photo() -> None:
    """The right values are those of the table of photos."""
    url = "http://127.0.0.1:8000/photoblog.xml"
    page = get_source("rss").parse(Feed(source="rss", account=url), Response(200, {}, PHOTO_BLOG.encode(), url))
    assert (len(page.posts), page.rejects) == (4, [])
    credits = {f"http://127.0.0.1:8000/photos/{row[0].strip('`')}": row for row in table("Photos")}
    for post in page.posts:
        (media,) = post.media
        _, _, author, _, license_link, _ = credits[media.url or ""]
        assert post.license == license_link.partition("](")[2].rstrip(")")
        assert post.author_name == author.partition("](")[0].lstrip("[")
        assert media.alt_text
        assert post.permalink


def test_duplicate_has_the_bytes_of_a_newer_post() -> None:
    seen: set[str] = set()
    for image in (image for post in POSTS for image in own_images(post) if "status" not in image):
        assert (image.get("outcome") == "duplicate") == (image["file"] in seen)
        seen.add(image["file"])
