"""The text of each file before the rewrite: the file as it is, the rewrite's JSON report, or git."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from xf2sdpa.copyin import FILE_NAME, is_copy
from xf2sdpa.engine import WIDE_NEEDLE, rewrite_text
from xf2sdpa.model import SiteClass
from xf2sdpa.project import _read_matching
from xf2sdpa.source import Source, SourceError, decode, read

WAYS_OUT = (
    "If the tree is rewritten already, verify needs its old text: name the revision before the rewrite with --rev "
    "(git's HEAD is looked at by itself), or the report that `xf2sdpa rewrite --output-format json` printed with "
    "--before."
)


class OldTextError(Exception):
    """The old text was asked for in a way that cannot be answered; the message says why."""


@dataclass
class OldTexts:
    """The files of a project as they were before the rewrite.

    Attributes:
        sources: the old text of every file that matters.
        rewritten: what is on disk, for the files where that is another text.
        origin: where the old texts of rewritten files came from, for the report; empty if none is rewritten.
    """

    sources: dict[Path, Source] = field(default_factory=dict)
    rewritten: dict[Path, str] = field(default_factory=dict)
    origin: str = ""

    def take(self, source: Source, disk: str) -> None:
        """Use an old text for a file that now holds another."""
        self.sources[source.path] = source
        if source.text != disk:
            self.rewritten[source.path] = disk


def collect(files: Sequence[str], before: Path | None = None, rev: str | None = None) -> OldTexts:
    """The old texts of files.

    Args:
        files: all files of the project, as they are on disk.
        before: a JSON report of the rewrite that holds old texts.
        rev: a revision of git; None: HEAD, where the file on disk has nothing left to rewrite.

    Raises:
        OldTextError: there is no such report or revision, or the report does not belong to these files.
    """
    texts = OldTexts()
    for source in _read_matching(files)[0]:
        texts.sources[source.path] = source
    if before is not None:
        _from_report(texts, files, before)
    elif rev is not None:
        _from_git(texts, files, rev, sure=True)
    else:
        _from_git(texts, files, "HEAD", sure=False)
    return texts


# -- the rewrite's report --------------------------------------------------------------------------


def _from_report(texts: OldTexts, files: Sequence[str], report: Path) -> None:
    rows = _rows(report)
    by_path = {Path(file).resolve(): Path(file) for file in files}
    found = 0
    for row in rows:
        path = by_path.get(Path(row["path"]).resolve()) or by_path.get((report.parent / row["path"]).resolve())
        if path is None or not row.get("changed"):
            continue
        if "old" not in row:
            raise OldTextError(f"{report}: does not hold the old text of {row['path']}; use --rev")
        found += 1
        texts.take(decode(row["old"].encode("utf-8"), path), _on_disk(path))
    if not found:
        raise OldTextError(f"{report}: lists no changed file that is among those given")
    texts.origin = str(report)


def _rows(report: Path) -> list[dict[str, Any]]:
    try:
        rows = json.loads(report.read_text("utf-8"))["files"]
    except OSError as error:
        raise OldTextError(f"{report}: cannot be read: {error.strerror or error}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise OldTextError(f"{report}: is no report of `xf2sdpa rewrite --output-format json`") from error
    return [row for row in rows if isinstance(row, dict)]


def _on_disk(path: Path) -> str:
    try:
        return read(path).text
    except SourceError as error:
        raise OldTextError(str(error)) from error


# -- git -------------------------------------------------------------------------------------------


def _from_git(texts: OldTexts, files: Sequence[str], rev: str, *, sure: bool) -> None:
    """Take a revision's texts for files that differ from it; unless `sure`, only if nothing is left to rewrite."""
    for top, members in _by_work_tree(files):
        changed = _changed(top, rev)
        if changed is None:
            if sure:
                raise OldTextError(f"git knows no revision {rev!r} in {top}")
            continue
        for path in members:
            relative = path.resolve().relative_to(top).as_posix()
            if relative not in changed or path.name == FILE_NAME:
                continue
            old = _shown(top, rev, relative, path)
            if old is None or not WIDE_NEEDLE.search(old.text):
                continue
            disk = _on_disk(path)
            if sure or (not _has_work(disk) and _has_work(old.text)):
                texts.take(old, disk)
                texts.origin = f"git, {rev}"
    if sure and not texts.origin:
        raise OldTextError(f"no file given differs from its text in {rev} with a call of xformers in it")


def _by_work_tree(files: Iterable[str]) -> Iterator[tuple[Path, list[Path]]]:
    """The files of each work tree of git."""
    tops: dict[Path, Path | None] = {}
    members: dict[Path, list[Path]] = {}
    for file in files:
        folder = Path(file).resolve().parent
        if folder not in tops:
            tops[folder] = _top(folder)
        top = tops[folder]
        if top is not None:
            members.setdefault(top, []).append(Path(file))
    yield from members.items()


def _top(folder: Path) -> Path | None:
    """The nearest folder, at or above, that git works in."""
    return next((place for place in (folder, *folder.parents) if (place / ".git").exists()), None)


def _changed(top: Path, rev: str) -> set[str] | None:
    output = _git(top, "diff", "--name-only", "--no-renames", "--no-ext-diff", "-z", rev, "--")
    return None if output is None else set(output.decode("utf-8", "surrogateescape").split("\0"))


def _shown(top: Path, rev: str, relative: str, path: Path) -> Source | None:
    output = _git(top, "show", f"{rev}:{relative}")
    try:
        return None if output is None else decode(output, path)
    except SourceError:
        return None


def _git(top: Path, *arguments: str) -> bytes | None:
    """What git prints, or None if it fails or is not there."""
    try:
        done = subprocess.run(["git", "-C", str(top), *arguments], capture_output=True, check=False)
    except OSError:
        return None
    return done.stdout if done.returncode == 0 else None


def _has_work(text: str) -> bool:
    """Whether the rewrite would do something about a call in a text."""
    if is_copy(text):
        return False
    result = rewrite_text(text, compat=FILE_NAME.removesuffix(".py"))
    return any(site.kind is not SiteClass.LEFT for site in result.sites)
