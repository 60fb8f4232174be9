"""What a run changes, written down before the first file is touched, so that the run can be taken back as a whole.

Kept in the user's state folder, not in the project: nothing appears there that git, a package or an image could pick
up, and no repository can bring a journal along that tells `undo` what to write where. One file a run: what each file
held, packed, and digests of what it holds before and after. While a run writes, its journal lies in `begun`; a run that
is killed leaves it there, and the next one says so.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import time
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xf2sdpa.files.links import StrPath, project_of
from xf2sdpa.files.reading import read_regular
from xf2sdpa.files.state import undo_folder

_VERSION = 1
_MOST = 20
"""Runs that are kept for one project."""
_OLDEST = 30 * 24 * 3600
"""Seconds after which a journal goes: by then the project has moved on, and has a history of its own."""
_LARGEST = 1 << 30


class JournalError(Exception):
    """No journal can be kept here, and why."""


@dataclass(frozen=True)
class Change:
    """What one file holds before and after a run; None where there is no such file.

    Attributes:
        path: the file; links are followed.
        old: before.
        new: after.
        needed_by: files that would break if this one went while they stay as they are.
    """

    path: StrPath
    old: bytes | None
    new: bytes | None
    needed_by: tuple[StrPath, ...] = ()


@dataclass(frozen=True)
class Kept:
    """A change as the journal has it: the old content, and digests of both; None where there is no such file."""

    path: Path
    old: bytes | None
    old_digest: str | None
    new_digest: str | None
    needed_by: tuple[Path, ...]

    def state(self) -> str:
        """What the file holds now: `old`, `new`, or something `else`."""
        try:
            now: str | None = digest(read_regular(self.path)) if os.path.lexists(self.path) else None
        except OSError:
            return "else"
        if os.path.realpath(self.path) != str(self.path):  # a link has come in its place or above it
            return "else"
        return "old" if now == self.old_digest else "new" if now == self.new_digest else "else"


@dataclass(frozen=True)
class Record:
    """One run: its journal, its project, when it began (seconds since the epoch), and what it changed, in order."""

    file: Path
    root: Path
    began: float
    changes: tuple[Kept, ...]

    @property
    def broken_off(self) -> bool:
        """Whether the run never said that it was done."""
        return self.file.parent.name == "begun"


def digest(data: bytes | None) -> str | None:
    """What a content is known by."""
    return None if data is None else hashlib.sha256(data).hexdigest()


def home() -> Path | None:
    """Where journals lie; None where the user has no such place."""
    place = undo_folder()
    return Path(place) if place else None


def begin(root: StrPath, changes: Sequence[Change]) -> Path | None:
    """Write the journal of a run that is about to make the changes; returns it, for `finish`. None for no changes.

    Raises:
        JournalError: it cannot be kept.
    """
    if not changes:
        return None
    place = home()
    if place is None:
        raise JournalError("there is no home folder")
    project = os.path.realpath(root)
    began = time.time()
    document = {"version": _VERSION, "root": _name(project), "began": began, "changes": [_packed(c) for c in changes]}
    file = place / "begun" / f"{_key(project)}-{time.time_ns()}.journal"
    try:
        for folder in (place / "begun", place / _key(project)):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            _check_own(folder)
        _sweep(place, _key(project))
        _write(file, document)
    except OSError as error:
        raise JournalError(f"{error.filename or place}: {error.strerror or error}") from error
    return file


def finish(file: Path | None) -> None:
    """Say that the run of this journal is done, or that its breaking off has been told."""
    if file is not None:
        key, _, name = file.name.partition("-")
        with contextlib.suppress(OSError):
            file.replace(file.parent.parent / key / name)


def drop(record: Record, rest: Sequence[Kept]) -> None:
    """Forget a run that was taken back, save the changes in `rest`, which were not."""
    if rest:
        again = {"version": _VERSION, "root": _name(str(record.root)), "began": record.began}
        _write(record.file, {**again, "changes": [_repacked(kept) for kept in rest]})
    else:
        record.file.unlink(missing_ok=True)


def runs(root: StrPath) -> list[Record]:
    """The runs of a project that can be taken back, the oldest first; one that cannot be read is none."""
    place, key = home(), _key(os.path.realpath(root))
    if place is None:
        return []
    files = [*place.glob(f"{key}/*.journal"), *place.glob(f"begun/{key}-*.journal")]
    found = (_read(file) for file in files)
    return sorted((record for record in found if record is not None), key=lambda record: record.began)


def broken_off(root: StrPath) -> list[Record]:
    """The runs of a project that were killed while they wrote, and that nobody has told of yet."""
    return [record for record in runs(root) if record.broken_off]


def roots() -> list[Path]:
    """Every project of this user that has a run to take back."""
    place = home()
    files = sorted(place.glob("*/*.journal")) if place else []
    one_each = {file.name if file.parent.name == "begun" else file.parent: file for file in files}
    return sorted({record.root for file in one_each.values() if (record := _read(file)) is not None})


def journal_root(paths: Iterable[StrPath]) -> str:
    """The project under whose name a run over these paths is kept: what holds them all."""
    real = [os.path.realpath(path) for path in paths]
    folders = [path if Path(path).is_dir() else str(Path(path).parent) for path in real]
    try:
        common = os.path.commonpath(folders)
    except ValueError:  # on several drives
        common = folders[0]
    return project_of(Path(common, "x"))


def _key(project: str) -> str:
    return hashlib.sha256(os.fsencode(project)).hexdigest()[:16]


def _check_own(folder: Path) -> None:
    """Refuse a folder that somebody else put there."""
    status = folder.lstat()
    if folder.is_symlink() or (hasattr(os, "getuid") and status.st_uid != os.getuid()):
        raise PermissionError(1, "is not your own", str(folder))


def _sweep(place: Path, key: str) -> None:
    """Delete journals that are old, and those of this project that are too many."""
    mine = sorted(place.glob(f"{key}/*.journal"))
    old = [file for file in place.glob("*/*.journal") if time.time() - file.stat().st_mtime > _OLDEST]
    for file in {*mine[: -_MOST + 1], *old}:
        file.unlink(missing_ok=True)
    for folder in place.iterdir():
        if folder.name not in ("begun", key):
            with contextlib.suppress(OSError):  # there are journals in it
                folder.rmdir()


def _write(file: Path, document: dict[str, Any]) -> None:
    """Write a file whole or not at all; nobody else may read it: it holds code."""
    draft = file.with_suffix(".tmp")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(zlib.compress(json.dumps(document).encode("ascii")))
        stream.flush()
        os.fsync(stream.fileno())
    draft.replace(file)


def _packed(change: Change) -> dict[str, Any]:
    kept = Kept(
        Path(os.path.realpath(change.path)),
        change.old,
        digest(change.old),
        digest(change.new),
        tuple(Path(os.path.realpath(user)) for user in change.needed_by),
    )
    return _repacked(kept)


def _repacked(kept: Kept) -> dict[str, Any]:
    old = None if kept.old is None else kept.old.decode("latin-1")
    users = [_name(str(user)) for user in kept.needed_by]
    return {"path": _name(str(kept.path)), "old": old, "was": kept.old_digest, "is": kept.new_digest, "users": users}


def _name(path: str) -> str:
    """A name of any bytes as text: a character a byte, as contents are kept, too."""
    return os.fsencode(path).decode("latin-1")


def _path(name: str) -> Path:
    return Path(os.fsdecode(name.encode("latin-1")))


def _read(file: Path) -> Record | None:
    try:
        document = json.loads(zlib.decompress(read_regular(file, _LARGEST)))
        if document["version"] != _VERSION:
            return None
        changes = tuple(map(_kept, document["changes"]))
        return Record(file, _path(document["root"]), float(document["began"]), changes)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError, zlib.error):
        return None


def _kept(entry: dict[str, Any]) -> Kept:
    old = None if entry["old"] is None else entry["old"].encode("latin-1")
    users: Iterable[str] = entry["users"]
    return Kept(_path(entry["path"]), old, entry["was"], entry["is"], tuple(map(_path, users)))
