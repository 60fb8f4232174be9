"""Text of other people's making in Markdown does nothing, and is what it was when it is shown."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xf2sdpa.report import markup

markdown_it = pytest.importorskip("markdown_it")

HOSTILE = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "![x](https://evil.example/x.png)",
    "[x](javascript:alert(1))",
    "a | b",
    "`code` **bold** _em_ ~~gone~~",
    "&lt;b&gt; &amp; &#35;",
    "$(rm -rf /) `id` \\",
    "]] --> <!-- x",
    "::error::x",
    "</code></details><h1>x</h1>",
    "- [ ] task",
]
LEADING = ["+ b", "1. one", "7) x", "=== x", "--- x"]
ACTING = [
    "@everyone",
    "fixes #12",
    "GH-12",
    "see !12",
    "https://evil.example/x",
    "www.evil.example",
    "/close",
    "a@b.example",
]


def rendered(document: str) -> str:
    shown: str = markdown_it.MarkdownIt("gfm-like", {"html": True, "linkify": False}).render(document)
    return shown


@pytest.mark.parametrize("words", [*HOSTILE, *LEADING, *ACTING])
def test_it_is_shown_as_it_is(words: str) -> None:
    def expected(tag: str) -> str:
        return f"<{tag}>{markup.html_text(words)}</{tag}>".replace('"', "&quot;")

    assert rendered(f"* {markup.text(words)}\n").replace('"', "&quot;") == f"<ul>\n{expected('li')}\n</ul>\n"
    table = rendered(f"| a | b |\n|---|---|\n| {markup.code(words)} | end |\n").replace('"', "&quot;")
    assert f"<td>{expected('code')}</td>\n<td>end</td>" in table


@pytest.mark.parametrize("words", ACTING)
def test_what_a_forge_would_act_on_is_broken_by_what_nobody_sees(words: str) -> None:
    shown = markup.text(words).replace("\\", "")
    assert shown.startswith("\u2060") if words.startswith("/") else words not in shown
    assert markup.html_text(words).replace("\u2060", "") == words


def test_lines_and_controls_are_no_lines_and_controls() -> None:
    assert markup.text("a\n\n# b\r\x1b[31mc\u202e") == "a \\# b \\\\x1b\\[31mc\\\\u202e"


def test_an_address_cannot_end_its_link() -> None:
    made = markup.link("here", 'https://forge.example/a/b)](javascript:x) "<i>\n')
    shown = rendered(made)
    assert shown == ('<p><a href="https://forge.example/a/b%29%5D%28javascript:x%29%20%22%3Ci%3E%0A">here</a></p>\n')


def test_a_fence_is_longer_than_what_it_holds() -> None:
    assert (
        rendered(markup.fenced("````\n# x\n", "diff")) == '<pre><code class="language-diff">````\n# x\n</code></pre>\n'
    )


def test_what_does_not_fit_is_counted() -> None:
    section = [("row", "a" * 10)] * 3 + [("note", "b")]
    assert markup.fitting(section, 25, elsewhere="All is there.") == [
        *["a" * 10] * 2,
        "\n*Not shown here, for the length: 1 row, 1 note. All is there.*\n",
    ]
    assert markup.fitting(section, 31, elsewhere="") == [piece for _, piece in section]
    assert markup.cut("a" * 10, 10) == "a" * 10 + "\n"
    assert len(markup.cut("a" * 100, 60)) == 60


@given(st.text(st.sampled_from("ab1 \n\t`*_[]()|~#<>&\\\"'!@$:/-+=.{}^%\x1b\u202e\udcff"), max_size=40))
def test_any_text_is_shown_as_it_is(words: str) -> None:
    document = (
        f"| a | b |\n|---|---|\n| {markup.code(words)} x{markup.text(words)}y | end |\n\n* x {markup.text(words)} y\n"
    )
    shown = re.sub(r"</?(?:table|thead|tbody|tr|th|td|ul|li|code)>", "", rendered(document))
    assert "<" not in shown
    assert shown.split("end")[0].count("y") == 1 == shown.split("end")[1].count("y")
