"""One requirement file without xformers, and with a torch that is new enough: text in, text out."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import PurePath

from xf2sdpa.model import TorchVersion
from xf2sdpa.uninstall.requirement_edits import cfg_file, pip_file, setup_file, toml_file, yaml_file
from xf2sdpa.uninstall.requirement_edits.names import Format, format_of
from xf2sdpa.uninstall.requirement_edits.splice import Lines, Requirement, Splice, spliced
from xf2sdpa.uninstall.requirement_edits.words import package, raised, requires_xformers

_READERS: dict[Format, tuple[Callable[[str], list[Requirement]], Callable[[str, str], bool]]] = {
    Format.PIP: (pip_file.find, pip_file.same),
    Format.TOML: (toml_file.find, toml_file.same),
    Format.CFG: (cfg_file.find, cfg_file.same),
    Format.SETUP: (setup_file.find, setup_file.same),
    Format.YAML: (yaml_file.find, yaml_file.same),
}
_TORCH = frozenset({"torch", "pytorch"})
_COMPANIONS = frozenset(
    {"torchvision", "torchaudio", "torchtext", "torchdata", "triton", "pytorch-cuda", "pytorch-triton"}
)
"""Packages whose releases go with one release of torch."""
_EXACT = re.compile(r"(\s*torch\s*(?:\[[^\]]*\])?\s*)===?\s*[\d.]+(\s*(?:;.*)?)", re.DOTALL)
_FIXED = re.compile(r"[^;]*(?:==|@|/)")
_BROKEN = "would not be read as before"
_UNSPLICED = "is written so that it cannot be taken out by itself"


@dataclass(frozen=True)
class Change:
    """What a line required and requires now, nothing if it went; or why it stays."""

    line: int
    was: str
    now: str = ""
    why: str = ""
    place: str = ""
    """The extra that is empty now, if any."""


@dataclass
class Outcome:
    """A requirement file after its edits, each in the order of the lines."""

    text: str
    done: list[Change] = field(default_factory=list)
    left: list[Change] = field(default_factory=list)


def requirements_in(file: PurePath, text: str) -> list[Requirement]:
    """What a file requires; nothing where it is not read.

    Raises:
        ValueError: it does not parse.
    """
    format_ = format_of(file)
    try:
        return _READERS[format_][0](text) if format_ else []
    except (SyntaxError, RecursionError, MemoryError) as error:
        raise ValueError(str(error)) from None


def listing(file: PurePath, text: str) -> list[tuple[int, str]]:
    """The lines of a file that require xformers: the number of each, and what it says. None where it does not parse."""
    try:
        found = [one for one in requirements_in(file, text) if requires_xformers(one.said)]
    except ValueError:
        return []
    lines, at = text.split("\n"), Lines(text)
    numbers = sorted({at.at(one.shown_at) for one in found})
    return [(number, re.sub(r"(?:^|\s)#.*", "", lines[number - 1]).strip()) for number in numbers]


def without_xformers(file: PurePath, text: str, instead: str = "") -> Outcome:
    """The file without its requirements of xformers.

    Args:
        file: its name tells the format.
        text: what it holds.
        instead: the requirement of torch that takes the place of the first, as xformers brought it; empty for none.

    Raises:
        ValueError: it does not parse.
    """
    found = [one for one in requirements_in(file, text) if requires_xformers(one.said)]
    outcome, lines, stuck = Outcome(text), Lines(text), 0
    for one in found:
        now = [n for n in requirements_in(file, outcome.text) if requires_xformers(n.said)][stuck]
        if instead and one.style == "pip" and not one.place and one.end > one.start and package(one.said) == "xformers":
            made, said = spliced(outcome.text, [Splice(now.start, now.end, instead)]), instead
        else:
            made, said = spliced(outcome.text, now.going), ""
        passes = _same(file, outcome.text, spliced(outcome.text, now.going)) and (not said or _reads(file, made, said))
        why = _UNSPLICED if not now.going else "" if passes else _BROKEN
        change = Change(lines.at(one.shown_at), one.said, said, why, _emptied(file, made, one))
        if why:
            stuck += 1
            outcome.left.append(change)
        else:
            instead = "" if said else instead
            outcome.text = made
            outcome.done.append(change)
    return outcome


def with_torch(file: PurePath, text: str, floor: TorchVersion) -> Outcome:
    """The file with a torch that admits nothing older than `floor`, where its requirements of torch say otherwise.

    Raises:
        ValueError: it does not parse.
    """
    found = requirements_in(file, text)
    bound = [one.said for one in found if package(one.said) in _COMPANIONS and _FIXED.match(one.said)]
    outcome, lines = Outcome(text), Lines(text)
    for index in reversed([i for i, one in enumerate(found) if package(one.said) in _TORCH and one.style]):
        one = found[index]
        said = _raised(one, floor, bound)
        if said == one.said:
            continue
        made = text if said is None else spliced(outcome.text, [_of_version(one, said)])
        if said is None or not _same(file, made, outcome.text):
            outcome.left.insert(0, Change(lines.at(one.shown_at), one.said, why=_why(one, bound, floor)))
        else:
            outcome.text = made
            outcome.done.insert(0, Change(lines.at(one.shown_at), one.said, said))
    return outcome


def names_torch(file: PurePath, text: str) -> bool:
    """Whether a file requires torch, or a package that goes with one release of it."""
    try:
        return any(package(one.said) in _TORCH | _COMPANIONS for one in requirements_in(file, text))
    except ValueError:
        return True


def _raised(one: Requirement, floor: TorchVersion, bound: Sequence[str]) -> str | None:
    if one.fixed:
        return one.said if raised(one.said, floor, one.style) == one.said else None
    said = raised(one.said, floor, one.style)
    exact = _EXACT.fullmatch(one.said) if said is None and one.style == "pip" and not bound else None
    return f"{exact[1]}>={'.'.join(map(str, floor))}{exact[2]}" if exact else said


def _of_version(one: Requirement, said: str) -> Splice:
    """The splice by which a requirement says something else; of a key's only the version is in the text."""
    length = one.end - one.start
    if length == len(one.said):
        return Splice(one.start, one.end, said)
    name = one.said[: len(one.said) - length]
    return Splice(one.start, one.end, said.removeprefix(name.rstrip()).strip())


def _why(one: Requirement, bound: Sequence[str], floor: TorchVersion) -> str:
    needed = f"the new code needs {_at_least(floor)}"
    if one.fixed:
        return f"a hash holds it to its release, and {needed}"
    if bound:
        return f"it goes with {bound[0]}, and {needed}: raise both"
    return f"it names a release or an upper bound, and {needed}"


def _at_least(floor: TorchVersion) -> str:
    return f"torch>={'.'.join(map(str, floor))}"


def _same(file: PurePath, old: str, new: str) -> bool:
    """Whether nothing but requirements of xformers and versions of torch differ, to the format's own parser."""
    format_ = format_of(file)
    if format_ is None:
        return False
    try:
        before, after = (_READERS[format_][0](text) for text in (old, new))
        return _READERS[format_][1](*(_unversioned(t, f) for t, f in ((old, before), (new, after))))
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        return False


def _reads(file: PurePath, text: str, said: str) -> bool:
    """Whether a file parses and requires what it says."""
    try:
        return said in [one.said for one in requirements_in(file, text)]
    except ValueError:
        return False


def _unversioned(text: str, found: Sequence[Requirement]) -> str:
    """The text with one word for every requirement of torch."""
    torch = [one for one in found if package(one.said) in _TORCH and one.end > one.start]
    return spliced(text, [Splice(one.start, one.end, "torch") for one in torch])


def _emptied(file: PurePath, made: str, gone: Requirement) -> str:
    """The extra that a requirement belonged to, if nothing else is in it."""
    if not gone.place:
        return ""
    try:
        return "" if any(one.place == gone.place for one in requirements_in(file, made)) else gone.place
    except ValueError:
        return ""
