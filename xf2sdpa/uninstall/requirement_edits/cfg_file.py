"""setup.cfg: install_requires and its kin, and extras, an entry a line below their key."""

from __future__ import annotations

import configparser
import re
from collections.abc import Iterator
from dataclasses import dataclass

from xf2sdpa.uninstall.requirement_edits.splice import Requirement, Splice
from xf2sdpa.uninstall.requirement_edits.words import requires_xformers

KEYS = frozenset({"install_requires", "extras_require", "setup_requires", "tests_require"})
EXTRAS = "options.extras_require"
_HEADER = re.compile(r"\[([^\]]+)\]")
_KEY = re.compile(r"([\w.-]+)[ \t]*[=:](?!=)[ \t]*")


@dataclass(frozen=True)
class _Entry:
    """One line of a value: where its key stands, and where it is."""

    section: str
    key: str
    start: int
    said: str
    below: bool
    """Whether it stands below its key, not beside it."""


def find(text: str) -> list[Requirement]:
    """What the file requires."""
    found = []
    for entry in _entries(text):
        if entry.said and _counts(entry.section, entry.key):
            end = entry.start + len(entry.said)
            line = text.find("\n", entry.start)
            whole = len(text) if line < 0 else line + 1
            beginning = text.rfind("\n", 0, entry.start) + 1
            beside = Splice(entry.start - (text[entry.start - 1] in " \t"), end)
            going = Splice(beginning, whole) if entry.below else beside
            place = entry.key if entry.section == EXTRAS else ""
            found.append(Requirement(entry.said, entry.start, end, "pip", (going,), place=place))
    return found


def same(old: str, new: str) -> bool:
    """Whether two texts say the same to `configparser`, requirements of xformers aside."""
    return _values(old) == _values(new)


def _counts(section: str, key: str) -> bool:
    return (section == "options" and key in KEYS) or section == EXTRAS


def _values(text: str) -> dict[tuple[str, str], list[str]]:
    parser = configparser.RawConfigParser(strict=False)
    try:
        parser.read_string(text)
    except configparser.Error as error:
        raise ValueError(str(error)) from None
    found = {}
    for section in parser.sections():
        for key, value in parser.items(section):
            lines = [line.strip() for line in value.splitlines() if line.strip()]
            drops = _counts(section, key)
            found[section, key] = [line for line in lines if not (drops and requires_xformers(line))]
    return found


def _entries(text: str) -> Iterator[_Entry]:
    section = key = ""
    place = 0
    for line in text.splitlines(keepends=True):
        bare = line.strip()
        header, begun = _HEADER.match(line), _KEY.match(line)
        if header:
            section, key = header[1], ""
        elif begun:
            key = begun[1]
            said = line[begun.end() :].strip()
            yield _Entry(section, key, place + begun.end(), said, below=False)
        elif bare and not bare.startswith(("#", ";")) and line[:1] in " \t":
            yield _Entry(section, key, place + line.index(bare), bare, below=True)
        place += len(line)
