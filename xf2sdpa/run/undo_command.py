"""The command `xf2sdpa undo`: one run taken back, file by file; and what a run that was killed has left."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

import click

from xf2sdpa.console import expect, give_up, say
from xf2sdpa.files.errors import DiscoverError
from xf2sdpa.files.journal import Kept, Record, broken_off, drop, finish, roots, runs
from xf2sdpa.files.links import StrPath, project_of
from xf2sdpa.files.listing import list_files
from xf2sdpa.files.plain import plain
from xf2sdpa.files.reading import read_regular
from xf2sdpa.files.search import Searcher
from xf2sdpa.files.source import SourceError, write
from xf2sdpa.folding import show
from xf2sdpa.run.lock import one_run_at_a_time


@click.command("undo", short_help="Take back the last run of rewrite.")
@click.argument("path", default=".", type=click.Path(path_type=str))
@click.option("--dry-run", is_flag=True, help="Write nothing; say what would be taken back.")
@click.option("--forget", is_flag=True, help="Forget the last run instead; the next `undo` is for the one before.")
@click.option("--list", "listing", is_flag=True, help="List the runs that can be taken back, those in PATH first.")
@click.option("--quiet", "-q", is_flag=True, help="Print errors only.")
def command(path: str, *, dry_run: bool, forget: bool, listing: bool, quiet: bool) -> None:
    """Take back the last run of `xf2sdpa rewrite` in the project of PATH; once more, the one before.

    A file that has changed since the run stays as it is, and is named; so does a helper module that such a file, or
    another one, imports.

    Exit status: 0 when the run is taken back; 1 if a file stays; 2 if there is nothing to take back.
    """
    expect([path])
    if listing:
        _list(Path(os.path.realpath(path)))
        return
    root = _project(path)
    with one_run_at_a_time(Path(root, "x")):
        known = runs(root)
        if not known:
            give_up(f"no run to take back in {root}", _elsewhere())
        record = known[-1]
        if forget:
            drop(record, [])
            show([f"Forgotten: {_about(record)}."])
            return
        if not quiet:
            show([f"{'Would take back' if dry_run else 'Taking back'} {_about(record)}:"])
        stay = _taken_back(record, dry_run=dry_run, quiet=quiet)
        if not dry_run:
            drop(record, stay)
    if stay and not dry_run:
        say("xf2sdpa: what stays is kept for another `xf2sdpa undo`; `--forget` drops it")
    sys.exit(1 if stay else 0)


def tell_of_broken_off(root: StrPath) -> None:
    """Say what a run that was killed has left behind, once."""
    for record in broken_off(root):
        states = [kept.state() for kept in record.changes]
        done, count = states.count("new"), len(states)
        say(
            f"xf2sdpa: {_about(record)} was broken off: {done} of {count} files were written, {states.count('old')} "
            f"are as before, {states.count('else')} have changed since; none is half written. "
            "`xf2sdpa undo` takes it back."
        )
        finish(record.file)


def _project(path: str) -> str:
    """The project that has a run to take back: that of the path, else a folder above it, else the only one below."""
    folder = Path(os.path.realpath(path))
    folder = folder if folder.is_dir() else folder.parent
    for place in (Path(project_of(folder / "x")), folder, *folder.parents):
        if runs(place):
            return str(place)
    below = [root for root in roots() if folder in root.parents]
    if len(below) > 1:
        names = ", ".join(str(root) for root in below[:5])
        give_up(f"several projects below {folder} have a run to take back", f"Name one: {names}")
    return str(below[0]) if below else project_of(folder / "x")


def _elsewhere() -> str:
    """What to say where there is no run to take back: other people's projects are not named unasked."""
    count = len(roots())
    if not count:
        return "Runs of hooks and checks are not kept."
    there = "There is one to take back in another folder" if count == 1 else f"There are some in {count} other folders"
    return f"{there}; `xf2sdpa undo --list` names {'it' if count == 1 else 'them'}."


def _list(folder: Path) -> None:
    """Name the runs that can be taken back, the newest first: those in a folder, then all others."""
    known = [record for root in roots() for record in runs(root)]
    known.sort(key=lambda record: (folder not in (record.root, *record.root.parents), -record.began))
    for record in known:
        count = len(record.changes)
        show([f"{_about(record)}: {count} file{'' if count == 1 else 's'}"])
    if not known:
        show(["no run to take back; those of hooks and checks are not kept"])


def _about(record: Record) -> str:
    when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(record.began))
    return plain(f"the run of {when} in {record.root}")


def _taken_back(record: Record, *, dry_run: bool, quiet: bool) -> list[Kept]:
    """Take the changes back, and say so; returns those that stay."""
    stay: list[Kept] = []
    is_left = False
    for kept in _in_order(record.changes):
        state = kept.state()  # asked right before the file is written
        if state == "old":
            continue
        is_left = True
        name = plain(_shown(kept.path))
        why = "has changed since" if state == "else" else _needed(kept, record, stay, dry_run=dry_run)
        if not why and not dry_run:
            why = _restored(kept)
        if why:
            stay.append(kept)
            say(f"{name}: {why}, and stays as it is")
        elif not quiet:
            show([f"{name}: {'as it was' if kept.old is not None else 'deleted, as the run had made it'}"])
    if not (is_left or quiet):
        show(["nothing to do: every file is as it was before"])
    return stay


def _in_order(changes: Sequence[Kept]) -> list[Kept]:
    """Restored files first, deleted ones last: a helper module must be there as long as a file imports it."""
    return sorted(changes, key=lambda kept: (kept.old is None) - (kept.new_digest is None))


def _needed(kept: Kept, record: Record, stay: Collection[Kept], *, dry_run: bool) -> str:
    """Who needs a file that is to go; empty if nobody does."""
    if kept.old is not None or not kept.needed_by:
        return ""
    users = sorted({other.path for other in stay} & set(kept.needed_by))
    going = {other.path for other in record.changes} if dry_run else {kept.path}
    users += [path for path in _naming(kept.path, record.root) if path not in going and path not in users]
    return f"is needed by {plain(_shown(users[0]))}" if users else ""


def _naming(module: Path, root: Path) -> Iterator[Path]:
    """The files of a project that name a module."""
    try:
        files = list_files([root])
    except DiscoverError:
        return
    yield from (Path(os.path.realpath(path)) for path in Searcher(files).matching({module.stem.encode()}))


def _restored(kept: Kept) -> str:
    """Give a file its old content, or delete it; returns why not."""
    try:
        if kept.old is None:
            kept.path.unlink()
        elif kept.new_digest is None:
            write(kept.path, kept.old)
        else:
            write(kept.path, kept.old, expected=read_regular(kept.path))
    except SourceError as error:
        return error.message
    except OSError as error:
        return f"cannot be deleted: {error.strerror or error}"
    return ""


def _shown(path: Path) -> str:
    """A path as seen from here, if it is here."""
    here = Path(os.path.realpath("."))
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)
