"""Finds the text of each file before the rewrite: on disk, in git, in the journal of `undo`, in a JSON report."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from xf2sdpa.files.git import blobs, changed_files, commit_of, git_complaint, work_tree
from xf2sdpa.files.journal import digest, journal_root, runs
from xf2sdpa.files.search import FIRST_NEEDLES, Searcher
from xf2sdpa.files.source import Source, SourceError, decode, read
from xf2sdpa.flags.block import without
from xf2sdpa.helper.text import FILE_NAME
from xf2sdpa.model import FileResult, SiteClass
from xf2sdpa.project.files import Project
from xf2sdpa.project.handed_on import names_of_ours
from xf2sdpa.rewrite.engine import WIDE_NEEDLE
from xf2sdpa.run.jobs import jobs_of
from xf2sdpa.run.matching import COMMON_WORDS, read_matching
from xf2sdpa.run.options import RunOptions
from xf2sdpa.run.pool import run_jobs
from xf2sdpa.run.rewrite_files import settle_handed_on
from xf2sdpa.settings import Settings

WAYS_OUT = (
    "If the tree is rewritten already, verify needs its old text: name the revision before the rewrite with --rev "
    "(git's HEAD, and what `xf2sdpa undo` keeps, are looked at by themselves), or the report that `xf2sdpa rewrite "
    "--output-format json` printed with --before."
)
NO_REVISION = (
    "`git log --oneline` lists the revisions there are; --before takes the report that "
    "`xf2sdpa rewrite --output-format json` printed instead."
)
NO_GIT = (
    "Without git, the old text is in the report that `xf2sdpa rewrite --output-format json` printed: name it with "
    "--before. A tree that is not rewritten yet needs neither."
)


class OldTextError(Exception):
    """The old text cannot be found as the options ask; the message says why, `advice` what to do instead."""

    def __init__(self, message: str, advice: str = "") -> None:
        super().__init__(message)
        self.advice = advice


@dataclass
class OldTexts:
    """The files of a project as they were before the rewrite.

    Attributes:
        sources: the old text of every file that concerns xformers.
        rewritten: the text on disk, for files where it differs from the old text.
        origin: where the old texts of rewritten files came from, for the report; empty if no file is rewritten.
        files: all files of the project.
    """

    sources: dict[Path, Source] = field(default_factory=dict)
    rewritten: dict[Path, str] = field(default_factory=dict)
    origin: str = ""
    files: Sequence[str] = ()

    @property
    def project(self) -> Project:
        """The project before the rewrite."""
        return _project(self.files, self.sources)

    def take(self, source: Source, disk: str) -> None:
        """Record a file's old text, and the text on disk if it differs."""
        self.sources[source.path] = source
        if source.text != disk:
            self.rewritten[source.path] = disk


def collect(
    files: Sequence[str], before: Path | None = None, rev: str | None = None, settings: Settings | None = None
) -> OldTexts:
    """The old texts of files.

    Args:
        files: all files of the project, as they are on disk.
        before: a JSON report of the rewrite that contains old texts.
        rev: a git revision; None: HEAD, else what `undo` keeps, for files on disk that have nothing left to rewrite.
        settings: as configured; None: the defaults.

    Raises:
        OldTextError: there is no such report or revision, or it is not of these files.
    """
    if before is not None:
        old, origin = _from_report(files, before), str(before)
    elif rev is not None:
        old, origin = _from_revision(files, rev), f"git, {rev}"
    else:
        old, origin = _from_head(files, settings or Settings()), "git, HEAD"
        if not old:
            old, origin = _from_journal(files, settings or Settings()), "what `xf2sdpa undo` keeps"
    texts = OldTexts(_matching(files, old), files=files)
    for path, source in old.items():
        texts.take(source, _on_disk(path))
    texts.origin = origin if old else ""
    return texts


def _matching(files: Sequence[str], old: Mapping[Path, Source]) -> dict[Path, Source]:
    """The sources that the rewrite would look at if the files in `old` had those texts."""
    if not old:
        return {source.path: source for source in read_matching(files)[0]}
    rest = [file for file in files if Path(file) not in old]
    found = {source.path: source for source in read_matching(rest)[0]}
    found |= {path: source for path, source in old.items() if _names_ours(source)}
    words = set().union(*(names_of_ours(source.text) for source in found.values())) - COMMON_WORDS
    found |= {path: s for path, s in old.items() if not words.isdisjoint(re.findall(r"\w+", s.text))}
    further = Searcher(file for file in rest if Path(file) not in found)
    for path in further.matching({word.encode() for word in words}):
        with contextlib.suppress(SourceError):  # the rewrite reports it
            found[path] = read(path)
    return found


def _names_ours(source: Source) -> bool:
    return any(needle.decode() in source.text.lower() for needle in FIRST_NEEDLES)


# -- the rewrite's report --------------------------------------------------------------------------


def _from_report(files: Sequence[str], report: Path) -> dict[Path, Source]:
    rows = _rows(report)
    by_path = {Path(file).resolve(): Path(file) for file in files}
    found = {}
    for row in rows:
        path = by_path.get(Path(row["path"]).resolve()) or by_path.get((report.parent / row["path"]).resolve())
        if path is None or not row.get("changed"):
            continue
        if "old" not in row:
            raise OldTextError(f"{report}: does not hold the old text of {row['path']}; use --rev")
        found[path] = decode(row["old"].encode("utf-8"), path)
    if not found:
        raise OldTextError(f"{report}: lists no changed file that is among those given")
    return found


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


def _from_revision(files: Sequence[str], rev: str) -> dict[Path, Source]:
    """The old texts from the revision that the user named, of files that differ from it and concern xformers."""
    trees = dict(_by_work_tree(files))
    if not trees:
        raise OldTextError(f"--rev {rev}: these files are in no git repository", NO_GIT)
    for top in trees:
        why = _why_not(top, rev)
        if why:
            raise OldTextError(why, NO_REVISION)
    changed = _changed_since(trees, rev)
    matching = _matching(files, changed)
    if not any(path in matching and WIDE_NEEDLE.search(source.text) for path, source in changed.items()):
        raise OldTextError(f"no file given differs from its text in {rev} with a call of xformers in it", WAYS_OUT)
    return {path: old for path, old in changed.items() if path in matching or _got_flags(old, _on_disk(path))}


def _from_head(files: Sequence[str], settings: Settings) -> dict[Path, Source]:
    """HEAD's texts of the files that the rewrite changed, if it changed a call; not of files changed by hand."""
    return _rewritten_since(_changed_since(dict(_by_work_tree(files)), "HEAD"), files, settings)


def _from_journal(files: Sequence[str], settings: Settings) -> dict[Path, Source]:
    """The same, from the runs that `undo` can take back: without git, or after a commit."""
    if not files:
        return {}
    by_path = {Path(file).resolve(): Path(file) for file in files if Path(file).name != FILE_NAME}
    found: dict[Path, bytes] = {}
    for kept in (kept for record in reversed(runs(journal_root(files))) for kept in record.changes):
        path = by_path.get(kept.path)
        # Of several runs over a file the first counts, if each began with what the one before it had left.
        follows = digest(found[path]) == kept.new_digest if path in found else kept.state() != "old"
        if path is not None and kept.old is not None and follows:
            found[path] = kept.old
    texts = {}
    for path, old in found.items():
        with contextlib.suppress(SourceError):
            texts[path] = decode(old, path)
    return _rewritten_since(texts, files, settings)


def _rewritten_since(changed: Mapping[Path, Source], files: Sequence[str], settings: Settings) -> dict[Path, Source]:
    """Of texts that files had, those of files that the rewrite changed, if it changed a call."""
    if not any(WIDE_NEEDLE.search(source.text) for source in changed.values()):
        return {}
    before, now = (_outcome(files, _matching(files, old), settings) for old in (changed, {}))
    done = {path for path in changed if _has_work(before.get(path)) and not _has_work(now.get(path))}
    if not any(_has_calls(before[path]) for path in done):
        return {}
    return {path: old for path, old in changed.items() if path in done or _got_flags(old, _on_disk(path))}


def _outcome(files: Sequence[str], sources: Mapping[Path, Source], settings: Settings) -> dict[Path, FileResult]:
    """The result for each file of rewriting the whole tree."""
    project = _project(files, sources)
    options = RunOptions(returning=False)  # a call that an earlier run gave to the helper is done
    jobs = {job.source.path: job for job in jobs_of(project, list(sources.values()), settings, options)}
    results = {result.path: result for result in run_jobs(list(jobs.values()), options.jobs)}
    settle_handed_on(project, jobs, results, options)
    return results


def _project(files: Sequence[str], sources: Mapping[Path, Source]) -> Project:
    """The project with the old texts of these sources, and the other files as they are on disk."""
    return Project(files, {str(path): source.text for path, source in sources.items()})


def _has_work(result: FileResult | None) -> bool:
    """Whether the rewrite changes a file or a call in it."""
    return result is not None and (result.changed or _has_calls(result))


def _has_calls(result: FileResult) -> bool:
    return any(site.kind is not SiteClass.LEFT for site in result.sites)


def _got_flags(old: Source, disk: str) -> bool:
    """Whether the texts differ at most in xf2sdpa's block of flags."""
    return without(disk) == without(old.text)


def _changed_since(trees: Mapping[Path, Sequence[Path]], rev: str) -> dict[Path, Source]:
    """A revision's texts of the files that differ from it, without the helper module, which the old tree lacks."""
    found = {}
    for top, members in trees.items():
        paths = {path.resolve().relative_to(top).as_posix(): path for path in members if path.name != FILE_NAME}
        changed = changed_files(str(top), commit_of(str(top), rev), paths)
        for name, old in zip(changed, blobs(str(top), changed.values()), strict=True):
            with contextlib.suppress(SourceError):
                if old is not None:
                    found[paths[name]] = decode(old, paths[name])
    return found


def _why_not(top: Path, rev: str) -> str:
    """Why git has no such revision; empty if it has."""
    if commit_of(str(top), rev):
        return ""
    try:
        told = git_complaint(str(top), "rev-parse", "--verify", "--quiet", "HEAD")
    except OSError as error:
        return f"--rev {rev}: git cannot be run: {error.strerror or error}"
    return f"--rev {rev}: git says in {top}: {told}" if told else f"git knows no revision {rev!r} in {top}"


def _by_work_tree(files: Iterable[str]) -> Iterator[tuple[Path, list[Path]]]:
    """The files of each work tree of git."""
    tops: dict[Path, str | None] = {}
    members: dict[Path, list[Path]] = {}
    for file in files:
        folder = Path(file).resolve().parent
        if folder not in tops:
            tops[folder] = work_tree(str(folder))
        top = tops[folder]
        if top is not None:
            members.setdefault(Path(top), []).append(Path(file))
    yield from members.items()
