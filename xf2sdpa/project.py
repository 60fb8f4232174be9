"""Many files: find those that matter, rewrite them (in several processes if there are many), write them."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

from xf2sdpa.analysis.handed_on import (
    bindings_of_ours,
    dotted_imports,
    handed_on,
    imports_from,
    names_of_ours,
    taken_from,
)
from xf2sdpa.codes import UNREADABLE
from xf2sdpa.copyin import FILE_NAME, Copy, is_copy, is_untouched, refreshed, with_text
from xf2sdpa.discover import Searcher, list_files
from xf2sdpa.engine import NEEDLE, Options, rewrite_text, rewrite_with
from xf2sdpa.flags.block import MARK as FLAGS_MARK
from xf2sdpa.flags.plan import add_flags
from xf2sdpa.flags.table import named as flags_named
from xf2sdpa.model import FileResult, Finding, FlagsOutcome, SiteClass, Span, TorchVersion
from xf2sdpa.placing import Imports, packages_of, places, scripts_of
from xf2sdpa.requirements import Listed
from xf2sdpa.settings import Settings
from xf2sdpa.shields import hold_back
from xf2sdpa.source import Source, SourceError, decode, read, write
from xf2sdpa.still_bound import still_bound

PARALLEL_FROM = 4
"""Files with a call site from which on a pool of processes pays."""
_SHIPPED_ALONE = re.compile(r"(^|/)examples/community/[^/]+\.py$")
"""Files that diffusers loads one by one, without what lies beside them."""
_SWITCHES = re.compile(r"\.(enable_xformers\w*|(set_)?use_memory_efficient_attention_xformers)\(|XFormers\w*Processor")
"""Of other libraries: what these ask for is the real package."""
_CALLS = re.compile(r"\b(memory_efficient_attention|merge_attentions)")
"""As `NEEDLE`, but not in the names of other libraries' switches."""
_COMMON = frozenset({"import", "from", "as", "xformers", "mslk", "ops", "fmha", "attention"})


@dataclass
class Run:
    """All results of one run, in the order of the paths."""

    results: list[FileResult] = field(default_factory=list)
    copies: list[Copy] = field(default_factory=list)
    """Helper modules that the rewritten files import."""
    flags: FlagsOutcome = field(default_factory=FlagsOutcome)
    """What became of H200 flags in entry points."""
    listed: list[Listed] = field(default_factory=list)
    """Lines of requirement files that list xformers, though nothing needs it any more."""

    @property
    def changed(self) -> list[FileResult]:
        """The files whose text differs."""
        return [result for result in self.results if result.changed]

    @property
    def failed(self) -> bool:
        """Whether some file could not be worked on."""
        return any(result.failed for result in self.results)

    @property
    def torch_floor(self) -> TorchVersion | None:
        """The torch version that the rewritten files need."""
        floors = [site.torch_floor for result in self.results for site in result.sites if site.torch_floor]
        return max(floors, default=None)

    def count(self, kind: SiteClass) -> int:
        """How many sites of a class there are."""
        return sum(site.kind is kind for result in self.results for site in result.sites)


@dataclass(frozen=True)
class Job:
    """One file to rewrite, as it is handed to a process."""

    source: Source
    settings: Settings
    only_exact: bool
    handed_on: frozenset[str]
    compat: str | None = None
    reached: bool = False
    handed_over: Mapping[str, str] = field(default_factory=dict)
    migrating: bool = False
    alone: bool = False


Progress = Callable[[Iterable[FileResult], int], Iterable[FileResult]]


def _unwatched(results: Iterable[FileResult], _: int) -> Iterable[FileResult]:
    return results


@dataclass(frozen=True)
class Wish:
    """How to go about a run.

    Attributes:
        only_exact: leave sites that rest on an assumption.
        helper: whether calls that cannot be written inline may go to a helper module.
        new_files: whether a helper module may be made; without, only one that is there already serves.
        flags: names of the H200 flags that entry points get; None leaves every block of flags as it is.
        flags_in: the files that get them, instead of the entry points found.
        jobs: processes to use.
        progress: wraps the iteration over results, given how many there will be.
    """

    only_exact: bool = False
    helper: bool = True
    new_files: bool = True
    flags: tuple[str, ...] | None = None
    flags_in: tuple[str, ...] = ()
    jobs: int = os.cpu_count() or 1
    progress: Progress = _unwatched


def rewrite_files(files: Sequence[str], settings: Settings, wish: Wish) -> Run:
    """Rewrite the files that need it; writes nothing.

    Args:
        files: every file that may be looked at.
        settings: as configured.
        wish: how to go about it.
    """
    sources, failed = _read_matching(files)
    by_path = {source.path: source for source in sources}
    jobs = {job.source.path: job for job in _jobs(sources, settings, wish)}
    results = {r.path: r for r in wish.progress(_run(list(jobs.values()), wish.jobs), len(jobs))}
    _settle(jobs, results, wish)
    copies: list[Copy] = []
    users = [path for path, result in results.items() if result.compat_names]
    if users:
        planned = _plan_copies(users, by_path, files)
        copies = [copy for copy in planned if wish.new_files or copy.path.exists()]
        modules = {user: copy.modules[user] for copy in copies for user in copy.modules}
        again = [replace(jobs[user], compat=modules.get(user)) for user in users]
        results.update({result.path: result for result in _run(again, wish.jobs)})
    results.update({held.path: held for held in hold_back(results.values())})
    listed = [*failed, *(r for r in results.values() if r.sites or r.findings or r.changed)]
    for result, finding in still_bound(results.values()):
        result.findings.append(finding)
    finished = _finished(copies, results)
    finished += _existing_copies(files, {copy.path.resolve() for copy in finished})
    outcome = FlagsOutcome()
    if wish.flags is not None:
        more, outcome = add_flags(listed, files, _marked(files), flags_named(wish.flags), wish.flags_in)
        listed += more
    return Run(sorted(listed, key=lambda result: result.path), finished, outcome)


def _settle(jobs: dict[Path, Job], results: dict[Path, FileResult], wish: Wish) -> None:
    """Look again at files that hand on less now, as the files that took it from them were rewritten."""
    for _ in range(3):
        texts = [results[path].new for path in jobs]
        taken = handed_on(texts, {_module_stem(path) for path in jobs})
        again = []
        for path, job in jobs.items():
            names = job.handed_on & _taken_from(path, taken)
            if names & names_of_ours(job.source.text) != job.handed_on & names_of_ours(job.source.text):
                jobs[path] = replace(job, handed_on=names)
                again.append(jobs[path])
        if not again:
            return
        results.update({result.path: result for result in _run(again, wish.jobs)})


def _marked(files: Sequence[str]) -> list[str]:
    """The files that hold a block of flags."""
    naming = Searcher(files).matching({b"xf2sdpa"})
    return [str(path) for path in naming if FLAGS_MARK.encode() in path.read_bytes()]


def _read_matching(files: Sequence[str]) -> tuple[list[Source], list[FileResult]]:
    """The sources that name xformers or what such files hand on, and results for those that cannot be read."""
    searcher = Searcher(files)
    sources: list[Source] = []
    failed: list[FileResult] = []
    _read_all(searcher.first(), sources, failed)
    words = set().union(*(names_of_ours(source.text) for source in sources)) - _COMMON
    _read_all(searcher.matching({word.encode() for word in words}), sources, failed)
    failed += [_failure(SourceError(path, 1, 0, UNREADABLE, why)) for path, why in searcher.unreadable]
    return sources, failed


def _read_all(paths: Iterable[Path], sources: list[Source], failed: list[FileResult]) -> None:
    for path in paths:
        try:
            sources.append(read(path))
        except SourceError as error:
            failed.append(_failure(error))


def _failure(error: SourceError) -> FileResult:
    span = Span(error.line, error.column, error.line, error.column)
    finding = Finding(str(error.path), span, error.code, error.message, is_error=True)
    return FileResult(error.path, findings=[finding])


def _module_stem(path: Path) -> str:
    """What a file's module is called last: a package by its folder."""
    return path.parent.name if path.stem == "__init__" else path.stem


def _taken_from(path: Path, taken: Mapping[str, frozenset[str]]) -> frozenset[str]:
    """The names that others take from a file; `from . import name` is one of its package's `__init__.py`."""
    names = taken.get(_module_stem(path), frozenset())
    return names | taken.get("", frozenset()) if path.stem == "__init__" else names


def _jobs(sources: Sequence[Source], settings: Settings, wish: Wish) -> Iterator[Job]:
    taken = handed_on([source.text for source in sources], {_module_stem(source.path) for source in sources})
    reached = _reached(sources)
    handed_over = _handed_over(sources, taken)
    calls = any(_CALLS.search(source.text) for source in sources)
    module = FILE_NAME.removesuffix(".py") if wish.helper else None
    for source in sources:
        if is_copy(source.text):
            continue
        stem = _module_stem(source.path)
        names = _taken_from(source.path, taken)
        alone = _SHIPPED_ALONE.search(source.path.as_posix()) is not None
        flags = stem in reached or (calls and not _SWITCHES.search(source.text))
        yield Job(source, settings, wish.only_exact, names, None if alone else module, flags, handed_over, calls, alone)


def _reached(sources: Sequence[Source]) -> set[str]:
    """Last components of the modules that files with call sites import from, and of what those import from."""
    imports = {source.path.stem: {last for last, _ in imports_from(source.text)} | _plain(source) for source in sources}
    found = set().union(*(imports[s.path.stem] for s in sources if NEEDLE.search(s.text) and not is_copy(s.text)))
    while further := set().union(*(imports[stem] for stem in found if stem in imports)) - found:
        found |= further
    return found


def _handed_over(sources: Sequence[Source], taken: Mapping[str, frozenset[str]]) -> dict[str, str]:
    """What names stand for that one file binds to a part of xformers and another imports from it."""
    found = {}
    for source in sources:
        stem = _module_stem(source.path)
        if taken.get(stem, frozenset()) & names_of_ours(source.text):
            for name, dotted in bindings_of_ours(source.text).items():
                found[f"{stem}.{name}"] = dotted
    return found


def _plain(source: Source) -> set[str]:
    return {dotted.rpartition(".")[2] for dotted in dotted_imports(source.text)}


def _run(work: Sequence[Job], jobs: int) -> Iterator[FileResult]:
    if len(work) < PARALLEL_FROM or jobs == 1:
        yield from map(run_job, work)
        return
    with ProcessPoolExecutor(min(jobs, len(work))) as pool:
        yield from pool.map(run_job, work, chunksize=max(1, len(work) // (jobs * 8)))


def run_job(job: Job) -> FileResult:
    """Rewrite one source; called in a process of the pool."""
    options = Options(
        job.settings,
        job.only_exact,
        job.handed_on,
        job.compat,
        job.handed_over,
        job.reached,
        job.migrating,
        job.alone,
    )
    return rewrite_with(job.source.text, str(job.source.path), options)


# -- the helper module -------------------------------------------------------------------------------


def _plan_copies(users: Sequence[Path], sources: Mapping[Path, Source], files: Sequence[str]) -> list[Copy]:
    """Where the helper goes, for the files that need it."""
    texts = {user: sources[user].text for user in users}
    found = places(users, texts, _imports_of(users, files), FILE_NAME.removesuffix(".py"))
    merged: dict[Path, dict[Path, str]] = {}
    for place in found:
        merged.setdefault(place.folder / FILE_NAME, {}).update(place.modules)
    return [Copy(path, modules) for path, modules in merged.items()]


def _imports_of(users: Sequence[Path], files: Sequence[str]) -> Imports:
    """How the files of the project import the users' modules."""
    absolute: set[str] = set()
    packages: set[Path] = set()
    scripts: set[Path] = set()
    around = (part for user in users for part in (user.stem, *user.resolve().parent.parts[-3:]))
    words = {part.encode() for part in around if part.isidentifier()}
    for path in Searcher(files).matching(words):
        try:
            text = read(path).text
        except SourceError:
            continue
        absolute.update(dotted_imports(text))
        packages.update(packages_of(path, text))
        scripts.update(scripts_of(path, text))
    return Imports(frozenset(absolute), frozenset(packages), frozenset(scripts))


def _finished(copies: Sequence[Copy], results: Mapping[Path, FileResult]) -> list[Copy]:
    """The copies with the text that their users need."""
    return [
        with_text(copy, frozenset().union(*(results[user].compat_names for user in copy.modules))) for copy in copies
    ]


def _existing_copies(files: Sequence[str], planned: Collection[Path]) -> list[Copy]:
    """Copies from earlier runs that are out of date, or that nothing imports any more."""
    paths = [path for file in files if file.endswith(FILE_NAME) and (path := Path(file)).resolve() not in planned]
    if not paths:
        return []
    found = []
    for path in paths:
        old = read(path).text
        if is_copy(old) and is_untouched(old):
            text = refreshed(old) if _has_user(path, files) else ""
            if text != old:
                found.append(Copy(path, {}, old, text))
    return found


def _has_user(copy: Path, files: Sequence[str]) -> bool:
    """Whether some file imports a helper module: one of those given, or, before it is given up, any around it."""
    module = FILE_NAME.removesuffix(".py")
    around = copy.resolve().parent
    while (around / "__init__.py").exists():
        around = around.parent
    for listed in (files, list_files([around])):
        importing = (path for path in Searcher(listed).matching({module.encode()}) if path.name != FILE_NAME)
        if any(taken_from(read(path).text, module) for path in importing):
            return True
    return False


def write_back(run: Run) -> None:
    """Write every changed file; one that cannot be written becomes a failure of its own and stays as it was.

    Helper modules first: a file that imports one must find it.
    """
    for copy in run.copies:
        if copy.text is not None and copy.text != copy.old:
            try:
                if copy.text:
                    write(copy.path, copy.text.encode("utf-8"))
                else:
                    copy.path.unlink()
            except SourceError as error:
                run.results.append(_failure(error))
    for index, result in enumerate(run.results):
        if not result.changed:
            continue
        try:
            source = read(result.path)
            if source.text != result.old:
                raise SourceError(result.path, 1, 0, UNREADABLE, "changed while it was being rewritten")
            write(result.path, source.encode(result.new), expected=source.data)
        except SourceError as error:
            run.results[index] = _failure(error)


def rewrite_bytes(data: bytes, name: str, settings: Settings, *, only_exact: bool = False) -> tuple[FileResult, bytes]:
    """Rewrite what came on standard input: the result, and the bytes to hand back."""
    try:
        source = decode(data, Path(name))
    except SourceError as error:
        return _failure(error), data
    result = rewrite_text(source.text, name, settings, only_exact=only_exact)
    return result, source.encode(result.new)
