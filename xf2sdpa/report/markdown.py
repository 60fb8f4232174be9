"""The report as Markdown, for a job's summary or a pull request: totals, tables, what is left; limited in length."""

from __future__ import annotations

from collections.abc import Iterator

from xf2sdpa.model import FileResult, Finding, FindingKind, Pin, Run, Site, SiteClass, Span
from xf2sdpa.report import markup
from xf2sdpa.report.entries import outcome
from xf2sdpa.rewrite.pages import all_codes

LIMIT = 60_000
"""GitHub accepts 65,536 characters; this leaves room for other text around the report."""

Pieces = Iterator[tuple[str, str]]


def render(run: Run, pin: Pin | None, *, written: bool, limit: int = LIMIT) -> str:
    """The report, at most `limit` characters long; it says what is left out."""
    head = _head(run, pin, written=written)
    room = limit - 400 - len(head)
    parts = [head]
    # What a person must do stands before what was done.
    for section, share in (
        (_table("Could not be worked on", _errors(run)), 0.2),
        (_table("Left to a person", _sites(run, left=True)), 0.4),
        (_table("Still needs xformers", _needing(run)), 0.3),
        (_table("Rewritten" if written else "Would be rewritten", _sites(run, left=False)), 0.7),
        (_table("Lines of requirement files to drop", _listed(run)), 0.5),
        (_codes(run), 1.0),
    ):
        taken = markup.fitting(section, int(room * share), elsewhere="The JSON report holds all.")
        parts += taken
        room -= sum(map(len, taken))
    return markup.cut("".join(parts), limit)


def _head(run: Run, pin: Pin | None, *, written: bool) -> str:
    counts = {kind: run.count(kind) for kind in SiteClass}
    total = sum(counts.values())
    said = [f"{count} {kind.value}" for kind, count in counts.items() if count or kind is SiteClass.LEFT]
    sentence = f"{_count(total, 'call site')}: {', '.join(said)}." if total else "No call of xformers' attention."
    lines = [f"### xf2sdpa\n\n{sentence}"]
    if run.scanned is not None:
        lines.append(f"{_count(run.scanned, 'file')} looked at.")
    changed = sum(not result.last for result in run.changed)  # requirement files have a table of their own
    if changed:
        lines.append(f"{_count(changed, 'file')} {'rewritten' if written else 'would be rewritten'}.")
    if run.torch_floor:
        needs = f"Needs torch >= {run.torch_floor[0]}.{run.torch_floor[1]}"
        low = pin is not None and pin[0] < run.torch_floor
        lines.append(f"{needs}, but the project admits less ({markup.text(pin[1])})." if low and pin else f"{needs}.")
    made = [markup.code(copy.path.as_posix()) for copy in run.copies if copy.old is None]
    lines += [f"{'New' if written else 'Would make'} {', '.join(made)}."] if made else []
    return " ".join(lines) + "\n"


def _table(title: str, rows: Iterator[tuple[str, ...]]) -> Pieces:
    for number, (kind, *cells) in enumerate(rows):
        if number == 0:
            yield "heading", f"\n#### {title}\n\n| {' | '.join(_COLUMNS[kind])} |\n|{'---|' * len(cells)}\n"
        yield kind, f"| {' | '.join(cells)} |\n"


_COLUMNS = {
    "call site": ("place", "function", "class", "code", "what"),
    "file": ("place", "code", "why"),
    "line": ("place", "line"),
    "code": ("code", "times", "meaning"),
}


def _sites(run: Run, *, left: bool) -> Iterator[tuple[str, ...]]:
    for result in run.results:
        for site in result.sites:
            if (site.kind is SiteClass.LEFT) == left:
                place = _place(result, site.span)
                yield "call site", place, markup.code(site.qualname), site.kind.value, site.code, _said(site)


def _said(site: Site) -> str:
    lines = [_words(site)]
    lines += [f"assuming that {markup.text(assumption)}" for assumption in site.assumptions]
    lines += [f"help: {markup.text(site.advice)}"] if site.advice and site.kind is SiteClass.LEFT else []
    return "<br>".join(lines)


def _words(site: Site) -> str:
    is_code = bool(site.after) and site.kind in (SiteClass.EXACT, SiteClass.ASSUMED)
    return markup.code(outcome(site)) if is_code else markup.text(outcome(site))


def _errors(run: Run) -> Iterator[tuple[str, ...]]:
    return (_finding(result, finding) for result in run.results for finding in result.findings if finding.is_error)


def _needing(run: Run) -> Iterator[tuple[str, ...]]:
    for result in run.results:
        for finding in result.findings:
            if finding.kind in (FindingKind.KEEPS, FindingKind.UNSURE):
                yield _finding(result, finding)


def _finding(result: FileResult, finding: Finding) -> tuple[str, ...]:
    said = ". ".join(markup.text(words) for words in (finding.message, finding.advice) if words)
    return "file", _place(result, finding.span), finding.code, said


def _listed(run: Run) -> Iterator[tuple[str, ...]]:
    for listed in run.listed:
        yield "line", markup.code(f"{listed.path}:{listed.line}"), markup.code(listed.text)


def _codes(run: Run) -> Pieces:
    titles = all_codes()
    rows = (("code", code, str(times), markup.text(titles.get(code, ""))) for code, times in run.codes().items())
    pieces = list(_table("By code", iter(rows)))
    if pieces:
        yield "table", "\n<details><summary>By code</summary>\n"
        yield "table", "".join(piece for _, piece in pieces).replace("\n#### By code\n", "", 1)
        yield "table", "\n</details>\n"


def _place(result: FileResult, span: Span) -> str:
    return markup.code(f"{result.path.as_posix()}:{span.where}")


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" + ("" if number == 1 else "s")
