"""The docs match the code and each other: columns, error codes, layers, links, decisions."""

from __future__ import annotations

import re
import tomllib
from itertools import groupby
from pathlib import Path

import pytest

from imagelake.imaging.views import CROPS, SIDE_CROP
from imagelake.lake.rows import COLUMNS, Column, DuplicateKind
from imagelake.run.errors import ErrorCode
from imagelake.sources import SOURCES
from tests.support.asl import MACHINE, states
from tools import costs
from transform.comparisons import DHASH_BITS, PART_BITS, PHASH_BITS

ROOT = Path(__file__).parents[2]
DATASET = (ROOT / "docs" / "dataset.md").read_text()
README = (ROOT / "README.md").read_text()
ARCHITECTURE = (ROOT / "docs" / "architecture.md").read_text()
DECISIONS = ROOT / "docs" / "decisions"
PAGES = [
    *(ROOT / name for name in ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
]


def test_dataset_lists_every_column_in_order() -> None:
    rows = re.findall(r"^\| `(\w+)` \| `([^`]+)` \| (.+) \|$", DATASET, re.MULTILINE)
    assert [Column(*row) for row in rows] == list(COLUMNS)


def test_dataset_lists_every_error_code_in_order() -> None:
    codes = re.findall(r"^\| `(\w+)` \| (?:failed|rejected) \| .+ \|$", DATASET, re.MULTILINE)
    assert codes == [code.value for code in ErrorCode]


def test_graph_names_every_state() -> None:
    (graph,) = re.findall(r"```mermaid\n(.*?)```", README, re.DOTALL)
    assert [name for name, _ in states(MACHINE) if name not in graph] == []


def test_only_the_generated_page_lists_the_networks() -> None:
    """Another list would become stale with the next network. A section of the changelog is about one release."""
    words = [rf"\b{source.manifest.title.split()[0].strip(',')}\b" for source in SOURCES.values()]
    lists = [
        (page.name, line)
        for page in PAGES
        if page.name not in ("CHANGELOG.md", "networks.md")
        for line in page.read_text().splitlines()
        if sum(bool(re.search(word, line)) for word in words) >= 3
    ]
    assert lists == []


def test_reliability_names_existing_tests() -> None:
    named = set(re.findall(r"`(test_\w+)`", (ROOT / "docs" / "reliability.md").read_text()))
    existing = {
        name
        for file in (ROOT / "tests").rglob("test_*.py")
        for name in re.findall(r"^def (test_\w+)", file.read_text(), re.MULTILINE)
    }
    assert named
    assert named <= existing


def test_performance_shows_the_figures_of_the_benchmark() -> None:
    performance, benchmarks = ((ROOT / "docs" / f"{name}.md").read_text() for name in ("performance", "benchmarks"))
    shown = re.findall(r"^\| (\w+) \| ([\d.]+) \| ([\d.]+) \| ([\d.]+) \|$", performance, re.MULTILINE)
    job = benchmarks.split("<!-- job: begin -->")[1].split("<!-- job: end -->")[0]
    measured = re.findall(r"^\| (\w+) \| ([\d.]+) \| ([\d.]+) \|(?: [\d.]+ \|){2} ([\d.]+) \(", job, re.MULTILINE)
    assert shown
    assert shown == measured


def test_near_duplicates_shows_the_kinds_and_limits_in_use() -> None:
    page, measured = (ROOT / "docs" / "near-duplicates.md").read_text().split("## All measurements")
    kinds = [kind for kind in DuplicateKind if kind is not DuplicateKind.BYTES]
    assert re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE) == kinds
    assert f"| {' | '.join(['change', 'any', *kinds])} |" in measured
    rows = dict(re.findall(r"^\| `(\w+)` \| .+ \| (.+) \|$", page, re.MULTILINE))
    numbers = {kind: {int(number) for number in re.findall(r"\d+", row)} for kind, row in rows.items()}
    assert {PHASH_BITS, DHASH_BITS} <= numbers["whole"]
    assert PART_BITS in numbers["parts"]
    assert {PHASH_BITS, *(round(100 * crop) for crop in (*CROPS, SIDE_CROP))} <= numbers["crop"]
    # The page says so: the other comparisons mistake no pair that the whole images do not.
    (drawn,) = re.findall(r"^\| screenshots.+pairs \| (\d+) \| (\d+) \|", measured, re.MULTILINE)
    assert drawn[0] == drawn[1]


def test_architecture_shows_the_layers_that_are_checked() -> None:
    rows = re.findall(r"^\| (\d) \| `([\w.]+)` \| .+ \|$", ARCHITECTURE, re.MULTILINE)
    shown = [(number, {name for _, name in group}) for number, group in groupby(rows, key=lambda row: row[0])]
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    (*functions, _), library = (contract["layers"] for contract in contracts if contract["type"] == "layers")
    layers = [
        *functions,
        *(" | ".join(f"imagelake.{name}" for name in layer.split(" | ")) for layer in library),
    ]
    assert shown == [(str(len(layers) - depth), {*layer.split(" | ")}) for depth, layer in enumerate(layers)]


def test_glossary_has_at_most_25_terms() -> None:
    glossary = ARCHITECTURE.split("\n## Glossary\n")[1].split("\n## ")[0]
    terms = re.findall(r"^\| ([a-z ]+) \| .+\. \|$", glossary, re.MULTILINE)
    assert 0 < len(terms) == len(set(terms)) <= 25


def anchors(page: Path) -> set[str]:
    """Make the anchors of a page's headings as GitHub does."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_to_files_and_headings(page: Path) -> None:
    for path, anchor in re.findall(r"\]\((?!https?:)([^)#]*)#?([^)]*)\)", page.read_text()):
        target = page.parent / path if path else page
        assert target.exists(), path
        assert not anchor or anchor in anchors(target), f"{path}#{anchor}"


def test_index_lists_every_decision_with_its_title() -> None:
    listed = re.findall(
        r"^\| (\d+) \| \[(.+)\]\((.+\.md)\) \| .+ \|$", (DECISIONS / "README.md").read_text(), re.MULTILINE
    )
    existing = [
        (*re.findall(r"\A# (\d+)\. (.+)\n", page.read_text())[0], page.name) for page in sorted(DECISIONS.glob("0*.md"))
    ]
    assert listed == existing


def test_index_of_docs_lists_every_page_once() -> None:
    text = (ROOT / "docs" / "README.md").read_text()
    linked = re.findall(r"^- .*", text, re.MULTILINE)
    pages = re.findall(r"\]\((\w[\w-]*\.md)\)", "\n".join(linked))
    assert sorted(pages) == sorted(page.name for page in (ROOT / "docs").glob("*.md") if page.name != "README.md")
    assert len(text.split("\n## ")) == 4


def test_first_screen_of_the_readme_has_commands_costs_and_images() -> None:
    screen = README.split("\n## ")[0]
    assert "\nmake demo " in screen
    assert "\nmake test " in screen
    months = [sum(costs.month(images).values()) for images in costs.SIZES]
    assert "about {:.0f}, {:.0f} and {:.0f} USD a month".format(*months) in " ".join(screen.split())
    assert "```mermaid" in screen
    assert (ROOT / "docs" / "images" / "report.jpg").is_file()
