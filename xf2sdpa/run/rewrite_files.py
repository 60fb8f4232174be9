"""A run over many files: which pass comes after which. Nothing here writes a file."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from xf2sdpa.analysis.api import is_mask_class
from xf2sdpa.codes import HELPER_CELL, LACKING, RUN_CODES, WAITS
from xf2sdpa.files.notebook import Notebook, is_notebook, read_any
from xf2sdpa.files.source import SourceError
from xf2sdpa.flags.plan import Wanted, add_flags
from xf2sdpa.flags.table import named as flags_named
from xf2sdpa.helper.copies import finished_copies, plan_copies, without_lacking
from xf2sdpa.helper.in_notebook import importable_from, lacking_in
from xf2sdpa.helper.text import FILE_NAME, MODULE_NAME, is_copy, lacking
from xf2sdpa.model import Copy, FileResult, Finding, FindingKind, FlagsOutcome, Run, SiteClass, Span
from xf2sdpa.project.files import Project
from xf2sdpa.project.handed_on import HandedOn, names_of_ours
from xf2sdpa.project.own_masks import why_masks_stay
from xf2sdpa.run.jobs import Job, jobs_of
from xf2sdpa.run.matching import read_matching
from xf2sdpa.run.notebooks import fitted, guarded, set_flags_apart, spelt_out, standing_helper, tell_by_cells
from xf2sdpa.run.options import RunOptions
from xf2sdpa.run.pool import run_jobs
from xf2sdpa.run.selected import leave_untold
from xf2sdpa.settings import Settings
from xf2sdpa.uninstall.held_flags import hold_back
from xf2sdpa.uninstall.notebook_installs import Wishes, settle_installs
from xf2sdpa.uninstall.still_bound import still_bound

_MAKE = "xf2sdpa rewrite ."
_MOST_ROUNDS = 3
"""How often files are looked at again because others take less from them; each round may free further names."""


def rewrite_files(files: Sequence[str], settings: Settings, options: RunOptions) -> Run:
    """Rewrite the files that need it; writes nothing.

    Args:
        files: every file that may be rewritten.
        settings: as configured.
        options: how to go about it.
    """
    own = {Path(file) for file in files}
    sources, failed = read_matching([*files, *options.around])
    around = [source for source in sources if source.path not in own]
    sources = [source for source in sources if source.path in own]
    notebooks = {source.path: source for source in sources if isinstance(source, Notebook)}
    notebooks = {**_named_notebooks(options.flags_in), **notebooks}
    given = [file for file in (*files, *options.flags_in) if not is_notebook(file)]
    known = {str(source.path): source.text for source in (*sources, *around, *notebooks.values())}
    project = Project([*given, *options.around], known)
    jobs = {job.source.path: job for job in jobs_of(project, sources, settings, options, around)}
    results = _decided(jobs.values(), options)
    beside = [str(source.path) for source in around if not is_copy(source.text)]
    _settle_masks(project, beside, jobs, results, options)
    first = dict(jobs)
    settle_handed_on(project, jobs, results, options)
    copies = _with_helper(project, jobs, results, options)
    if _lacks_helper(jobs, options) and _settle_masks(project, beside, jobs, results, options):
        _hand_on_again(first, jobs, results, options)
        copies = _still_needed(copies, results)
    helped = _with_helper_in_cells(notebooks, project, jobs, results, copies=copies, options=options)
    held = hold_back([*results.values(), *(FileResult(s.path, s.text, s.text) for s in around)], project)
    results.update({result.path: result for result in held if result.path in results})
    results.update(
        {path: fitted(r, notebooks[path], path in helped) for path, r in results.items() if path in notebooks}
    )
    after = project.after(results.values())
    for result, finding in still_bound(results.values(), after):
        result.findings.append(finding)
    run = Run(
        [f for f in failed if f.path in own] + [r for r in results.values() if r.sites or r.findings or r.changed]
    )
    run.matched = len(sources) + sum(f.path in own for f in failed)
    run.copies = [c for c in finished_copies(copies, results, after) if c.modules or c.text or c.path in own]
    # Flags go into files that were given, and into no other.
    far = {str(source.path) for source in around}
    near = {path: text for path, text in known.items() if path not in far}
    seen = Project(given, near).after(results.values()) if options.around else after
    run.flags = _with_flags(run, seen, settings, options)
    _finish_notebooks(run, notebooks, after, settings, options)
    leave_untold(run, settings)
    run.results.sort(key=lambda result: result.path)
    return run


def _named_notebooks(files: Collection[str]) -> dict[Path, Notebook]:
    """The notebooks that `--flags-in` names."""
    found: dict[Path, Notebook] = {}
    for path in (Path(file) for file in files if is_notebook(file)):
        with contextlib.suppress(SourceError):  # told of where the flags would go
            source = read_any(path)
            found |= {path: source} if isinstance(source, Notebook) else {}
    return found


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


def _settle_masks(
    project: Project, beside: Sequence[str], jobs: dict[Path, Job], results: dict[Path, FileResult], options: RunOptions
) -> bool:
    """Look again at files whose masks would be the helper's, though xformers' operator may be handed them.

    Whether there were any.
    """
    changed = False
    for _ in range(_MOST_ROUNDS):
        users = [path for path, result in results.items() if any(map(is_mask_class, result.compat_names))]
        moved = [str(path) for path in users if not jobs[path].options.masks_stay]
        files = [*map(str, results), *beside]
        reasons = why_masks_stay(project.after(results.values()), files, moved) if moved else {}
        again = [path for path in users if str(path) in reasons]
        if not again:
            break
        changed = True
        for path in again:
            jobs[path] = replace(jobs[path], options=replace(jobs[path].options, masks_stay=reasons[str(path)]))
        results.update({r.path: r for r in run_jobs([jobs[path] for path in again], options.jobs)})
    return changed


def _lacks_helper(jobs: Mapping[Path, Job], options: RunOptions) -> bool:
    """Whether some file got no helper, or one that lacks what it needs, though it was to have one: its calls stay."""
    return options.helper != "none" and any(job.options.compat is None for job in jobs.values())


def _hand_on_again(
    first: Mapping[Path, Job], jobs: dict[Path, Job], results: dict[Path, FileResult], options: RunOptions
) -> None:
    """Look again at files that hand on less, with all that they handed on at first: other files take it after all."""
    less = [path for path in jobs if jobs[path].options.handed_on != first[path].options.handed_on]
    for path in less:
        handed_on = first[path].options.handed_on
        jobs[path] = replace(jobs[path], options=replace(jobs[path].options, handed_on=handed_on))
    results.update({r.path: r for r in run_jobs([jobs[path] for path in less], options.jobs)})


def _still_needed(copies: Sequence[Copy], results: Mapping[Path, FileResult]) -> list[Copy]:
    """The copies without the users that take nothing from them, after all, and without those that have no user left."""
    used = (
        replace(copy, modules={user: m for user, m in copy.modules.items() if results[user].compat_names})
        for copy in copies
    )
    return [copy for copy in used if copy.modules or copy.missing]


def _with_helper(
    project: Project, jobs: dict[Path, Job], results: dict[Path, FileResult], options: RunOptions
) -> list[Copy]:
    """Give the files that need the helper module its place, and look at them again with the import that this takes."""
    users = [path for path, result in results.items() if result.compat_names and not is_notebook(path)]
    if not users or options.helper == "import":
        return []
    if options.around and not options.new_files and not any(Path(file).name == FILE_NAME for file in project.files):
        copies = []  # there is none in the whole project: no need to work out where it would be
    else:
        copies = plan_copies(users, project)
    copies = [copy for copy in copies if options.new_files or copy.path.exists()]
    needed = {user: results[user].compat_names for user in users}
    asked = {user: results[user] for user in users}
    fitted = [without_lacking(copy, needed) for copy in copies]
    modules = {user: copy.modules[user] for copy, _ in fitted for user in copy.modules}
    for user in users:
        jobs[user] = replace(jobs[user], options=replace(jobs[user].options, compat=modules.get(user)))
    results.update({result.path: result for result in run_jobs([jobs[user] for user in users], options.jobs)})
    for user in users:
        if user not in modules and not options.new_files:
            _tell_of_waiting(results[user], asked[user], names=not jobs[user].options.settings.ignores(WAITS))
    for copy, short in fitted:
        for user, names in short.items():
            results[user].findings.append(_lacking(user, copy.path, names))
    return [copy for copy, _ in fitted]


def _tell_of_waiting(result: FileResult, asked: FileResult, *, names: bool) -> None:
    """Tell that calls of a file wait for the helper module; where it has none that do, that `names` of it do."""
    helped = {site.identity for site in asked.sites if site.kind is SiteClass.COMPAT}
    told = f"; it waits for the helper module, which `{_MAKE}` makes"
    waits = [site.identity in helped and site.kind is SiteClass.LEFT for site in result.sites]
    result.sites = [
        replace(site, message=site.message + told, advice=RUN_CODES[WAITS].way_out) if waiting else site
        for site, waiting in zip(result.sites, waits, strict=True)
    ]
    if names and not any(waits):
        result.findings.append(_names_wait(asked))


def _names_wait(asked: FileResult) -> Finding:
    """Tell of names that would come from the helper module, at the first place that would change."""
    names = sorted(asked.compat_names)
    message = f"{', '.join(names)} {'wait' if len(names) > 1 else 'waits'} for the helper module, which `{_MAKE}` makes"
    edited = (finding.span for finding in asked.findings if finding.kind is FindingKind.DONE)
    span = min(edited, key=lambda span: span.line, default=Span(1, 0, 1, 0))
    return Finding(str(asked.path), span, WAITS, message, RUN_CODES[WAITS].way_out, FindingKind.KEEPS)


def _with_helper_in_cells(
    notebooks: Mapping[Path, Notebook],
    project: Project,
    jobs: dict[Path, Job],
    results: dict[Path, FileResult],
    *,
    copies: list[Copy],
    options: RunOptions,
) -> set[Path]:
    """Give notebooks the helper: an import of a module that they can reach, or a cell; returns those with a cell.

    A module that stands already or that `copies` makes serves where the notebook's kernel would find it; `copies` grows
    by those that do.
    """
    helped: set[Path] = set()
    if options.helper == "import":
        return helped
    places = {Path(file) for file in project.files if Path(file).name == FILE_NAME} | {copy.path for copy in copies}
    for path in sorted(path for path in notebooks if path in results and results[path].compat_names):
        needed = results[path].compat_names
        found = importable_from(path, places, project)
        standing = standing_helper(notebooks[path])
        short = lacking(found[0], needed) if found else lacking_in(standing, needed)
        module = None if short else found[1] if found else MODULE_NAME
        if module and not found:
            may = options.new_files and jobs[path].options.settings.selects(HELPER_CELL)
            module = MODULE_NAME if may or standing is not None else None
            helped |= {path} if module else set()
        elif module and found:
            _join(copies, found[0], path, module)
        job = replace(jobs[path], options=replace(jobs[path].options, compat=module))
        results.update({result.path: result for result in run_jobs([job], 1)})
        if short:
            results[path].findings.append(_lacking(path, found[0] if found else "a cell of it", short))
    return helped


def _join(copies: list[Copy], place: Path, user: Path, module: str) -> None:
    """Make a notebook a user of a copy, planned or standing."""
    planned = next((index for index, copy in enumerate(copies) if copy.path == place), None)
    if planned is None:
        copies.append(Copy(place, {user: module}))
    else:
        copies[planned] = replace(copies[planned], modules={**copies[planned].modules, user: module})


def _finish_notebooks(
    run: Run, notebooks: Mapping[Path, Notebook], after: Project, settings: Settings, options: RunOptions
) -> None:
    """What is the notebooks' alone: cells for flags, install lines, what they still name, and reports by cells."""
    results = {result.path: result for result in run.results}
    keeping = {"--only exact": options.only_exact, "--requirements keep": settings.requirements == "keep"}
    keep = next((f"{option} asks for it" for option, given in keeping.items() if given), "")
    wishes = Wishes(keep, settings.selects)

    def settled(result: FileResult, source: Notebook) -> FileResult:
        set_flags_apart(result)
        settle_installs(result, source, results, after, wishes)
        return spelt_out(result, source)

    run.results = [result for result in run.results if result.path not in notebooks]
    for path, source in notebooks.items():
        result = guarded(settled, results.get(path) or FileResult(path, source.text, source.text), source)
        run.results += [result] if path in results or result.findings or result.changed else []
    tell_by_cells(run, notebooks)


def _lacking(user: Path, place: Path | str, names: Collection[str]) -> Finding:
    message = f"{place} was edited, so it stays, and it lacks {', '.join(sorted(names))}, which this file needs"
    return Finding(str(user), Span(1, 0, 1, 0), LACKING, message, RUN_CODES[LACKING].way_out, FindingKind.KEEPS)


def _with_flags(run: Run, after: Project, settings: Settings, options: RunOptions) -> FlagsOutcome:
    """Put H200 flags where they belong, unless every block is to stay as it is."""
    if options.flags is None:
        return FlagsOutcome()
    wanted = Wanted(flags_named(options.flags), options.flags_by_name, options.flags_in, settings.selects)
    more, outcome = add_flags(run.results, after, wanted)
    run.results += more
    return outcome
