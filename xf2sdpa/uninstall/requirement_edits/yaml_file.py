"""environment.yml, conda recipes and cog.yaml: items of block lists, a line each, and of lists in brackets.

Recipes are templates and no YAML before they are filled in, so lines and their indents are read, which leaves every
comment, quote and selector (`# [linux]`) as it is.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from xf2sdpa.uninstall.requirement_edits.brackets import Brackets, lists_in
from xf2sdpa.uninstall.requirement_edits.splice import Requirement, Splice, without_item
from xf2sdpa.uninstall.requirement_edits.words import requires_xformers

_KEYS = frozenset(
    {"dependencies", "pip", "channels", "run", "host", "build", "requires", "python_packages", "run_constrained"}
)
_ITEM = re.compile(r"([ \t]*)-([ \t]+)(?P<said>[^#\s].*?)(?:[ \t]+#.*)?$")
_KEY = re.compile(r"""([ \t]*(?:-[ \t]+)?)(["']?)([\w.-]+)\2[ \t]*:(?:[ \t]+(?P<value>[^#\s].*?))?(?:[ \t]+#.*)?$""")
_CHANNEL = re.compile(r"xformers(?:/[\w/.-]+)?")


@dataclass(frozen=True)
class _Line:
    """A line that says something: its indent (of an item, that of its dash), and where it is."""

    indent: int
    start: int
    end: int
    text: str


def find(text: str) -> list[Requirement]:
    """What the file requires."""
    lines = list(_lines(text))
    found = [one for index in range(len(lines)) for one in _of_line(text, lines, index)]
    found += [one for brackets in lists_in(text, _KEYS) for one in _of_brackets(text, lines, brackets)]
    return sorted(found, key=lambda one: one.start)


def same(old: str, new: str) -> bool:
    """Whether two texts are the same to the parser, requirements of xformers aside.

    The parser comes with LibCST; where it is not there, and for templates, the lines must be the same.
    """
    if "{{" in old or "{%" in old:
        return _bare_lines(old) == _bare_lines(new)
    try:
        yaml = importlib.import_module("yaml")
    except ImportError:
        return _bare_lines(old) == _bare_lines(new)
    try:
        return bool(_rest(yaml.safe_load(old), "") == _rest(yaml.safe_load(new), ""))
    except (yaml.YAMLError, RecursionError) as error:
        raise ValueError(str(error)) from None


def _lines(text: str) -> Iterator[_Line]:
    place = 0
    for line in text.splitlines(keepends=True):
        bare = line.strip()
        if bare and not bare.startswith("#"):
            yield _Line(len(line) - len(line.lstrip()), place, place + len(line), line.rstrip())
        place += len(line)


def _of_line(text: str, lines: list[_Line], index: int) -> Iterator[Requirement]:
    line = lines[index]
    item = _ITEM.match(line.text)
    above = _above(lines, index)
    key = _KEY.match(lines[above].text) if item and above is not None else None
    if item is None or key is None or above is None or key[3] not in _KEYS or key["value"]:
        return
    runs_on = index + 1 < len(lines) and lines[index + 1].indent > line.indent
    going = () if runs_on else tuple(_going(text, lines, index, above))
    yield _requirement(key[3], item["said"], line.start + line.text.index(item["said"]), going)


def _of_brackets(text: str, lines: list[_Line], brackets: Brackets) -> Iterator[Requirement]:
    for index, (start, end) in enumerate(brackets.items):
        if text[start] not in "[{":
            going = _out_of_brackets(text, lines, brackets, index)
            yield _requirement(brackets.key, text[start:end], start, going)


def _out_of_brackets(text: str, lines: list[_Line], brackets: Brackets, index: int) -> tuple[Splice, ...]:
    """An item of a list in brackets; with the last for pip the line of its key: conda takes no empty one."""
    if len(brackets.items) > 1 or brackets.key != "pip":
        return (without_item(text, brackets.items, index),)
    (number,) = (n for n, line in enumerate(lines) if line.start <= brackets.start < line.end)
    line, above = lines[number], _above(lines, number)
    item = _ITEM.match(line.text)
    whole = item is not None and line.start + item.start("said") == brackets.start and brackets.end <= line.end
    return tuple(_going(text, lines, number, above)) if whole and above is not None else ()


def _requirement(key: str, said: str, start: int, going: tuple[Splice, ...]) -> Requirement:
    """What an item requires, by the key that its list belongs to; quotes are not said."""
    quote = said[0] if said[0] in "\"'" and said[-1] == said[0] and len(said) > 1 else ""
    said = said[1:-1] if quote else said
    start += len(quote)
    style = "" if key in ("channels", "requires") else "pip" if key in ("pip", "python_packages") else "conda"
    if key == "channels":
        said = "xformers" if _CHANNEL.fullmatch(said) else ""
    return Requirement(said, start, start + len(said), style, going)


def _above(lines: list[_Line], index: int) -> int | None:
    """The line with the key that an item's list belongs to."""
    indent = lines[index].indent
    for earlier in range(index - 1, -1, -1):
        line = lines[earlier]
        dashed = line.text.lstrip().startswith("- ")
        if line.indent < indent or (line.indent == indent and not dashed):
            return earlier
    return None


def _items(lines: list[_Line], above: int, indent: int) -> list[int]:
    """The items of the list below a key."""
    found = []
    for index in range(above + 1, len(lines)):
        line = lines[index]
        if line.indent < indent or (line.indent == indent and not line.text.lstrip().startswith("- ")):
            break
        if line.indent == indent:
            found.append(index)
    return found


def _going(text: str, lines: list[_Line], index: int, above: int) -> Iterator[Splice]:
    """An item's line; with the last item its key goes where that is an item too, else it keeps an empty list."""
    yield Splice(lines[index].start, lines[index].end)
    if len(_items(lines, above, lines[index].indent)) > 1:
        return
    parent = _above(lines, above) if lines[above].text.lstrip().startswith("- ") else None
    if parent is not None:
        yield from _going(text, lines, above, parent)
        return
    key = _KEY.match(lines[above].text)
    colon = lines[above].start + lines[above].text.index(":", len(key[1]) + len(key[3])) + 1 if key else 0
    yield Splice(colon, colon, " []")


def _bare_lines(text: str) -> list[str]:
    lines = (line.text.removesuffix(" []") for line in _lines(text))
    return [line for line in lines if not (_ITEM.match(line) and "xformers" in line)]


def _rest(node: Any, key: str) -> Any:
    """Parsed data without its requirements of xformers, and without the lists that are empty then."""
    if isinstance(node, dict):
        return {name: rest for name, value in node.items() if (rest := _rest(value, str(name))) not in ({}, [])}
    if isinstance(node, list):
        kept = [rest for value in node if (rest := _rest(value, key)) not in ({}, [])]
        return [value for value in kept if not (key in _KEYS and _is_ours(value, key))]
    return node


def _is_ours(value: Any, key: str) -> bool:
    if not isinstance(value, str):
        return False
    return _CHANNEL.fullmatch(value) is not None if key == "channels" else requires_xformers(value)
