"""The site that mkdocs makes of README and docs: complete, and it loads nothing from elsewhere."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

from tests.docs.pages import DOCS, PAGES, ROOT
from tests.docs.test_pages import script

pytest.importorskip("mkdocs", reason="the extra docs is not installed")
pytest.importorskip("material", reason="the extra docs is not installed")


class Loads(HTMLParser):
    """What a page loads when it is opened."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        at = dict(attrs)
        if tag in ("script", "img", "iframe", "source", "video") and at.get("src"):
            self.found.append(at["src"] or "")
        if tag == "link" and at.get("rel") in ("stylesheet", "preload", "preconnect", "icon"):
            self.found.append(at.get("href") or "")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    around = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, env=around, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder


def test_every_page_is_there(site: Path) -> None:
    made = {page.relative_to(site).with_suffix(".md").as_posix() for page in site.rglob("*.html")}
    assert {page.relative_to(DOCS).as_posix() for page in PAGES if page.is_relative_to(DOCS)} <= made
    assert "What became of a call" in (site / "index.html").read_text("utf-8")


def test_no_code_shows_how_it_was_escaped(site: Path) -> None:
    """`\\|` in a table is a bar on GitHub, and two characters on the site."""
    for page in site.rglob("*.html"):
        assert "\\|" not in page.read_text("utf-8"), page


def test_a_page_is_called_by_its_title(site: Path) -> None:
    assert "Index" not in (site / "how.html").read_text("utf-8")
    assert "nowrap" not in re.sub(r"code\.short \{[^}]*\}", "", (site / "site.css").read_text("utf-8")), "tables fit"


def test_it_loads_nothing_from_elsewhere(site: Path) -> None:
    for page in site.rglob("*.html"):
        loads = Loads()
        loads.feed(page.read_text("utf-8"))
        assert loads.found
        assert not [url for url in loads.found if re.match(r"(https?:)?//", url)], page
    for style in site.rglob("*.css"):
        assert not re.search(r"url\(['\"]?(https?:)?//|@import", style.read_text("utf-8")), style


def test_lines_break_in_no_option_and_no_pair_of_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    made = script("site_links", monkeypatch)
    cell = '<td style="text-align: right;">0.314 / 1.279</td>'
    html = f"<p><code>--output-file</code> <code>{'x ' * 20}</code></p>{cell}"
    told = made.on_page_content(html, None, None, None)
    assert '<code class="short">--output-file</code>' in told
    assert f"<code>{'x ' * 20}</code>" in told
    assert "0.314&nbsp;/&nbsp;1.279" in told


@pytest.mark.parametrize(
    ("text", "here", "repository", "is_now"),
    [
        ("[a](docs/b.md#c)", "", None, "[a](b.md#c)"),
        ("![a](docs/p/b.svg)", "", None, "![a](p/b.svg)"),
        ("[a](b.md)", "docs", None, "[a](b.md)"),
        ("[a](../flags.md)", "docs/codes", None, "[a](../flags.md)"),
        ("[a](../README.md)", "docs", None, "[a](index.md)"),
        ("see [a `b`](../CONTRIBUTING.md#x).", "docs", None, "see a `b`."),
        ("[a](../LICENSE)", "docs", "https://e.com/o/n/", "[a](https://e.com/o/n/blob/HEAD/LICENSE)"),
        ("[a](https://e.com)", "docs", None, "[a](https://e.com)"),
        ("[a](#b)", "docs", None, "[a](#b)"),
    ],
)
def test_links_of_the_site(
    text: str, here: str, repository: str | None, is_now: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = script("site_links", monkeypatch)
    assert made.linked(text, here, repository) == is_now
