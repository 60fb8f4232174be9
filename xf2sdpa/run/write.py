"""Writing a run's results back: helper modules first, each file whole or not at all; `undo` can take all of it back."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

from xf2sdpa.codes import UNREADABLE, UNWRITABLE
from xf2sdpa.console import say
from xf2sdpa.files.journal import Change, JournalError, begin, finish
from xf2sdpa.files.links import StrPath, leads_out, project_of
from xf2sdpa.files.notebook import read_any
from xf2sdpa.files.plain import plain
from xf2sdpa.files.reading import read_regular
from xf2sdpa.files.source import SourceError, write
from xf2sdpa.model import Copy, FileResult, Run
from xf2sdpa.run.matching import failed_result


def write_back(run: Run, root: StrPath | None = None) -> None:
    """Write every changed file; one that cannot be written becomes a failure of its own and stays as it was.

    Helper modules first: a file that imports one must find it, and stays as it was where its helper cannot be written.
    A new helper goes again if none of its users could be written. What is right only once all else is written comes
    last, and stays as it was where something could not be. Afterwards the run tells only what happened.

    Args:
        run: what to write.
        root: the project under whose name `undo` finds the run; None for a run that is not to be taken back.
    """
    stuck: dict[Path, Path] = {}
    made = _planned_copies(run, stuck)
    changed = _planned_files(run, stuck)
    journal = None if root is None else _begun(root, [*(change for _, change in made), *changed.values()])
    run.kept = journal is not None
    for copy, change in made:
        try:
            _write_copy(change)
        except SourceError as error:
            _copy_failed(run, copy, error, stuck)
    for index, change in sorted(changed.items(), key=lambda item: run.results[item[0]].last):
        result = run.results[index]
        if result.last and run.failed:
            run.results[index] = FileResult(result.path, result.old, result.old)
            continue
        try:
            _check_helper(result.path, stuck)
            write(result.path, change.new or b"", expected=change.old)
        except SourceError as error:
            run.results[index] = failed_result(error)
    failed = {result.path for result in run.results if result.failed}
    run.copies = [kept for copy in run.copies if (kept := _for_the_written(copy, failed)) is not None]
    run.flags.places = [place for place in run.flags.places if Path(place.path) not in failed]
    finish(journal)


def _begun(root: StrPath, changes: list[Change]) -> Path | None:
    """The journal of this run; without one the run goes on, and says so."""
    try:
        return begin(root, changes)
    except JournalError as error:
        say(f"xf2sdpa: note: `xf2sdpa undo` will not know this run: {plain(str(error))}")
        return None


def _planned_copies(run: Run, stuck: dict[Path, Path]) -> list[tuple[Copy, Change]]:
    """What is to be written for helper modules."""
    planned = []
    for copy in [copy for copy in run.copies if copy.text is not None and copy.text != copy.old]:
        try:
            if copy.text and leads_out(copy.path, {project_of(copy.path)}):
                raise SourceError(copy.path, 1, 0, UNWRITABLE, "is a link that leads out of the project")
            new = copy.text.encode("utf-8") if copy.text else None
            planned.append((copy, Change(copy.path, _bytes(copy.path), new, tuple(copy.modules))))
        except SourceError as error:
            _copy_failed(run, copy, error, stuck)
    return planned


def _planned_files(run: Run, stuck: dict[Path, Path]) -> dict[int, Change]:
    """What is to be written for the changed files, by their index among the results."""
    planned = {}
    for index, result in enumerate(run.results):
        if not result.changed:
            continue
        try:
            _check_helper(result.path, stuck)
            source = read_any(result.path)
            if source is None or source.whole != result.old:
                raise SourceError(result.path, 1, 0, UNREADABLE, "changed while it was being rewritten")
            planned[index] = Change(result.path, source.data, source.encode(result.new))
        except SourceError as error:
            run.results[index] = failed_result(error)
    return planned


def _check_helper(path: Path, stuck: dict[Path, Path]) -> None:
    if path in stuck:
        why = f"stays as it was: its helper module {stuck[path]} cannot be written"
        raise SourceError(path, 1, 0, UNWRITABLE, why)


def _copy_failed(run: Run, copy: Copy, error: SourceError, stuck: dict[Path, Path]) -> None:
    run.copies.remove(copy)
    run.results.append(failed_result(error))
    stuck.update(dict.fromkeys(copy.modules, copy.path))


def _bytes(path: Path) -> bytes | None:
    """What a file holds; None where there is none."""
    try:
        return read_regular(path) if os.path.lexists(path) else None
    except OSError as error:
        message = f"cannot be read: {error.strerror or error}"
        raise SourceError(path, 1, 0, UNREADABLE, message) from error


def _write_copy(change: Change) -> None:
    path = Path(change.path)
    if change.new is not None:
        write(path, change.new)
        return
    try:
        path.unlink()
    except OSError as error:
        message = f"cannot be deleted: {error.strerror or error}"
        raise SourceError(path, 1, 0, UNWRITABLE, message) from error


def _for_the_written(copy: Copy, failed: Collection[Path]) -> Copy | None:
    """A copy without the users that could not be written; a new one that has no other user is deleted: None."""
    users = {user: module for user, module in copy.modules.items() if user not in failed}
    if copy.modules and not users and copy.old is None:
        with contextlib.suppress(OSError):
            copy.path.unlink()
        return None
    return replace(copy, modules=users)
