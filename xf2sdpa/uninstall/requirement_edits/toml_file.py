"""pyproject.toml, Pipfile and pixi.toml: lists of requirements (PEP 621 and 735, hatch, pdm, uv, poetry's extras), and
tables in which the name of a package is the key (poetry, Pipfile, uv's sources, pixi)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from xf2sdpa.files.pyproject import parse_toml
from xf2sdpa.uninstall.requirement_edits.splice import Requirement, Splice, line_end, line_start, without_item
from xf2sdpa.uninstall.requirement_edits.toml_scan import Pair, Value, tables
from xf2sdpa.uninstall.requirement_edits.words import XFORMERS, package, requires_xformers

_LISTS = re.compile(r"requires|([\w-]+-)?dependencies|[\w-]+-package")
_GROUPS = frozenset({"optional-dependencies", "dev-dependencies", "dependency-groups", "extras", "requires-extra"})
"""Tables of lists of requirements, each under a name of the user's own."""
_BY_NAME = frozenset(
    {"dependencies", "dev-dependencies", "pypi-dependencies", "sources", "packages", "dev-packages"}
    | {"extra-build-dependencies", "build-dependencies", "host-dependencies"}
)
"""Tables in which the name of a package is the key."""
_EXTRAS = frozenset({"optional-dependencies", "extras"})


def find(text: str) -> list[Requirement]:
    """What the file requires."""
    found: list[Requirement] = []
    for table in tables(text):
        named = _by_name(table.path)
        if named is not None:
            said = " ".join(
                [table.path[named], *(_version(text, pair.value) for pair in table.pairs if pair.path == ("version",))]
            )
            place = next((p.value for p in table.pairs if p.path == ("version",)), None)
            start, end = (place.start + 1, place.end - 1) if place else (table.start, table.start)
            going = Splice(line_start(text, table.start), line_end(text, table.end))
            found.append(Requirement(said, start, end, _style(table.path), (going,), head=table.start))
            continue
        for pair in table.pairs:
            lines = Splice(line_start(text, pair.start), line_end(text, pair.value.end))
            found += _of_pair(text, table.path, pair, lines)
    return found


def same(old: str, new: str) -> bool:
    """Whether two texts are the same to the parser, requirements of xformers aside."""
    return bool(_rest(parse_toml(old), ()) == _rest(parse_toml(new), ()))


def _of_pair(text: str, above: tuple[str, ...], pair: Pair, going: Splice) -> Iterator[Requirement]:
    path, value = above + pair.path, pair.value
    named = _by_name(path)
    listed = value.items is not None and all(text[item.start] in "\"'" for item in value.items)
    if named is not None and not (listed and _is_list(path)):
        said, start, end = _said_by_key(text, path[named], path[named + 1 :], value)
        yield Requirement(said, start, end, _style(path), (going,))
    elif value.items is not None and _is_list(path):
        spans = [(item.start, item.end) for item in value.items]
        for index, item in enumerate(value.items):
            if text[item.start] in "\"'":
                said = text[item.start + 1 : item.end - 1]
                place = path[-1] if path[-2] in _EXTRAS else ""
                style = "" if path[-1].endswith("-package") or _is_poetry_extra(path) else "pip"
                yield Requirement(
                    said, item.start + 1, item.end - 1, style, (without_item(text, spans, index),), place=place
                )
    elif value.pairs is not None:
        spans = [(inner.start, inner.value.end) for inner in value.pairs]
        for index, inner in enumerate(value.pairs):
            yield from _of_pair(text, path, inner, without_item(text, spans, index))


def _by_name(path: tuple[str, ...]) -> int | None:
    """Where in a path the name of a package stands as a key; None where it does not."""
    if path[:1] == ("project",) or path[:1] == ("dependency-groups",):
        return None
    for index in range(1, len(path)):
        if path[index - 1] in _BY_NAME and (path[0] == "tool" or index == 1 or path[0] in ("feature", "target")):
            return index
    return None


def _is_list(path: tuple[str, ...]) -> bool:
    above, key = ("", *path)[-2:]
    return _LISTS.fullmatch(key) is not None or above in _GROUPS


def _is_poetry_extra(path: tuple[str, ...]) -> bool:
    return path[:3] == ("tool", "poetry", "extras")


def _style(path: tuple[str, ...]) -> str:
    if path[:2] == ("tool", "poetry"):
        return "poetry"
    return "" if "sources" in path or path[-1:] == ("extra-build-dependencies",) else "pip"


def _said_by_key(text: str, name: str, further: tuple[str, ...], value: Value) -> tuple[str, int, int]:
    """A package with its version, and where the version stands."""
    if further not in ((), ("version",)):
        return name, value.start, value.start
    pairs = [pair.value for pair in value.pairs or () if pair.path == ("version",)]
    said = pairs[0] if pairs else value
    version = _version(text, said)
    return f"{name} {version}".strip(), said.start + 1, said.start + 1 + len(version)


def _version(text: str, value: Value) -> str:
    return text[value.start + 1 : value.end - 1] if text[value.start] in "\"'" else ""


def _rest(node: Any, path: tuple[str, ...]) -> Any:
    """Parsed data without its requirements of xformers."""
    if isinstance(node, dict):
        kept = {key: value for key, value in node.items() if not _is_ours((*path, key), value)}
        rest = {key: _rest(value, (*path, key)) for key, value in kept.items()}
        return {key: value for key, value in rest.items() if value != {}}  # a header may go with what is below it
    if isinstance(node, list):
        drops = len(path) > 0 and _is_list(path)
        return [_rest(v, path) for v in node if not (drops and isinstance(v, str) and requires_xformers(v))]
    return node


def _is_ours(path: tuple[str, ...], value: Any) -> bool:
    """Whether a key is the package, and not the name of a list."""
    listed = isinstance(value, list) and all(isinstance(item, str) for item in value) and _is_list(path)
    return _by_name(path) == len(path) - 1 and package(path[-1]) == XFORMERS and not listed
