"""A run as Markdown, for a pull request or the documentation."""

from __future__ import annotations

from collections.abc import Iterator

from xf2sdpa.bench.model import Result
from xf2sdpa.bench.report import tables
from xf2sdpa.bench.report.tables import Table


def render(result: Result) -> str:
    """The whole report."""
    parts = ["# The performance guide, measured", "", *(f"{line}  " for line in tables.headline(result))]
    for table in tables.all_tables(result):
        parts += ["", f"## {table.title}", "", *table_lines(table)]
    return "\n".join(parts).rstrip() + "\n"


def table_lines(table: Table) -> Iterator[str]:
    """A table and its notes."""
    yield _row(table.head)
    yield "|" + "|".join("--:" if column in table.numbers else "---" for column in range(len(table.head))) + "|"
    for row in table.rows:
        yield _row(row)
    if table.notes:
        yield ""
        yield from (f"* {escaped(note)}" for note in table.notes)


def _row(cells: tuple[str, ...]) -> str:
    return "| " + " | ".join(map(escaped, cells)) + " |"


def escaped(text: str) -> str:
    """Text with the characters escaped that Markdown would interpret."""
    for sign in "\\|<_*":
        text = text.replace(sign, f"\\{sign}")
    return text.replace("\n", " ")
