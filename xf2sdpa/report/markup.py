"""Text of other people's making in Markdown: shown as it is, and without effect on a forge.

A forge acts on what it reads: `@name` notifies a person, `#12` makes a reference and `fixes #12` closes something, a
line that begins with `/close` is a command on GitLab, an address becomes a link. HTML is taken as HTML.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterable
from urllib.parse import quote

from xf2sdpa.files.plain import plain

LIMIT = 60_000
"""GitHub accepts 65,536 characters; this leaves room for other text around a report."""
_JOINER = "\u2060"
"""Of no width; what it stands in is no name, number or address any more."""
_ACTS = re.compile(
    r"(?<=@)|(?<=[#!])(?=[^\W0])|(?<=GH-)(?=\d)|(?<=:)(?=//)|(?<=www)(?=\.)|^(?=/|[+-]\s|\d+[.)]\s|[=-]+\s*$)",
    re.IGNORECASE,
)
_MARKS = re.compile(r"([\\`*_\[\]|~#])")


def text(words: str) -> str:
    """Text escaped for Markdown and HTML, on one line."""
    return _MARKS.sub(r"\\\1", html_text(words))


def html_text(words: str) -> str:
    """Text in HTML, on one line."""
    return html.escape(_ACTS.sub(_JOINER, plain(" ".join(words.split()))), quote=False)


def code(words: str) -> str:
    """A name or an expression as code, in a sentence or in the cell of a table."""
    return f"<code>{text(words)}</code>"


def link(shown: str, address: str) -> str:
    """A link; what is shown is Markdown already, and all of the address that could end it is encoded."""
    return f"[{shown}]({quote(address, safe=':/?=&#%-._~')})"


def fenced(block: str, language: str = "") -> str:
    """A code block whose fence is longer than any in the text; the lines are the caller's to make plain."""
    longest = max((len(run) for run in re.findall("`+", block)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"\n{fence}{language}\n{block}{fence}\n"


def fitting(section: Iterable[tuple[str, str]], room: int, *, elsewhere: str) -> list[str]:
    """The pieces of a section that fit, and a line that counts those left out.

    Args:
        section: pairs of what a piece is called and its text.
        room: how many characters there are.
        elsewhere: a sentence that says where all of it is.
    """
    taken: list[str] = []
    left: dict[str, int] = {}
    for kind, piece in section:
        if left or len(piece) > room:
            left[kind] = left.get(kind, 0) + 1
            continue
        taken.append(piece)
        room -= len(piece)
    if left:
        said = ", ".join(count(number, kind) for kind, number in left.items())
        taken.append(f"\n*Not shown here, for the length: {said}. {elsewhere}*\n")
    return taken


def cut(document: str, limit: int) -> str:
    """The document, cut off at the limit."""
    end = "\n\n*Cut off here for its length.*\n"
    return document.rstrip() + "\n" if len(document) <= limit else document[: limit - len(end)] + end


def count(number: int, noun: str) -> str:
    """A number of things."""
    return f"{number:,} {noun}" + ("" if number == 1 else "s")
