"""The torch versions that a project admits, as far as its requirement files say so."""

from __future__ import annotations

import codecs
import configparser
import os
import re
import types
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from xf2sdpa.files.pyproject import parse_toml
from xf2sdpa.files.reading import read_regular
from xf2sdpa.model import Pin, TorchVersion

# torch, but not torchvision, torch-geometric or torch.py.
_TORCH = re.compile(r"torch(?![\w.-])\s*(?:\[[^]]*\])?\s*(.*)", re.IGNORECASE | re.DOTALL)
_CLAUSE = re.compile(r"(===|==|~=|>=|<=|!=|>|<|\^|~)?\s*v?(\d+)(?:\.(\d+))?")
_WHEEL = re.compile(r"/torch-(\d+)\.(\d+)", re.IGNORECASE)
# None: a bare number, which is how poetry spells "==".
_LOWER_BOUNDS = {None, "===", "==", "~=", ">=", ">", "^", "~"}


def project_torch(start: Path) -> Pin | None:
    """Return the lowest torch version that the project around `start` admits, and where that is said.

    The nearest folder, at or above, whose files give torch a lower bound or a version counts:
    pyproject.toml ([project] and poetry's dependencies), requirements*.txt, setup.cfg (install_requires).
    The search ends at the top of a git work tree. Where the files say different things, the lowest counts,
    as somebody may install by it. A file that cannot be read or parsed says nothing.
    """
    start = Path(os.path.realpath(start))  # resolve() trips over a circle of links
    for folder in (start, *start.parents):  # a file as the first "folder" has nothing in it
        pins = list(_pins(folder))
        if pins:
            return min(pins, key=lambda pin: pin[0])
        if (folder / ".git").exists():
            return None
    return None


def excluded(
    start: Path,
    first: TorchVersion,
    last: TorchVersion,
    kept_from: TorchVersion = (0, 0),
    texts: Mapping[str, str] = types.MappingProxyType({}),
) -> bool:
    """Whether the project around `start` admits no torch from `first` to `last`, both included.

    The nearest folder counts whose files name torch at all, and each of them must exclude these versions. One release
    that is older than `kept_from` excludes nothing: it may be given up for `torch>=…`, which admits all that follow.

    Args:
        start: a file or folder.
        first: the oldest of these versions.
        last: the newest.
        kept_from: the oldest torch that no run gives up.
        texts: what some files are to hold, by their real paths, in the place of what they hold.
    """
    start = Path(os.path.realpath(start))
    for folder in (start, *start.parents):
        named = [
            text
            for _, requirements in _requirements(folder, texts)
            for text in requirements
            if _TORCH.match(_bare(text))
        ]
        if named:
            return all(_excludes(text, first, last, kept_from) for text in named)
        if (folder / ".git").exists():
            return False
    return False


def _excludes(requirement: str, first: TorchVersion, last: TorchVersion, kept_from: TorchVersion) -> bool:
    lowest, highest = lowest_admitted(requirement), highest_admitted(requirement)
    if lowest is not None and lowest == highest and lowest < kept_from:
        return False
    return (lowest is not None and lowest > last) or (highest is not None and highest < first)


ENDLESS = 10**6
"""A number that no version of torch reaches: as a minor one, it stands for all of a major one."""


def highest_admitted(requirement: str) -> TorchVersion | None:
    """Return the highest torch version that one requirement admits; None for another package or no upper end.

    >>> highest_admitted("torch>=2.0.1,<2.4")
    (2, 3)
    """
    ends = [_wheel(clause) if clause.startswith("@") else _end(clause) for clause in _clauses(requirement)]
    return min((end for end in ends if end is not None), default=None)


def _end(clause: str) -> TorchVersion | None:
    """The highest version that one clause lets through; None if it has no upper end."""
    parts = _CLAUSE.match(clause)
    if parts is None:
        return None
    major, minor = int(parts[2]), int(parts[3] or 0)
    patch = re.match(r"\.\d+", clause[parts.end() :]) is not None
    if parts[1] == "<":
        before = (major, minor - 1) if minor else (major - 1, ENDLESS)
        return (major, minor) if patch else before
    if parts[1] in ("~=", "^", "~"):
        narrow = patch if parts[1] == "~=" else parts[1] == "~" and parts[3] is not None
        return (major, minor) if narrow else (major, ENDLESS)
    if parts[1] in (None, "==", "==="):
        return (major, minor) if parts[3] is not None else (major, ENDLESS)
    return (major, minor) if parts[1] == "<=" else None


def lowest_admitted(requirement: str) -> TorchVersion | None:
    """Return the lowest torch version that one requirement admits; None for another package or no lower end.

    >>> lowest_admitted("torch[opt]>=2.0.1,<2.4; sys_platform == 'linux'")
    (2, 0)
    """
    starts = [_wheel(clause) if clause.startswith("@") else _start(clause) for clause in _clauses(requirement)]
    return max((start for start in starts if start is not None), default=None)


def _clauses(requirement: str) -> list[str]:
    """What one requirement says of torch's version, clause by clause, or `@ URL` alone; nothing for another package."""
    match = _TORCH.match(_bare(requirement))
    rest = match[1].partition(";")[0].strip().strip("()") if match is not None else ""
    return [rest] if rest.startswith("@") else [clause.strip() for clause in rest.split(",")]


def _wheel(clause: str) -> TorchVersion | None:
    """The version of the wheel that `@ URL` leads to; None if the URL does not say it."""
    wheel = _WHEEL.search(clause)
    return (int(wheel[1]), int(wheel[2])) if wheel else None


def _start(clause: str) -> TorchVersion | None:
    """The lowest version that one clause lets through; None if it has no lower end."""
    parts = _CLAUSE.match(clause)
    return (int(parts[2]), int(parts[3] or 0)) if parts and parts[1] in _LOWER_BOUNDS else None


def _pins(folder: Path) -> Iterator[Pin]:
    """Yield what the folder's files say about torch, in an order that does not change."""
    for file, requirements in _requirements(folder):
        for requirement in requirements:
            version = lowest_admitted(requirement)
            if version is not None:
                said = _bare(requirement)
                yield version, f"{file.name}{_line_number(_text(file), said)}: {said}"


def _requirements(
    folder: Path, texts: Mapping[str, str] = types.MappingProxyType({})
) -> Iterator[tuple[Path, list[str]]]:
    """Each file of a folder that may name requirements, and what it requires."""
    readers: list[tuple[Path, Callable[[str], list[str]]]] = [
        (folder / "pyproject.toml", _of_pyproject),
        *((file, str.splitlines) for file in sorted(folder.glob("requirements*.txt"))),
        (folder / "setup.cfg", _of_setup_cfg),
    ]
    return ((file, requirements(texts.get(str(file)) or _text(file))) for file, requirements in readers)


def _bare(requirement: str) -> str:
    """Return the requirement without what a requirements file may add: a comment, options, a backslash."""
    return re.split(r"\s+(?:#|--)|\s*\\$", requirement.strip(), maxsplit=1)[0]


def _line_number(text: str, requirement: str) -> str:
    """Return ":12", or "" for a requirement that is written in several lines: no parser here knows lines."""
    words = re.compile(r"(?<![\w.-])" + ".*?".join(map(re.escape, requirement.split())))
    for number, line in enumerate(text.splitlines(), 1):
        if words.search(line) and not line.lstrip().startswith("#"):
            return f":{number}"
    return ""


def _of_pyproject(text: str) -> list[str]:
    try:
        tables = parse_toml(text)
    except ValueError:
        return []
    listed = _at(tables, "project", "dependencies")
    requirements = [item for item in listed if isinstance(item, str)] if isinstance(listed, list) else []
    versions = _at(tables, "tool", "poetry", "dependencies", "torch")
    for version in versions if isinstance(versions, list) else [versions]:
        said = version.get("version") if isinstance(version, dict) else version
        if isinstance(said, str):
            requirements.append(f"torch {said}")
    return requirements


def _at(table: Any, *keys: str) -> Any:
    """Return what lies below the keys, None if a table is missing on the way."""
    for key in keys:
        table = table.get(key) if isinstance(table, dict) else None
    return table


def _of_setup_cfg(text: str) -> list[str]:
    parser = configparser.RawConfigParser(strict=False)
    try:
        parser.read_string(text)
    except configparser.Error:
        return []
    return parser.get("options", "install_requires", fallback="").splitlines()


def _text(file: Path) -> str:
    """Return the file's text, "" if there is none. (`pip freeze >` in PowerShell writes UTF-16.)"""
    try:
        data = read_regular(file)
    except OSError:
        return ""
    wide = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    return data.decode("utf-16" if wide else "utf-8-sig", "replace")
