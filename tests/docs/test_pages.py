"""The pages: short enough to read, their links lead somewhere, and what is made from the sources is fresh."""

from __future__ import annotations

import importlib
import json
import re
import sys
from pathlib import Path
from types import ModuleType

import pytest

from tests.docs.pages import DOCS, PAGES, ROOT, WRITTEN, anchors, links, name
from xf2sdpa.files import journal
from xf2sdpa.flags import table
from xf2sdpa.report import markdown
from xf2sdpa.rewrite.pages import all_codes, retired_codes
from xf2sdpa.verify import options
from xf2sdpa.verify.verdict import LEAST_MARGIN

MAKE = DOCS / "make"
RESULTS = ROOT / "benchmarks/results"
MOST_WORDS = 2500
"""What is read in a quarter of an hour."""


@pytest.mark.parametrize("page", WRITTEN, ids=name)
def test_a_page_is_read_in_a_quarter_of_an_hour(page: Path) -> None:
    assert len(page.read_text("utf-8").split()) <= MOST_WORDS


@pytest.mark.parametrize("page", [*PAGES, ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md"], ids=name)
def test_links_lead_somewhere(page: Path) -> None:
    for link in links(page):
        if link.startswith("https://"):
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


def test_figures_of_verify_and_the_helper() -> None:
    table = json.loads((RESULTS / "h200_mutations.json").read_text())
    alarms = json.loads((RESULTS / "h200_no_false_alarm.json").read_text())
    compared, exact = (sum(alarms[kind][key] for kind in ("fixtures", "helper")) for key in ("compared", "exact"))
    text = " ".join((DOCS / "verify.md").read_text().split())
    assert f"of {len({row['name'] for row in table['rows']})} wrong rewrites" in text
    assert f"it caught all {len(table['rows'])} by" in text
    assert all(row["holds"] for row in table["rows"])
    assert f"Of {compared} right ones it doubted none, and {exact} of them" in text
    stored = json.loads((RESULTS / "h200_compat.json").read_text())
    text = " ".join((DOCS / "helper.md").read_text().split())
    assert f"of {stored['cases']:,} cases drawn at random xformers itself refused {stored['refused']}" in text
    assert stored["failed"] == 0


def test_figures_of_the_flags(monkeypatch: pytest.MonkeyPatch) -> None:
    performance = script("performance", monkeypatch)
    modules = {module.label: module for module in performance.runs()["H200"].modules}
    fast, slow = (performance.forward_time(modules[f"float32 {way} TF32"].forward) for way in ("with", "without"))
    text = " ".join((DOCS / "flags.md").read_text().split())
    assert f"took {fast:.1f} ms instead of {slow:.1f}, {slow / fast:.2f} times as fast" in text


def test_figures_of_the_sources() -> None:
    days, runs = journal._OLDEST // (24 * 3600), journal._MOST
    said = {
        "finishing.md": f"after {days} days or {runs} runs",
        "verify.md": f"At most {options.SHAPES} kinds a site",
        "hook.md": f"at most {markdown.LIMIT:,} characters",
        "bench.md": f"[the {(ROOT / 'xf2sdpa/bench/shapes.toml').read_text().count('[[shape]]')} that it brings]",
        "flags.md": f"{('One', 'Two', 'Three')[table.MOST_FILES - 1]} files at most are edited unasked",
    }
    for page, words in said.items():
        assert words in " ".join((DOCS / page).read_text("utf-8").split())
    assert f"more than {LEAST_MARGIN * 100:.0f} % and" in " ".join((DOCS / "verify.md").read_text("utf-8").split())
