"""Writing a run's results back: helper modules first, each file whole or not at all."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

from xf2sdpa.codes import UNREADABLE, UNWRITABLE
from xf2sdpa.files.links import leads_out, project_of
from xf2sdpa.files.source import SourceError, read, write
from xf2sdpa.model import Copy, Run
from xf2sdpa.run.matching import failed_result


def write_back(run: Run) -> None:
    """Write every changed file; one that cannot be written becomes a failure of its own and stays as it was.

    Helper modules first: a file that imports one must find it, and stays as it was where its helper cannot be written.
    A new helper goes again if none of its users could be written. Afterwards the run tells only what happened.
    """
    stuck: dict[Path, Path] = {}
    for copy in [copy for copy in run.copies if copy.text is not None and copy.text != copy.old]:
        try:
            _write_copy(copy)
        except SourceError as error:
            run.copies.remove(copy)
            run.results.append(failed_result(error))
            stuck.update(dict.fromkeys(copy.modules, copy.path))
    for index, result in enumerate(run.results):
        if not result.changed:
            continue
        try:
            if result.path in stuck:
                why = f"stays as it was: its helper module {stuck[result.path]} cannot be written"
                raise SourceError(result.path, 1, 0, UNWRITABLE, why)
            source = read(result.path)
            if source.text != result.old:
                raise SourceError(result.path, 1, 0, UNREADABLE, "changed while it was being rewritten")
            write(result.path, source.encode(result.new), expected=source.data)
        except SourceError as error:
            run.results[index] = failed_result(error)
    failed = {result.path for result in run.results if result.failed}
    run.copies = [kept for copy in run.copies if (kept := _for_the_written(copy, failed)) is not None]
    run.flags.places = [place for place in run.flags.places if Path(place.path) not in failed]


def _write_copy(copy: Copy) -> None:
    if copy.text:
        if leads_out(copy.path, {project_of(copy.path)}):
            raise SourceError(copy.path, 1, 0, UNWRITABLE, "is a link that leads out of the project")
        write(copy.path, copy.text.encode("utf-8"))
        return
    try:
        copy.path.unlink()
    except OSError as error:
        message = f"cannot be deleted: {error.strerror or error}"
        raise SourceError(copy.path, 1, 0, UNWRITABLE, message) from error


def _for_the_written(copy: Copy, failed: Collection[Path]) -> Copy | None:
    """A copy without the users that could not be written; None for a new one that has no other: it goes again."""
    users = {user: module for user, module in copy.modules.items() if user not in failed}
    if copy.modules and not users and copy.old is None:
        copy.path.unlink(missing_ok=True)
        return None
    return replace(copy, modules=users)
