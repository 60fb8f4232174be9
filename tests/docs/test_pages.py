"""The pages: short enough to read, their links lead somewhere, and what is made from the sources is fresh."""

from __future__ import annotations

import importlib
import re
import sys
from pathlib import Path
from types import ModuleType

import pytest

from tests.docs.pages import DOCS, PAGES, ROOT, WRITTEN, anchors, links, name
from xf2sdpa.rewrite.pages import all_codes, retired_codes

MAKE = DOCS / "make"
ELSEWHERE = ("https://github.com/asottile/all-repos", "https://github.com/lindell/multi-gitter")
"""Addresses that somebody has looked at: no test leaves this machine."""
MOST_WORDS = 2500
"""What is read in a quarter of an hour."""


@pytest.mark.parametrize("page", WRITTEN, ids=name)
def test_a_page_is_read_in_a_quarter_of_an_hour(page: Path) -> None:
    assert len(page.read_text("utf-8").split()) <= MOST_WORDS


@pytest.mark.parametrize("page", [*PAGES, ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md"], ids=name)
def test_links_lead_somewhere(page: Path) -> None:
    for link in links(page):
        if link.startswith("https://"):
            assert link in ELSEWHERE, "see whether it is there"
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        assert target.is_relative_to(ROOT), link
        if anchor:
            assert anchor in anchors(target), f"{link}: {sorted(anchors(target))}"


def test_readme_leads_to_every_page() -> None:
    linked = {(ROOT / link.partition("#")[0]).resolve() for link in links(ROOT / "README.md")}
    assert {page for page in WRITTEN if page.name != "README.md"} <= linked
    assert DOCS / "codes/index.md" in linked


def script(name: str, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(MAKE))
    for module in ("pages", "charts", name):
        monkeypatch.delitem(sys.modules, module, raising=False)
    return importlib.import_module(name)


@pytest.mark.parametrize("make", ["reference", "performance", "repositories", "terminal", "versions"])
def test_what_is_made_is_fresh(make: str, monkeypatch: pytest.MonkeyPatch) -> None:
    made = script(make, monkeypatch)
    stale = importlib.import_module("pages").stale(made.made())
    assert not stale, f"run docs/make/{make}.py"


def test_nothing_claims_an_index_and_the_address_is_explained_once() -> None:
    texts = {page: page.read_text("utf-8") for page in (*PAGES, ROOT / "action.yml", ROOT / "CONTRIBUTING.md")}
    for page, text in texts.items():
        assert not re.search(r"(pip install|pipx|uvx|uv tool)[^\n`]*\bxf2sdpa\b(?!_)", text), page
    explained = [page.name for page, text in texts.items() if "XF2SDPA_URL` stands for" in text]
    assert explained == ["hook.md"]
    used = [page.name for page, text in texts.items() if "XF2SDPA_URL" in text and page.name != "hook.md"]
    assert all("(hook.md)" in texts[DOCS / name] for name in used)


def test_the_picture_of_a_report_is_of_the_stored_result(monkeypatch: pytest.MonkeyPatch) -> None:
    picture = script("report_picture", monkeypatch)
    assert picture.is_fresh(), "run docs/make/report_picture.py"
    assert picture.END not in picture.page()
    assert "layers.py:104" in picture.page()
    monkeypatch.setattr(picture, "RESULT", picture.RESULT.with_name("h200_verify_xformers_0.0.35.json"))
    assert not picture.is_fresh()


def test_without_a_browser_no_picture_is_made(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    picture = script("report_picture", monkeypatch)
    monkeypatch.setattr(picture.shutil, "which", lambda _: None)
    monkeypatch.setattr(sys, "argv", ["report_picture.py"])
    before = picture.PICTURE.read_bytes()
    assert picture.main() == 2
    assert "no picture was made: none of chromium, " in capsys.readouterr().err
    assert picture.PICTURE.read_bytes() == before


def test_every_code_has_a_page() -> None:
    there = {file.stem for file in (DOCS / "codes").glob("XF*.md")}
    assert there == set(all_codes())
    index = (DOCS / "codes/index.md").read_text()
    assert all(code in index for code in retired_codes())


def test_codes_that_pages_name_exist() -> None:
    known = set(all_codes()) | set(retired_codes())
    for page in PAGES:
        named = set(re.findall(r"\bXF\d{3}\b", page.read_text("utf-8")))
        assert named <= known, name(page)


def test_a_section_goes_between_its_markers(monkeypatch: pytest.MonkeyPatch) -> None:
    pages = script("pages", monkeypatch)
    first = pages.between("before\n<!-- x: by y -->\nold\n<!-- /x -->\nafter\n", "x", "new\n")
    assert first == "before\n<!-- x: by y -->\n\nnew\n\n<!-- /x -->\nafter\n"
    assert pages.between(first, "x", "new") == first
    with pytest.raises(ValueError, match="x"):
        pages.between("no markers", "x", "new")


def test_what_is_stale_is_told_and_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pages = script("pages", monkeypatch)
    kept, new, gone = (tmp_path / word for word in ("kept", "new", "gone"))
    kept.write_text("same")
    gone.write_text("old")
    made = {kept: "same", new: "text", gone: ""}
    assert pages.stale(made) == [new, gone]
    pages.write(made)
    assert (new.read_text(), gone.exists(), pages.stale(made)) == ("text", False, [])
