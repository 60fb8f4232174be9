"""The page itself: nothing loaded, nothing run, all text escaped, colours that can be told apart."""

from __future__ import annotations

import itertools
import math
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

from xf2sdpa import page
from xf2sdpa.page.tables import Cell, Column, Table

jinja2 = pytest.importorskip("jinja2")

STYLE = (Path(page.__file__).parent / "style.css").read_text()
HOSTILE = "</code></style><script>alert('x')</script><img src=x onerror=alert(1)> & \"quoted\""
VOID = {"meta", "link", "br", "hr", "img", "input"}


class Reader(HTMLParser):
    """Tags, whether they nest, and the text."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.wrong: list[str] = []
        self.texts: list[str] = []

    @property
    def text(self) -> str:
        return "".join(self.texts)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.wrong.append(tag)

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def read(html: str) -> Reader:
    """A page that nests properly, loads nothing and runs nothing; else the test fails here."""
    reader = Reader()
    reader.feed(html)
    reader.close()
    assert not reader.wrong
    assert not reader.open
    names = {tag for tag, _ in reader.tags}
    assert not names & {"script", "iframe", "object", "embed", "img", "base", "form"}
    for tag, attributes in reader.tags:
        assert not [name for name in attributes if name.startswith("on")], f"{tag} runs something"
        assert not attributes.get("src")
        link = attributes.get("href") or "#"
        assert link.startswith("#") or (tag, link) == ("link", "data:,"), f"{tag} loads {link}"
    ids = [attributes["id"] for _, attributes in reader.tags if attributes.get("id")]
    assert len(ids) == len(set(ids))
    for _, attributes in reader.tags:
        link = attributes.get("href") or ""
        assert not link.startswith("#") or link[1:] in ids, f"{link} leads nowhere"
    assert "url(" not in html
    assert "@import" not in html
    return reader


def render(source: str, monkeypatch: pytest.MonkeyPatch, **values: object) -> str:
    """A template that is not a file of the package."""
    real = page._environment()
    loader = jinja2.ChoiceLoader([jinja2.DictLoader({"test.html": source}), real.loader])
    monkeypatch.setattr(page, "_environment", lambda: real.overlay(loader=loader))
    return page.render("test.html", **values)


TEMPLATE = """{% extends "page/base.html" %}{% import "page/parts.html" as parts %}
{% block title %}{{ text }}{% endblock %}
{% block outcome %}{{ parts.outcome(text, "bad") }}{% endblock %}
{% block content %}{{ parts.table(table) }}{{ parts.notes([text]) }}{{ parts.facts([(text, text)]) }}
{{ parts.badge(text) }}{{ parts.diff([("-", text), ("+", text)]) }}{% endblock %}"""


def test_all_text_is_escaped(monkeypatch: pytest.MonkeyPatch) -> None:
    table = Table(HOSTILE, [Column(HOSTILE, HOSTILE)], [[Cell(HOSTILE, note=HOSTILE)]])
    html = render(TEMPLATE, monkeypatch, text=HOSTILE, table=table)
    reader = read(html)
    assert "alert('x')" in reader.text
    assert "<script" not in html
    assert html.startswith("<!DOCTYPE html>")


def test_long_tables_are_folded_and_none_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    table = Table("many", [Column("n", "ms", number=True)], [[f"row{number}"] for number in range(100)], shown=10)
    reader = read(render(TEMPLATE, monkeypatch, text="", table=table))
    assert "90 rows more" in reader.text
    assert all(f"row{number}" in reader.text for number in range(100))
    scrolling = [attributes for _, attributes in reader.tags if attributes.get("class") == "scroll"]
    assert len(scrolling) == 2
    assert all(attributes["tabindex"] == "0" and attributes["aria-label"] for attributes in scrolling)


def test_rows_must_fit() -> None:
    with pytest.raises(ValueError, match="1 cells for 2 columns"):
        Table("caption", [Column("a"), Column("b")], [["one"]])


def test_a_name_that_is_missing_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(jinja2.UndefinedError):
        render(TEMPLATE, monkeypatch, text="")


def test_code_between_backticks() -> None:
    assert page.prose("call `f(<a>)` now <b>") == "call <code>f(&lt;a&gt;)</code> now &lt;b&gt;"
    assert page.prose("one ` only") == "one ` only"


def test_nothing_heavy_is_imported_before_a_page_is_made() -> None:
    code = (
        "import sys, xf2sdpa.page, xf2sdpa.page.charts, xf2sdpa.verify.report.text, xf2sdpa.verify.report.html;"
        "print([name for name in ('jinja2', 'torch') if name in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def _themes() -> dict[str, dict[str, str]]:
    light, dark = re.findall(r":root \{(.*?)\}", STYLE, re.DOTALL)
    found = {name: dict(re.findall(r"--([\w-]+): (#\w{6})", text)) for name, text in (("light", light), ("dark", dark))}
    assert found["light"].keys() == found["dark"].keys()
    return found


def _linear(colour: str) -> tuple[float, ...]:
    """Linear RGB from 0 to 1."""
    parts = [int(colour[index : index + 2], 16) / 255 for index in (1, 3, 5)]
    return tuple(part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)


def _luminance(colour: str) -> float:
    """Relative luminance as WCAG 2 defines it."""
    red, green, blue = _linear(colour)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _contrast(one: str, two: str) -> float:
    dark, light = sorted((_luminance(one), _luminance(two)))
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_contrast(theme: str) -> None:
    """4.5 for text and 3 for graphics, as WCAG 2 asks."""
    colours = _themes()[theme]
    for ground in ("ground", "raised"):
        for text in ("ink", "quiet", "link", "good", "bad", "warn"):
            assert _contrast(colours[text], colours[ground]) >= 4.5, (text, ground)
    for tone in ("good", "bad", "warn"):
        assert _contrast(colours[tone], colours[f"{tone}-ground"]) >= 4.5
        assert _contrast(colours["ink"], colours[f"{tone}-ground"]) >= 4.5
    for number in range(1, 7):
        assert _contrast(colours[f"series-{number}"], colours["ground"]) >= 3


# Linear RGB as a reader without one kind of cone sees it (Machado, Oliveira and Fernandes 2009, severity 1.0).
VISION = {
    "full": ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
    "protanopia": ((0.152286, 1.052583, -0.204868), (0.114503, 0.786281, 0.099216), (-0.003882, -0.048116, 1.051998)),
    "deuteranopia": ((0.367322, 0.860646, -0.227968), (0.280085, 0.672501, 0.047413), (-0.011820, 0.042940, 0.968881)),
    "tritanopia": ((1.255528, -0.076749, -0.178779), (-0.078411, 0.930809, 0.147602), (0.004733, 0.691367, 0.303900)),
}


def _lab(red: float, green: float, blue: float) -> tuple[float, float, float]:
    """CIE L*a*b* of linear RGB, in which equal distances look about equal."""
    rows = ((0.4339, 0.3762, 0.1899), (0.2126, 0.7152, 0.0722), (0.0177, 0.1095, 0.8727))
    rgb = [min(max(part, 0.0), 1.0) for part in (red, green, blue)]
    x, y, z = (sum(a * b for a, b in zip(row, rgb, strict=True)) for row in rows)
    x, y, z = (part ** (1 / 3) if part > 0.008856 else 7.787 * part + 16 / 116 for part in (x, y, z))
    return 116 * y - 16, 500 * (x - y), 200 * (y - z)


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("vision", VISION)
def test_series_can_be_told_apart(theme: str, vision: str) -> None:
    colours = _themes()[theme]
    seen = []
    for number in range(1, 7):
        rgb = _linear(colours[f"series-{number}"])
        seen.append(_lab(*(sum(a * b for a, b in zip(row, rgb, strict=True)) for row in VISION[vision])))
    assert min(math.dist(one, two) for one, two in itertools.combinations(seen, 2)) > 20


def test_there_is_a_colour_and_a_shape_for_every_series() -> None:
    from xf2sdpa.page.charts import COLOURS  # noqa: PLC0415

    parts = (Path(page.__file__).parent / "parts.html").read_text()
    shapes = re.search(r"set SHAPES = \[(.*?)\]", parts, re.DOTALL)
    assert shapes is not None
    assert len(re.findall(r'"M[^"]+"', shapes[1])) == COLOURS
    assert len(set(re.findall(r"\.s(\d) \{ fill", STYLE))) == COLOURS
