"""The report as workflow commands: annotations at the lines of a pull request.

A step shows ten annotations of each type and drops the rest without a word, so the rest is told in the log. Columns
are taken only where a stretch lies in one line. (GitHub's documentation of workflow commands, and of check runs.)
"""

from __future__ import annotations

from collections.abc import Iterator

from xf2sdpa.files.plain import plain
from xf2sdpa.model import Pin, Run
from xf2sdpa.report.entries import Entry, Level, problems
from xf2sdpa.report.places import from_root

MOST = 10
"""Annotations of one type that a step may make."""
_TYPES = {Level.ERROR: "error", Level.WARNING: "warning", Level.NOTE: "notice"}


def render(run: Run, _: Pin | None, *, written: bool) -> str:
    """Workflow commands, a line each; what is beyond the limit as plain lines of the log."""
    told = problems(run, written=written)
    return "".join(f"{line}\n" for level in Level for line in _lines([e for e in told if e.level is level]))


def _lines(told: list[Entry]) -> Iterator[str]:
    shown = told if len(told) <= MOST else told[: MOST - 1]
    yield from map(_command, shown)
    rest = told[len(shown) :]
    if rest:
        yield f"::{_TYPES[rest[0].level]} title=xf2sdpa::{len(rest)} more like these stand in the log of this step"
    for entry in rest:
        yield plain(f"{entry.path}:{entry.span.line}:{entry.span.column + 1}: {entry.code} {_said(entry)}")


def _command(entry: Entry) -> str:
    span = entry.span
    place = {"title": f"xf2sdpa ({entry.code})" if entry.code else "xf2sdpa", "file": plain(from_root(entry.path))}
    place["line"] = str(span.line)
    if span.line == span.end_line and span.end_column > span.column:
        place |= {"col": str(span.column + 1), "endLine": str(span.end_line), "endColumn": str(span.end_column + 1)}
    elif span.end_line > span.line:
        place["endLine"] = str(span.end_line)
    given = ",".join(f"{key}={_property(value)}" for key, value in place.items())
    lines = [f"{plain(entry.path)}:{span.line}:{span.column + 1}: {entry.code} {_said(entry)}", *entry.details]
    return f"::{_TYPES[entry.level]} {given}::{_data(chr(10).join(lines))}"


def _said(entry: Entry) -> str:
    return f"{entry.kind}: {entry.message}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
