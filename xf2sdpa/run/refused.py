"""What a run must not touch: files whose helper module is none. Each is named, and stays as it was."""

from __future__ import annotations

from xf2sdpa.codes import UNREADABLE
from xf2sdpa.files.source import SourceError
from xf2sdpa.model import Run
from xf2sdpa.run.matching import failed_result


def refuse_broken_helpers(run: Run) -> None:
    """Let the files stay as they were whose helper module's place is taken by what is no module."""
    stuck = {user: copy for copy in run.copies if copy.broken for user in copy.modules}
    for index, result in enumerate(run.results):
        copy = stuck.get(result.path)
        if copy is not None and result.changed:
            why = f"stays as it was: {copy.path}, where its helper module goes, {copy.broken}"
            run.results[index] = failed_result(SourceError(result.path, 1, 0, UNREADABLE, why))
    run.copies = [copy for copy in run.copies if not copy.broken]
