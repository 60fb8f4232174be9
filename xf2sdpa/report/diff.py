"""The report as a unified diff, for `git apply` and `patch`: all that a run changes."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterator

from xf2sdpa.files.plain import plain
from xf2sdpa.model import Pin, Run
from xf2sdpa.report.changes import split_lines


def render(run: Run, _: Pin | None, *, written: bool) -> str:  # noqa: ARG001 - the signature of all formats
    """The diff from the files as they were to what they are, or would be, after the run."""
    return "".join(lines(run))


def lines(run: Run, *, by_cells: bool = False, shown: bool = False) -> Iterator[str]:
    """The unified diff of all that a run changes, helper modules that it makes or deletes included.

    Args:
        run: what happened.
        by_cells: whether notebooks are shown cell by cell, for people to read, not as the JSON that tools patch.
        shown: whether a person sees it on a terminal: a helper is then one line with its path. It stands behind the
            user's code in any case.
    """
    copies = [copy for copy in run.copies if copy.text is not None and copy.text != copy.old]
    for result in run.changed:
        if by_cells and result.cells:
            for cell in result.cells:
                name = f"cell {cell.cell}" if cell.old is not None else f"new cell above cell {cell.cell}"
                yield from _unified(f"{result.path}:{name}", cell.old, cell.new)
        else:
            yield from _unified(str(result.path), result.old, result.new)
    for copy in copies:
        if not shown:
            yield from _unified(str(copy.path), copy.old, copy.text or None)
            continue
        name = plain(str(copy.path))
        deleted = f"--- {name}: helper module, deleted"
        made = f"+++ {name}: helper module, {len(split_lines(copy.text or ''))} lines (whole in a pipe: --diff | cat)"
        yield f"{made if copy.text else deleted}\n"


def _unified(name: str, old: str | None, new: str | None) -> Iterator[str]:
    """The diff of one file; None where there is no such file."""
    before, after = (
        "/dev/null" if text is None else _quoted(f"{side}/{name.lstrip('/')}")
        for side, text in (("a", old), ("b", new))
    )
    was, will_be = (split_lines(text or "") for text in (old, new))
    for line in difflib.unified_diff(was, will_be, before, after):
        if line.endswith("\n"):
            yield line
        else:
            yield f"{line}\n\\ No newline at end of file\n"


def _quoted(name: str) -> str:
    """A name in the heading of a diff, quoted as git does where it would not be read as it is."""
    if plain(name) == name:
        return name
    quoted = (chr(b) if 32 <= b < 127 and b not in b'"#\\' else f"\\{b:03o}" for b in os.fsencode(name))
    return f'"{"".join(quoted)}"'
