"""Many files: find those that matter, rewrite them (in several processes if there are many), write them."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from xf2sdpa.flags.plan import add_flags
from xf2sdpa.flags.table import named as flags_named
from xf2sdpa.helper.copies import finished_copies, plan_copies
from xf2sdpa.model import Copy, FileResult, FlagsOutcome, Run
from xf2sdpa.project.handed_on import handed_on, names_of_ours
from xf2sdpa.run.jobs import Job, jobs_of, module_stem, names_taken_from
from xf2sdpa.run.matching import read_matching, with_flags_block
from xf2sdpa.run.pool import run_jobs
from xf2sdpa.run.wish import Wish
from xf2sdpa.settings import Settings
from xf2sdpa.uninstall.held_flags import hold_back
from xf2sdpa.uninstall.still_bound import still_bound


def rewrite_files(files: Sequence[str], settings: Settings, wish: Wish) -> Run:
    """Rewrite the files that need it; writes nothing.

    Args:
        files: every file that may be looked at.
        settings: as configured.
        wish: how to go about it.
    """
    sources, failed = read_matching(files)
    by_path = {source.path: source for source in sources}
    jobs = {job.source.path: job for job in jobs_of(sources, settings, wish)}
    with contextlib.closing(run_jobs(list(jobs.values()), wish.jobs)) as running:
        results = {result.path: result for result in wish.progress(running, len(jobs))}
    settle_handed_on(jobs, results, wish)
    copies: list[Copy] = []
    users = [path for path, result in results.items() if result.compat_names]
    if users:
        planned = plan_copies(users, by_path, files)
        copies = [copy for copy in planned if wish.new_files or copy.path.exists()]
        modules = {user: copy.modules[user] for copy in copies for user in copy.modules}
        again = [replace(jobs[user], compat=modules.get(user)) for user in users]
        results.update({result.path: result for result in run_jobs(again, wish.jobs)})
    results.update({held.path: held for held in hold_back(results.values())})
    listed = [*failed, *(r for r in results.values() if r.sites or r.findings or r.changed)]
    for result, finding in still_bound(results.values()):
        result.findings.append(finding)
    finished = finished_copies(copies, results, files)
    outcome = FlagsOutcome()
    if wish.flags is not None:
        wanted = flags_named(wish.flags)
        more, outcome = add_flags(
            listed, files, with_flags_block(files), wanted, wish.flags_in, selected=settings.selects
        )
        listed += more
    return Run(sorted(listed, key=lambda result: result.path), finished, outcome)


def settle_handed_on(jobs: dict[Path, Job], results: dict[Path, FileResult], wish: Wish) -> None:
    """Look again at files that hand on less now, as the files that took it from them were rewritten."""
    for _ in range(3):
        texts = [results[path].new for path in jobs]
        taken = handed_on(texts, {module_stem(path) for path in jobs})
        again = []
        for path, job in jobs.items():
            names = job.handed_on & names_taken_from(path, taken)
            if names & names_of_ours(job.source.text) != job.handed_on & names_of_ours(job.source.text):
                jobs[path] = replace(job, handed_on=names)
                again.append(jobs[path])
        if not again:
            return
        results.update({result.path: result for result in run_jobs(again, wish.jobs)})
