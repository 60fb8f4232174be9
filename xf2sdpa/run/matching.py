"""The files of a run that matter, read; and results for those that cannot be."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from xf2sdpa.codes import RUN_CODES, UNREADABLE
from xf2sdpa.files.reading import read_regular
from xf2sdpa.files.search import Searcher
from xf2sdpa.files.source import Source, SourceError, read
from xf2sdpa.flags.block import MARK as FLAGS_MARK
from xf2sdpa.model import FileResult, Finding, Span
from xf2sdpa.project.handed_on import names_of_ours

COMMON_WORDS = frozenset({"import", "from", "as", "xformers", "mslk", "ops", "fmha", "attention"})


def with_flags_block(files: Sequence[str]) -> list[str]:
    """The files that hold a block of flags."""
    naming = Searcher(files).matching({b"xf2sdpa"})
    return [str(path) for path in naming if _holds(path, FLAGS_MARK.encode())]


def _holds(path: Path, mark: bytes) -> bool:
    try:
        return mark in read_regular(path)
    except OSError:
        return False


def read_matching(files: Sequence[str]) -> tuple[list[Source], list[FileResult]]:
    """The sources that name xformers or what such files hand on, and results for those that cannot be read."""
    searcher = Searcher(files)
    sources: list[Source] = []
    failed: list[FileResult] = []
    _read_all(searcher.first(), sources, failed)
    words = set().union(*(names_of_ours(source.text) for source in sources)) - COMMON_WORDS
    _read_all(searcher.matching({word.encode() for word in words}), sources, failed)
    failed += [failed_result(SourceError(path, 1, 0, UNREADABLE, why)) for path, why in searcher.unreadable]
    return sources, failed


def _read_all(paths: Iterable[Path], sources: list[Source], failed: list[FileResult]) -> None:
    for path in paths:
        try:
            sources.append(read(path))
        except SourceError as error:
            failed.append(failed_result(error))


def failed_result(error: SourceError) -> FileResult:
    """The result of a file that could not be read or written."""
    span = Span(error.line, error.column, error.line, error.column)
    finding = Finding(str(error.path), span, error.code, error.message, RUN_CODES[error.code].way_out, is_error=True)
    return FileResult(error.path, findings=[finding])
