"""Texts that all formats share: for the outcome, a check, a case, a speed."""

from __future__ import annotations

import difflib
import itertools
import math
from collections import Counter
from collections.abc import Iterator

from xf2sdpa.judging.model import REFUSED, Case, Check, Speed
from xf2sdpa.page import numbers
from xf2sdpa.page.tables import Tone
from xf2sdpa.verify.model import Report, SiteReport, Status

NOT_VERIFIED = "NOT VERIFIED AGAINST XFORMERS"
TONES: dict[Status, Tone] = {
    Status.AGREES: "good",
    Status.DIFFERS: "bad",
    Status.NOT_RUN: "warn",
    Status.NOT_SHADOWED: "warn",
}
SPEED_TONES: dict[Speed, Tone] = {Speed.FASTER: "good", Speed.SLOWER: "bad", Speed.SAME: "", Speed.UNKNOWN: "quiet"}
_ORDER = [Status.DIFFERS, Status.NOT_RUN, Status.NOT_SHADOWED, Status.AGREES]
_VERBS = {
    Status.AGREES: ("agrees", "agree"),
    Status.DIFFERS: ("differs", "differ"),
    Status.NOT_RUN: ("was not run", "were not run"),
    Status.NOT_SHADOWED: ("was not shadowed", "were not shadowed"),
}


def outcome(report: Report, min_speedup: float | None = None) -> tuple[str, Tone]:
    """The run's outcome in one or two sentences, and its tone: good, a warning or bad."""
    counts = {status: report.count(status) for status in _ORDER}
    sites = _sites(counts)
    compared = f"{numbers.count(report.compared, 'comparison')} with {opponent(report)}, on {report.environment.device}"
    refused = f"; {report.refused} {REFUSED}" if report.refused else ""
    sentence = f"{sites}: {compared}{refused}."
    slow = too_slow(report, min_speedup)
    if slow and min_speedup is not None:
        of = numbers.count(len(slow), "call site")
        sentence += f" The new path of {of} is slower than asked ({numbers.ratio(min_speedup)})."
    gap = not_verified(report)
    if gap:
        sentence = f"{gap} {sentence}"
    status = report.exit_status(min_speedup)
    unknown = counts[Status.NOT_RUN] + counts[Status.NOT_SHADOWED]
    return sentence, "bad" if status == 1 else "warn" if status or unknown else "good"


def _sites(counts: dict[Status, int]) -> str:
    parts = [f"{count} {_VERBS[status][count != 1]}" for status, count in counts.items() if count]
    if not parts:
        return "No call site was found"
    if len(parts) == 1:
        number, _, verb = parts[0].partition(" ")
        if counts[Status.NOT_RUN]:
            return "No call site was run"
        return f"The call site {verb}" if number == "1" else f"All {number} call sites {verb}"
    return f"Of {numbers.count(sum(counts.values()), 'call site')}, {_join(parts)}"


def opponent(report: Report) -> str:
    """The name of what the new path was compared with."""
    return "a plain reference" if report.environment.is_reference else report.environment.old_path


def not_verified(report: Report) -> str:
    """Why nothing was verified against xformers; empty if something was."""
    if report.environment.is_reference:
        return f"{NOT_VERIFIED}: {_why_reference(report)}."
    return "" if report.compared else f"{NOT_VERIFIED}: no numbers were compared."


def _why_reference(report: Report) -> str:
    return report.environment.old_path.removeprefix("reference:").strip().rstrip(".")


def too_slow(report: Report, min_speedup: float | None) -> list[SiteReport]:
    """Sites whose speed-up is below `--min-speedup`."""
    if min_speedup is None:
        return []
    return [site for site in report.sites if site.speedup is not None and site.speedup < min_speedup]


def by_need(report: Report) -> list[SiteReport]:
    """Sites by status, those that differ first, then by file and line."""
    return sorted(report.sites, key=lambda site: (_ORDER.index(site.status), site.path, site.line, site.id))


def place(site: SiteReport) -> str:
    """`path:line`, which editors can open."""
    return f"{site.path}:{site.line}"


def name(site: SiteReport) -> str:
    """The function, and the 0-based index of the call in it."""
    return site.id.partition("::")[2] or site.id


def failing(site: SiteReport) -> Iterator[tuple[Case, Check]]:
    """Checks that could be made and do not hold, case by case; the case with the worst of them comes first."""
    bad = worst(site)
    for case in sorted(site.cases, key=lambda case: not any(check is bad for check in case.checks)):
        yield from ((case, check) for check in case.checks if check.available and not check.ok)


def unavailable(site: SiteReport) -> list[str]:
    """Checks that could not be made, each reason once."""
    found = Counter(
        f"{check.name}: {message(check) or 'not available'}"
        for case in site.cases
        for check in case.checks
        if not check.available
    )
    return [text + (f" ({times} times)" if times > 1 else "") for text, times in found.items()]


def refusals(site: SiteReport) -> list[str]:
    """What the new text says where it refuses inputs, as assumed; each once."""
    checks = (check for case in site.cases for check in case.checks)
    return list(dict.fromkeys(f"{check.name}: {check.message}" for check in checks if check.name == REFUSED))


def worst(site: SiteReport) -> Check | None:
    """The worst failing check, or the one whose error is nearest to its limit; None if no numbers were compared.

    Checks of exact mode come last among those that hold: their limit is noise, so their errors are always near it.
    """
    checks = [check for case in site.cases for check in case.checks if check.available]
    judged = [check for check in checks if not check.ok or (check.new_error is not None and check.limit is not None)]
    return max(judged, key=lambda check: (not check.ok, not _is_exact(check), _nearness(check)), default=None)


def _is_exact(check: Check) -> bool:
    return check.name.startswith("exact ")


def _nearness(check: Check) -> float:
    if check.new_error is None or check.limit is None:
        return 0.0
    if not math.isfinite(check.new_error):
        return math.inf
    return check.new_error / check.limit if check.limit > 0 else (math.inf if check.new_error > 0 else 0.0)


def finding(site: SiteReport) -> str:
    """One line on a site: how many checks fail and the worst, else its reason, else its worst check with the limit."""
    check = worst(site)
    if check is not None and not check.ok:
        failed = sum(1 for _ in failing(site))
        made = sum(check.available for case in site.cases for check in case.checks)
        told = "fail, the worst" if failed > 1 else "fails"
        return f"{failed} of {numbers.count(made, 'check')} {told}: {check.name}"
    if site.reason:
        return site.reason
    count = sum(case.refused for case in site.cases)
    refused = f"; {count} {REFUSED}" if count else ""
    return ("no numbers were compared" if check is None else check_with_limit(check)) + refused


def check_with_limit(check: Check) -> str:
    """`output 2.1e-03, limit 4.3e-03`, or the message of a check without figures."""
    if check.new_error is None:
        return f"{check.name}: {message(check)}" if check.message else check.name
    limit = f", limit {numbers.error(check.limit)}" if check.limit is not None else ""
    return f"{check.name}: error {numbers.error(check.new_error)}{limit}"


def failure(check: Check) -> str:
    """All figures and the message of a failing check, in one line."""
    parts = [check_with_limit(check)]
    if check.old_error is not None:
        parts.append(f"old path {numbers.error(check.old_error)}")
    if check.first_bad is not None:
        parts.append(f"first at {list(check.first_bad)}")
    line = ", ".join(parts)
    return line if message(check) in line else f"{line}. {message(check)}"


def message(check: Check) -> str:
    """The check's message without the check's name at its start."""
    return check.message.removeprefix("exact: ").removeprefix(f"{check.name}: ")


def verdict(case: Case) -> tuple[str, Tone]:
    """The result of a case and its tone; a case in which no numbers were compared does not hold."""
    if case.failed:
        return "fails", "bad"
    if case.refused:
        return REFUSED, "good"
    return ("holds", "good") if case.ok else ("not compared", "warn")


def inputs(case: Case) -> str:
    """The inputs of a case in one line."""
    parts = [case.shape, case.dtype]
    parts += [f"mask {case.mask}"] if case.mask != "none" else []
    parts += [f"autocast {case.autocast}"] if case.autocast else []
    parts += [] if case.gradients else ["no gradients"]
    return ", ".join(parts)


def speed(report: Report, site: SiteReport) -> str:
    """A site's speed, such as `faster 1.14×`; without xformers, `reference`."""
    if report.environment.is_reference:
        return "reference"
    if site.speed is Speed.UNKNOWN or site.speedup is None:
        return Speed.UNKNOWN.value
    return f"{site.speed.value} {numbers.ratio(site.speedup)}"


def speed_note(report: Report, site: SiteReport) -> str:
    """A sentence on what a site's speed figure does not show; without a figure, the reason."""
    note = "" if report.environment.is_reference else site.speed_note
    return note if not note or note.startswith("no speed") else f"speed: {note}"


def speeds(report: Report) -> str:
    """All speeds in one sentence; empty if there are none, or without xformers."""
    found = [site.speedup for site in report.sites if site.speedup is not None and site.speed is not Speed.UNKNOWN]
    if report.environment.is_reference or not found:
        return ""
    counts = Counter(site.speed for site in report.sites if site.speedup is not None)
    parts = [f"{counts[kind]} {kind.value}" for kind in (Speed.FASTER, Speed.SAME, Speed.SLOWER) if counts[kind]]
    mean = math.exp(sum(math.log(value) for value in found) / len(found)) if min(found) > 0 else None
    least = f"{numbers.ratio(min(found))} at the least"
    return f"Speed: {_join(parts)}; old time over new {numbers.ratio(mean)} (geometric mean), {least}."


def machine(report: Report) -> str:
    """The environment of the run in one line."""
    env = report.environment
    cudnn = f"cuDNN {env.cudnn}" if env.cudnn else ""
    old_path = f"reference ({_why_reference(report)})" if env.is_reference else env.old_path
    parts = [env.device, f"torch {env.torch}", cudnn, old_path, f"seed {env.seed}"]
    return ", ".join(part for part in parts if part)


def diff(site: SiteReport) -> list[tuple[str, str]]:
    """The difference of old and new call, as pairs of ` `, `-` or `+` and a line."""
    before, after = site.before.splitlines(), site.after.splitlines()
    lines = difflib.unified_diff(before, after, n=len(before), lineterm="")
    # The first three lines are the diff's heading: two file names and a position.
    return [(line[0], line[1:]) for line in itertools.islice(lines, 3, None)]


def _join(parts: list[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
