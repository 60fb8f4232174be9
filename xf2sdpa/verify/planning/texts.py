"""The old and the new text of each file, aligned, with the rewrite's decisions for the old one."""

from __future__ import annotations

import ast
import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from xf2sdpa.analysis.names import Names
from xf2sdpa.analysis.spans import split_lines
from xf2sdpa.files.source import Source
from xf2sdpa.flags.block import find, line_of
from xf2sdpa.helper.text import FILE_NAME
from xf2sdpa.rewrite.decide import decide
from xf2sdpa.rewrite.engine import rewrite_with
from xf2sdpa.rewrite.options import Options
from xf2sdpa.rulekit.draft import CallDraft, FileDraft
from xf2sdpa.run.jobs import jobs_of
from xf2sdpa.run.options import RunOptions
from xf2sdpa.settings import Settings
from xf2sdpa.verify.planning.alignment import Alignment, align
from xf2sdpa.verify.planning.mask_made import rests_on_ours
from xf2sdpa.verify.planning.old_text import OldTexts

HELPER_STEM = FILE_NAME.removesuffix(".py")


def options_of(texts: OldTexts, settings: Settings) -> Iterator[tuple[Source, Options]]:
    """Each old text, with its options in a rewrite of the whole project."""
    for job in jobs_of(texts.project, list(texts.sources.values()), settings, RunOptions(returning=False)):
        yield job.source, job.options


@dataclass
class FileTexts:
    """One file: the rewrite's decisions for its old text, and its new text."""

    path: str
    file: FileDraft
    calls: list[CallDraft]
    new_lines: list[str]
    new_names: Names
    alignment: Alignment
    engine: Alignment | None
    """The alignment of the engine's own new text, if `alignment` is that of the text on disk; else None."""
    helper: str = ""
    """Key of the helper module that the new text imports."""

    @property
    def on_disk(self) -> bool:
        """Whether the new text is that on disk."""
        return self.engine is not None

    @property
    def helpers(self) -> dict[str, str]:
        """Dotted paths of the helper module in the new text, each mapped to itself."""
        return {path: path for path in _helper_paths(self.new_names)}


def file_texts(path: str, old: str, disk: str | None, options: Options) -> FileTexts:
    """Align a file's old and new text, and decide on the old one; `disk` is the text on disk if it differs."""
    file, calls = decide(old, path, options)
    sites = [call.site.node for call in calls]
    made = rewrite_with(old, path, options).new
    loose = functools.partial(rests_on_ours, names=file.names)
    flags = _flags(file.tree, old)

    def aligned(text: str, loose: Callable[[ast.Assign], bool] = lambda _: False) -> tuple[ast.Module, Alignment]:
        tree = ast.parse(text)
        return tree, align(file.tree, tree, file.edits, sites, loose, flags=flags | _flags(tree, text))

    engine = aligned(made)[1] if disk is not None else None
    text = made if disk is None else disk
    tree, alignment = aligned(text, loose)
    return FileTexts(path, file, calls, split_lines(text), Names(tree), alignment, engine)


def _flags(tree: ast.Module, text: str) -> frozenset[int]:
    """The statements of xf2sdpa's block of flags, by `id`; empty if the block was edited by hand."""
    block = find(text)
    if block is None or not block.untouched:
        return frozenset()
    first = line_of(text)
    last = first + len(split_lines(text[block.start : block.end])) - 1
    return frozenset(id(statement) for statement in tree.body if first <= statement.lineno <= last)


def _helper_paths(names: Names) -> Iterator[str]:
    for statement in names.imports:
        if isinstance(statement, ast.ImportFrom):
            base = "." * statement.level + (statement.module or "")
            if base.rpartition(".")[2] == HELPER_STEM:
                yield base
            elif any(alias.name == HELPER_STEM for alias in statement.names):
                yield f"{base}{'' if base.endswith('.') else '.'}{HELPER_STEM}"
        else:
            yield from (alias.name for alias in statement.names if alias.name.rpartition(".")[2] == HELPER_STEM)


def helper_of(draft: FileTexts) -> str:
    """The path of the helper module that a file imports; empty if it is not found."""
    for dotted in draft.helpers:
        level = len(dotted) - len(dotted.lstrip("."))
        parts = dotted.lstrip(".").split(".")
        folders = list(Path(draft.path).absolute().parents)
        folders = folders[level - 1 : level] if level else folders
        for folder in folders:
            path = folder.joinpath(*parts).with_suffix(".py")
            if path.exists():
                return str(path)
    return ""
