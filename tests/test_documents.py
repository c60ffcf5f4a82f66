"""What documents tell to type works as it stands there, and their links lead somewhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.support.documents import ROOT, blocks_of, run_blocks, write_archive
from tests.support.images import make_image

README = ROOT / "README.md"
TUTORIAL = ROOT / "docs" / "tutorial" / "first-image.md"
PAGES = [README, *sorted((ROOT / "docs").rglob("*.md"))]
_HOW = re.compile(r"(background|docker|without docker|not run, .+)?")
_CODE = re.compile(r"^```.*?^```$|`[^`\n]+`", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\]\(([^)\s]+)\)")


@pytest.mark.parametrize("page", [README, TUTORIAL], ids=lambda page: page.name)
def test_every_block_is_run_or_says_why_not(page: Path) -> None:
    text = page.read_text()
    blocks = blocks_of(text)

    assert len(blocks) == len(re.findall(r"^```sh$", text, re.MULTILINE))
    assert sum(block.how == "background" for block in blocks) == 1
    assert all(_HOW.fullmatch(block.how) for block in blocks)


def test_blocks_of_the_readme_run(tmp_path: Path) -> None:
    write_archive(tmp_path / "image.tar", make_image(1000))

    run_blocks(README.read_text(), tmp_path)


def test_blocks_of_the_tutorial_do_what_they_say(tmp_path: Path) -> None:
    for version in ("v1", "v2", "v3"):
        write_archive(tmp_path / f"{version}.tar", make_image(1000))

    run_blocks(TUTORIAL.read_text(), tmp_path)


def test_block_that_prints_something_else_is_noticed(tmp_path: Path) -> None:
    served = "<!-- test: background -->\n\n```sh\nmake serve\n```\n"

    with pytest.raises(AssertionError, match="prints\nthis"):
        run_blocks(f"{served}\n```sh\necho this\n```\n\n```text\nthat\n```\n", tmp_path)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_to_files_and_headings(page: Path) -> None:
    for target in _LINK.findall(_CODE.sub("", page.read_text())):
        if "://" in target:
            continue
        path, _, heading = target.partition("#")
        file = (page.parent / path).resolve() if path else page

        assert file.exists(), target
        assert not heading or heading in _headings(file), target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_tests_that_are_named_exist(page: Path) -> None:
    for file, name in re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", page.read_text()):
        assert re.search(rf"^def {name}\(", (ROOT / file).read_text(), re.MULTILINE), name


def test_every_door_of_the_threat_model_has_its_tests() -> None:
    text = (ROOT / "docs" / "explanation" / "threat-model.md").read_text()
    rows = [row for row in text.splitlines() if row.startswith("| ")]
    threats = [row for row in rows if not row.startswith(("| attempt", "| ---"))]

    assert len(threats) > 30
    assert [row for row in threats if "`tests/" not in row] == []


def test_every_page_is_reached_from_the_index() -> None:
    index = (ROOT / "docs" / "index.md").read_text()
    folders = set(re.findall(r"^(\w+)/\*$", index, re.MULTILINE))

    assert folders == {page.parent.name for page in PAGES} - {ROOT.name, "docs"}


def _headings(file: Path) -> set[str]:
    """Give the names that GitHub and MyST make of a page's headings."""
    lines = re.findall(r"^#+ (.*)$", file.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", line.lower()).replace(" ", "-") for line in lines}
