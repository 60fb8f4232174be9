"""What still names xformers anywhere in the tree, by kind, with what to do, and so whether it can be uninstalled.

The tree is searched for bytes, whatever the run was told to look at; only files that hold the word are read. Of files
that the run looked at its findings count, of others all that `code_uses` finds. A choice (an option, a setting) does no
harm where code of this tree takes it, as that code needs xformers no more; nobody knows who takes another.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from xf2sdpa.analysis.parsed import parse_once
from xf2sdpa.codes import NOTEBOOK, RUN_CODES
from xf2sdpa.files.notebook import decode_notebook, part_at, parts
from xf2sdpa.files.reading import read_regular
from xf2sdpa.files.search import Searcher
from xf2sdpa.files.source import SourceError
from xf2sdpa.files.tree import LARGEST_NOTEBOOK, files_of, roots_of
from xf2sdpa.helper.text import is_copy
from xf2sdpa.model import Bearing, FileResult, FindingKind, Mention, SiteClass, Span
from xf2sdpa.uninstall.choices import WORD, Said, entry_points, kind_of, said_in
from xf2sdpa.uninstall.code_uses import Use, choices, imports, needs
from xf2sdpa.uninstall.notebooks import masked_names
from xf2sdpa.uninstall.requirement_edits.edit import listing

_KEPT = "XF401"
_IGNORING = "xf2sdpa: ignore"
_PASSED_ON = re.compile(r"attention_backend\(\s*(?![\s\"'])")
_LOCKED = "made by a program: make it anew once the requirements have changed"
_UNREAD = "no code of this tree takes it, and who does may need xformers"
_TO_REWRITE = "Run `xf2sdpa rewrite`."


@dataclass
class Tree:
    """The files of a tree that name xformers, with their texts.

    Attributes:
        files: every file that was searched.
        texts: the text of each file that names xformers, by its path; after the run for those that it changed.
        unreadable: files that could not be read, and why.
    """

    files: list[str]
    texts: dict[str, str] = field(default_factory=dict)
    unreadable: list[tuple[str, str]] = field(default_factory=list)


def tree_around(paths: Iterable[str | Path], results: Collection[FileResult]) -> Tree:
    """The tree that some paths belong to.

    Args:
        paths: where a run worked.
        results: what became of files there; of those that changed the new text counts.

    Raises:
        DiscoverError: a folder is not there.
    """
    tree = Tree(files_of(roots_of(paths)))
    searcher = Searcher(tree.files)
    changed = {os.path.realpath(result.path): result.new for result in results if result.changed}
    for path in searcher.first():
        text = changed.get(os.path.realpath(path))
        try:
            tree.texts[str(path)] = _text(path) if text is None else text
        except OSError as error:
            tree.unreadable.append((str(path), error.strerror or str(error)))
    tree.unreadable += [(str(path), why) for path, why in searcher.unreadable]
    tree.texts = {path: text for path, text in tree.texts.items() if WORD.search(text)}
    return tree


def mentions_in(
    tree: Tree, results: Collection[FileResult], visited: Collection[str], *, trusted: bool = True, done: bool = True
) -> list[Mention]:
    """The places of a tree that name xformers, files in the order of their names.

    Args:
        tree: its files.
        results: what a run found.
        visited: the real paths of the files that it looked at.
        trusted: whether the run told all it found: not where codes were left out.
        done: whether what it changed is changed, or will be; else each such file still needs xformers.
    """
    found = [mention for result in results for mention in _of_result(result, done=done)]
    told = {(os.path.realpath(mention.path), mention.line) for mention in found}
    taking = _Taking(tree.texts)
    for path, text in tree.texts.items():
        real, kind = os.path.realpath(path), kind_of(Path(path))
        if kind == "notebook":
            sure = real in visited and trusted
            found += (m for m in _of_notebook(path, text, sure=sure) if (real, m.line) not in told)
        elif path.endswith((".py", ".pyi")):
            sure = real in visited and trusted and _IGNORING not in text
            found += (m for m in _of_code(path, kind, text, sure=sure) if (real, m.line) not in told)
        else:
            found += _of_other(path, kind, text, taking)
    for path, why in tree.unreadable:
        found.append(Mention(path, 1, kind_of(Path(path)), Bearing.UNSURE, f"cannot be read ({why})", "Look into it."))
    return sorted(found, key=lambda mention: (mention.path, mention.line))


def _of_result(result: FileResult, *, done: bool) -> Iterator[Mention]:
    """What a run told of a file: calls that are left, findings that keep xformers; all that it would still change."""
    path, kind = str(result.path), kind_of(result.path)
    if result.changed and not done:
        places = [*(site.span.line for site in result.sites), *(f.span.line for f in result.findings)]
        text = "is not rewritten yet"
        yield Mention(path, min(places, default=1), kind, Bearing.NEEDS, text, _TO_REWRITE, len(result.sites) or 1)
    for site in result.sites:
        if site.kind is SiteClass.LEFT:
            line, text = _in_file(result, site.span, site.message)
            yield Mention(path, line, kind, Bearing.NEEDS, text, site.advice, code=site.code)
    for finding in result.findings:
        if finding.needs_xformers:
            bearing = Bearing.NEEDS if finding.kind is FindingKind.KEEPS else Bearing.UNSURE
            line, text = _in_file(result, finding.span, finding.message)
            yield Mention(path, line, kind, bearing, text, finding.advice, code=finding.code)
        elif finding.code == _KEPT:  # it only warns
            line, text = _in_file(result, finding.span, finding.message)
            yield Mention(path, line, kind, Bearing.NAMES, text, finding.advice, code=finding.code)


def _in_file(result: FileResult, span: Span, text: str) -> tuple[int, str]:
    """The line of a file, and what is said of it; in a notebook the line of its JSON, and the cell as well."""
    lines = result.cell_lines.get(span.cell)
    return _by_cell(lines, span.cell, span.line, text) if lines else (span.line, text)


def _by_cell(lines: Sequence[int], cell: int, line: int, text: str) -> tuple[int, str]:
    return lines[min(line, len(lines)) - 1], f"cell {cell}, line {line}: {text}"


def _of_notebook(path: str, text: str, *, sure: bool) -> Iterator[Mention]:
    """What a notebook needs, and what it offers to choose: its Python as a file's; of a run, what that has not told."""
    try:
        source = decode_notebook(text.encode("utf-8", "replace"), Path(path))
    except SourceError as error:
        if not sure:
            yield Mention(path, 1, "notebook", Bearing.UNSURE, error.message, "Look into it by hand.")
        return
    if source is None:  # of another language
        return
    lines, cells = source.book.lines_in_file(), list(parts(source.text))
    found = parse_once(source.text)
    for use in (*(imports if sure else needs)(found), *choices(found)):
        part = part_at(cells, use.line)
        line, said = _by_cell(lines[part.number - 1], part.number, use.line - part.line, use.text)
        yield Mention(path, line, "notebook", use.bearing, said, use.advice)
    for place in () if sure else masked_names(source, source.text):
        line, said = _by_cell(lines[place.cell - 1], place.cell, place.line, place.text)
        yield Mention(path, line, "notebook", Bearing.NEEDS, said, RUN_CODES[NOTEBOOK].way_out, code=NOTEBOOK)


def _of_code(path: str, kind: str, text: str, *, sure: bool) -> Iterator[Mention]:
    """What a Python file needs; what it offers to choose; how often it only speaks of it."""
    if is_copy(text):
        return
    if kind == "requirements":
        yield from _of_requirements(path, text)
    try:
        found = parse_once(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        if not sure:
            yield Mention(path, 1, kind, Bearing.UNSURE, "does not parse", "Look into it by hand.")
        return
    used: dict[int, Use] = {}
    for use in (*(imports if sure else needs)(found), *choices(found)):
        used.setdefault(use.line, use)
    if kind == "requirements":  # its literals are told as such
        used = {line: use for line, use in used.items() if use.bearing is not Bearing.CHOICE}
    for use in used.values():
        yield Mention(path, use.line, "code", use.bearing, use.text, use.advice)
    lines = [number for number in _lines_with(WORD, text) if number not in used]
    if lines:
        yield Mention(path, lines[0], "code", Bearing.NAMES, "comments, texts and names", "", len(lines))


def _lines_with(word: re.Pattern[str], text: str) -> list[int]:
    """The numbers of the lines that hold a word, each once."""
    return [number for number, line in enumerate(text.splitlines(), start=1) if _may_name(line) and word.search(line)]


def _may_name(line: str) -> bool:
    lowered = line.lower()
    return "xformers" in lowered or "mslk" in lowered


def _of_requirements(path: str, text: str) -> Iterator[Mention]:
    for line, said in listing(Path(path), text):
        yield Mention(path, line, "requirements", Bearing.NAMES, said, "drop it once nothing needs it")


def _of_other(path: str, kind: str, text: str, taking: _Taking) -> Iterator[Mention]:
    """What any other file says, line by line; those that only name it, together."""
    if kind == "lock":
        yield Mention(path, 1, kind, Bearing.NAMES, "names xformers", _LOCKED, len(WORD.findall(text)))
        return
    required: set[int] = set()
    found = list(said_in(kind, text))
    if kind == "requirements":
        yield from _of_requirements(path, text)
        required, kind = {line for line, _ in listing(Path(path), text)}, "config"
        required |= entry_points(text) if path.endswith(".toml") else set()
    only_named = []
    for said in found:
        if said.line in required:
            continue
        if said.bearing is Bearing.NAMES and said.advice in ("", "a comment"):
            only_named.append(said)
        else:
            yield taking.settled(path, kind, said)
    if only_named:
        first = only_named[0]
        yield Mention(path, first.line, kind, Bearing.NAMES, first.text, first.advice, len(only_named))


class _Taking:
    """What the code of a tree takes: options of command lines, keys and values of settings."""

    def __init__(self, texts: Mapping[str, str]) -> None:
        self._code = "\n".join(text for path, text in texts.items() if path.endswith((".py", ".pyi", ".ipynb")))

    @cached_property
    def _words(self) -> frozenset[str]:
        return frozenset(re.findall(r"(?<![\w-])[\w-]*xformers[\w-]*", self._code))

    @cached_property
    def _hands_on(self) -> bool:
        return _PASSED_ON.search(self._code) is not None

    def settled(self, path: str, kind: str, said: Said) -> Mention:
        """What a line says; a choice that no code of this tree takes may need xformers, as it is not known who does."""
        bearing, advice = said.bearing, said.advice
        if bearing is Bearing.CHOICE and not self._takes(said.token):
            bearing, advice = Bearing.UNSURE, f"{advice}; {_UNREAD}"
        return Mention(path, said.line, kind, bearing, said.text, advice)

    def _takes(self, token: str) -> bool:
        if token.startswith("-"):
            bare = token.lstrip("-")
            return not self._words.isdisjoint({token, bare, bare.replace("-", "_")})
        if token == "xformers":
            quoted = any(f"{quote}xformers{quote}" in self._code for quote in "\"'")
            return quoted and not self._hands_on
        return token in self._words


def _text(path: Path) -> str:
    """A file's text; empty where it is no text."""
    data = read_regular(path, LARGEST_NOTEBOOK)
    wide = data[:2] in (b"\xff\xfe", b"\xfe\xff")
    if wide:
        return data.decode("utf-16", "replace")
    return "" if b"\0" in data[:8192] and path.suffix != ".py" else data.decode("utf-8", "replace")
