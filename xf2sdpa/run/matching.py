"""The files of a run that matter, read; and results for those that cannot be."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from xf2sdpa.codes import RUN_CODES, UNREADABLE
from xf2sdpa.files.notebook import is_notebook, read_any
from xf2sdpa.files.search import Searcher
from xf2sdpa.files.source import Source, SourceError
from xf2sdpa.flags.block import MARK
from xf2sdpa.helper.text import MODULE_NAME, PACKAGE_NAME
from xf2sdpa.model import FileResult, Finding, FindingKind, Span
from xf2sdpa.project.handed_on import names_of_ours

COMMON_WORDS = frozenset({"import", "from", "as", "xformers", "mslk", "ops", "fmha", "attention"})

_HELPERS = (MODULE_NAME.encode(), PACKAGE_NAME.encode())
"""What files name that take from a helper what an earlier run gave to it."""


def read_matching(files: Sequence[str]) -> tuple[list[Source], list[FileResult]]:
    """The sources that name xformers, a helper or what such files hand on, and results for those that cannot be read.

    Notebooks among them that hold flags as well: they are looked after in every run.
    """
    searcher = Searcher(file for file in files if not is_notebook(file))
    notebooks = Searcher(file for file in files if is_notebook(file))
    sources: list[Source] = []
    failed: list[FileResult] = []
    _read_all(searcher.first(*_HELPERS), sources, failed)
    _read_all(notebooks.first(*_HELPERS, MARK.lower().encode()), sources, failed)
    words = set().union(*(names_of_ours(source.text) for source in sources)) - COMMON_WORDS
    _read_all(searcher.matching({word.encode() for word in words}), sources, failed)
    _read_all(notebooks.holding({word.encode() for word in words}), sources, failed)
    unreadable = [*searcher.unreadable, *notebooks.unreadable]
    failed += [failed_result(SourceError(path, 1, 0, UNREADABLE, why)) for path, why in unreadable]
    return sources, failed


def _read_all(paths: Iterable[Path], sources: list[Source], failed: list[FileResult]) -> None:
    for path in paths:
        try:
            source = read_any(path)
            sources += [source] if source is not None else []
        except SourceError as error:
            failed.append(failed_result(error))


def failed_result(error: SourceError) -> FileResult:
    """The result of a file that could not be read or written."""
    span = Span(error.line, error.column, error.line, error.column)
    finding = Finding(
        str(error.path), span, error.code, error.message, RUN_CODES[error.code].way_out, FindingKind.ERROR
    )
    return FileResult(error.path, findings=[finding])
