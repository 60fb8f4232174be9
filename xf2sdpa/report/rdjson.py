"""The report in reviewdog's format, with suggestions that a reviewer may apply.

reviewdog shows a suggestion where it covers exactly the lines of its diagnostic, so a diagnostic with one takes the
lines of the change around it. All suggestions of a file together are its rewrite; each says how many there are.
Columns count bytes of UTF-8. (https://github.com/reviewdog/reviewdog/tree/master/proto/rdf)
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from xf2sdpa.files.plain import plain, plain_json
from xf2sdpa.model import FileResult, Pin, Run, Span
from xf2sdpa.report.changes import Hunk, fixable, hunks, split_lines, widened
from xf2sdpa.report.entries import Entry, Level, problems, sentences

_SEVERITIES = {Level.ERROR: "ERROR", Level.WARNING: "WARNING", Level.NOTE: "INFO"}


def render(run: Run, _: Pin | None, *, written: bool) -> str:
    """One DiagnosticResult; what this run has solved is not in it."""
    return plain_json(json.dumps(document(run, written=written), indent=2, ensure_ascii=False)) + "\n"


def document(run: Run, *, written: bool) -> dict[str, Any]:
    """The report as plain data."""
    texts = {str(result.path): result for result in run.results}
    fixes = set() if written else {str(result.path) for result in fixable(run)}
    by_file: dict[str, list[Entry]] = {}
    for entry in problems(run, written=written):
        by_file.setdefault(entry.path, []).append(entry)
    told: list[dict[str, Any]] = []
    for path, found in by_file.items():
        result = texts.get(path, FileResult(Path(path)))
        lines = split_lines(result.new if written else result.old)
        wide = widened(hunks(result.old, result.new), result.old) if path in fixes else []
        told += _of_file(found, wide, lines)
    return {"source": {"name": "xf2sdpa"}, "diagnostics": told}


def _of_file(found: list[Entry], wide: list[Hunk], lines: list[str]) -> Iterator[dict[str, Any]]:
    waiting, together = list(wide), len(wide)
    for entry in found:
        hunk = next((h for h in waiting if entry.pending and _meet(h, entry.span)), None)
        if hunk is not None:
            waiting.remove(hunk)
        yield _diagnostic(entry, hunk, together, lines)
    goes_with = next((entry for entry in found if entry.pending), found[0])
    for hunk in waiting:
        yield _diagnostic(goes_with, hunk, together, lines)


def _meet(hunk: Hunk, span: Span) -> bool:
    return span.line <= hunk.last and span.end_line >= hunk.first


def _diagnostic(entry: Entry, hunk: Hunk | None, together: int, lines: list[str]) -> dict[str, Any]:
    said = [f"{entry.kind}: {entry.message}", *entry.details]
    place: dict[str, Any] = {"path": plain(entry.path)}
    more: dict[str, Any] = {}
    if hunk is not None:
        place["range"] = {"start": {"line": hunk.first}, "end": {"line": hunk.last}}
        text = hunk.text.removesuffix("\n").removesuffix("\r")
        more["suggestions"] = [{"range": place["range"], "text": text}]
        if together > 1:
            said.append(f"One of {together} suggestions for this file that belong together")
    elif entry.span.line > 0:
        place["range"] = _range(entry.span, lines)
    if entry.code:
        more["code"] = {"value": entry.code}
    return {"message": sentences(said), "location": place, "severity": _SEVERITIES[entry.level], **more}


def _range(span: Span, lines: list[str]) -> dict[str, Any]:
    start = {"line": span.line, "column": _bytes(span.line, span.column, lines)}
    if (span.end_line, span.end_column) <= (span.line, span.column):
        return {"start": start}
    return {"start": start, "end": {"line": span.end_line, "column": _bytes(span.end_line, span.end_column, lines)}}


def _bytes(line: int, column: int, lines: list[str]) -> int:
    """A column, from 0 in characters, as one from 1 in bytes; as it is where the text is not known."""
    text = lines[line - 1] if line <= len(lines) else ""
    return len(text[:column].encode("utf-8", "surrogatepass")) + max(0, column - len(text)) + 1
