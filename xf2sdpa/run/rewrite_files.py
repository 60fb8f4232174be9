"""A run over many files: which pass comes after which. Nothing here writes a file."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from xf2sdpa.codes import LACKING, NOTEBOOK, RUN_CODES
from xf2sdpa.flags.plan import Wanted, add_flags
from xf2sdpa.flags.table import named as flags_named
from xf2sdpa.helper.copies import finished_copies, plan_copies, without_lacking
from xf2sdpa.model import Copy, FileResult, Finding, FindingKind, FlagsOutcome, Run, Span
from xf2sdpa.project.files import Project
from xf2sdpa.project.handed_on import HandedOn, names_of_ours
from xf2sdpa.run.jobs import Job, jobs_of
from xf2sdpa.run.matching import read_matching
from xf2sdpa.run.options import RunOptions
from xf2sdpa.run.pool import run_jobs
from xf2sdpa.settings import Settings
from xf2sdpa.uninstall.held_flags import hold_back
from xf2sdpa.uninstall.notebooks import is_notebook, naming_xformers
from xf2sdpa.uninstall.still_bound import still_bound

_MOST_ROUNDS = 3
"""How often files are looked at again because others take less from them; each round may free further names."""


def rewrite_files(files: Sequence[str], settings: Settings, options: RunOptions) -> Run:
    """Rewrite the files that need it; writes nothing.

    Args:
        files: every file that may be looked at.
        settings: as configured.
        options: how to go about it.
    """
    notebooks = [file for file in files if is_notebook(file)]
    files = [file for file in files if not is_notebook(file)]
    sources, failed = read_matching(files)
    project = Project([*files, *options.flags_in], {str(source.path): source.text for source in sources})
    jobs = {job.source.path: job for job in jobs_of(project, sources, settings, options)}
    results = _decided(jobs.values(), options)
    settle_handed_on(project, jobs, results, options)
    copies = _with_helper(project, jobs, results, options)
    results.update({result.path: result for result in hold_back(results.values(), project)})
    after = project.after(results.values())
    for result, finding in still_bound(results.values(), after):
        result.findings.append(finding)
    run = Run([*failed, *(r for r in results.values() if r.sites or r.findings or r.changed)])
    run.copies = finished_copies(copies, results, after)
    run.flags = _with_flags(run, after, settings, options)
    if not settings.ignores(NOTEBOOK):
        run.results += naming_xformers(notebooks)
    run.results.sort(key=lambda result: result.path)
    return run


def _decided(jobs: Iterable[Job], options: RunOptions) -> dict[Path, FileResult]:
    """The first look at every file, which a person may watch."""
    work = list(jobs)
    with contextlib.closing(run_jobs(work, options.jobs)) as running:
        return {result.path: result for result in options.progress(running, len(work))}


def settle_handed_on(
    project: Project, jobs: dict[Path, Job], results: dict[Path, FileResult], options: RunOptions
) -> None:
    """Look again at files that hand on less now, as the files that took it from them were rewritten."""
    for _ in range(_MOST_ROUNDS):
        after = project.after(results.values())
        taken = HandedOn(after.graph, after.texts).taken_from([str(path) for path in jobs])
        again = []
        for path, job in jobs.items():
            before = job.options.handed_on
            if (before - taken[str(path)]) & names_of_ours(job.source.text):
                jobs[path] = replace(job, options=replace(job.options, handed_on=before & taken[str(path)]))
                again.append(jobs[path])
        if not again:
            return
        results.update({result.path: result for result in run_jobs(again, options.jobs)})


def _with_helper(
    project: Project, jobs: dict[Path, Job], results: dict[Path, FileResult], options: RunOptions
) -> list[Copy]:
    """Give the files that need the helper module its place, and look at them again with the import that this takes."""
    users = [path for path, result in results.items() if result.compat_names]
    if not users:
        return []
    copies = [copy for copy in plan_copies(users, project) if options.new_files or copy.path.exists()]
    needed = {user: results[user].compat_names for user in users}
    fitted = [without_lacking(copy, needed) for copy in copies]
    modules = {user: copy.modules[user] for copy, _ in fitted for user in copy.modules}
    again = [replace(jobs[u], options=replace(jobs[u].options, compat=modules.get(u))) for u in users]
    results.update({result.path: result for result in run_jobs(again, options.jobs)})
    for copy, short in fitted:
        for user, names in short.items():
            results[user].findings.append(_lacking(user, copy, names))
    return [copy for copy, _ in fitted]


def _lacking(user: Path, copy: Copy, names: Collection[str]) -> Finding:
    message = f"{copy.path} was edited, so it stays, and it lacks {', '.join(sorted(names))}, which this file needs"
    return Finding(str(user), Span(1, 0, 1, 0), LACKING, message, RUN_CODES[LACKING].way_out, FindingKind.KEEPS)


def _with_flags(run: Run, after: Project, settings: Settings, options: RunOptions) -> FlagsOutcome:
    """Put H200 flags where they belong, unless every block is to stay as it is."""
    if options.flags is None:
        return FlagsOutcome()
    wanted = Wanted(flags_named(options.flags), options.flags_in, settings.selects)
    more, outcome = add_flags(run.results, after, wanted)
    run.results += more
    return outcome
