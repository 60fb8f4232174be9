"""The end of the report: requirement files, what still names xformers in the tree, and whether it can go."""

from __future__ import annotations

import collections
import itertools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

import click

from xf2sdpa.model import Bearing, Closing, Mention, RequirementChange, Run, TorchVersion

_SOME = 8
"""Places that are listed one by one, of those that do not need xformers."""
_ELSEWHERE = {Bearing.NEEDS: 10, Bearing.UNSURE: 3, Bearing.CHOICE: 3}
"""Files that a rewrite lists, of those that lie outside what it was given: its result shall stay on the screen."""
_LONGEST = 160
"""Characters of what is said of a place; more is most often a line of somebody's file."""
_ONE_LINE = 140
"""Characters up to which a place and what to do about it stand on one line."""
_FEW = 3
"""Places by which a verdict is explained."""
_HEADINGS = {
    Bearing.NEEDS: "Needs xformers:",
    Bearing.UNSURE: "May need xformers:",
    Bearing.CHOICE: "Choices that name xformers; they are yours:",
}
_HARMLESS = "Choices that name xformers; they are yours, and do no harm:"
"""Their heading once nothing needs xformers: until then some of them may still choose it."""
_IN_CODE = "comments, texts and names in code"
_VERDICT = "xformers can be uninstalled"


def status_lines(run: Run, *, verbose: int = 0) -> Iterator[str]:
    """What `xf2sdpa status` prints: as `closing_lines`, with what the run itself has found."""
    if run.closing is not None:
        yield from _named(run.closing, _places, verbose, found_by_run=True)
        yield verdict(run.closing)


def closing_lines(run: Run, *, written: bool, verbose: int = 0) -> Iterator[str]:
    """The lines; the last is the verdict. None where the tree was not asked.

    Args:
        run: what happened, made plain.
        written: whether the changes are in the files.
        verbose: above 0 every place.
    """
    if run.closing is None:
        return
    yield from _requirements(run, run.closing, written=written)
    yield from _named(run.closing, _places if verbose > 0 else _files, verbose, found_by_run=False)
    floor = run.torch_floor if run.torch_too_old else None
    yield verdict(run.closing, would_be=not written and bool(run.changed), floor=floor)


def verdict(closing: Closing, *, would_be: bool = False, floor: TorchVersion | None = None) -> str:
    """The last line.

    Args:
        closing: what the tree says.
        would_be: whether that is after changes that are not made yet.
        floor: the torch that the new code needs, where the project admits none.
    """
    said = f"{_VERDICT}{' after this' if would_be else ''}"
    if closing.can_go and floor is not None:
        return click.style(f"{said}: yes, once the project has torch >= {floor[0]}.{floor[1]}", fg="yellow", bold=True)
    if closing.can_go:
        return click.style(f"{said}: yes", fg="green", bold=True)
    bearing = Bearing.NEEDS if closing.can_go is False else Bearing.UNSURE
    files = list(dict.fromkeys(mention.path for mention in closing.of(bearing)))
    verb = ("needs" if len(files) == 1 else "need") if bearing is Bearing.NEEDS else "may need"
    named = ", ".join(files[:_FEW]) + (f" and {len(files) - _FEW} more" if len(files) > _FEW else "")
    answer = "no" if bearing is Bearing.NEEDS else "not for all that is known"
    return click.style(f"{said}: {answer}, because {named} {verb} it", fg="yellow", bold=True)


def _named(
    closing: Closing, listed: Callable[[list[Mention], int], Iterator[str]], verbose: int, *, found_by_run: bool
) -> Iterator[str]:
    """The places, by what they mean; what the run itself has found stands further above in its own report."""
    for bearing, heading in _HEADINGS.items():
        mentions = [mention for mention in closing.of(bearing) if found_by_run or not mention.code]
        if mentions:
            yield _HARMLESS if bearing is Bearing.CHOICE and closing.can_go else heading
            yield from listed(mentions, verbose)
    yield from _only_named(closing.of(Bearing.NAMES), verbose)


def _requirements(run: Run, closing: Closing, *, written: bool) -> Iterator[str]:
    """The lines that required xformers, and those that require torch."""
    gone = {(change.path, change.line) for change in closing.requirements if not change.why}
    if run.listed:
        dropped = closing.edited and written and gone
        yield f"Nothing here needs xformers any more. Lines {'dropped' if dropped else 'to drop'}:"
    for listed in run.listed:
        yield f"    {listed.path}:{listed.line}: {listed.text}"
    places = {(listed.path, listed.line) for listed in run.listed}
    torch = (c for c in closing.requirements if c.now and not c.why)
    told = (replace(c, was="that line") if (c.path, c.line) in places else c for c in torch)
    yield from _changed("Torch, which the new code needs:", told, written=written)
    left = (c for c in closing.requirements if c.why)
    yield from _changed("Left to you in requirement files:", left, written=written)
    for extra in dict.fromkeys(change.extra for change in closing.requirements if change.extra and not change.why):
        yield f"The extra {extra} holds nothing any more; it stays, as people install by its name."


def _changed(heading: str, changes: Iterable[RequirementChange], *, written: bool) -> Iterator[str]:
    for change in changes:
        if heading:
            yield heading
            heading = ""
        now = f" {'is now' if written else 'becomes'} {change.now}" if change.now else f" stays: {change.why}"
        yield f"    {change.path}:{change.line}: {change.was or 'the file'}{now}"


def _places(mentions: list[Mention], verbose: int) -> Iterator[str]:
    shown = mentions if verbose > 0 or mentions[0].bearing is Bearing.NEEDS else mentions[:_SOME]
    for mention, after in itertools.zip_longest(shown, shown[1:]):
        said = f"    {mention.path}:{mention.line}: {mention.kind}: {_short(mention.text)}"
        advice = f" ({mention.advice.rstrip('.')})" if mention.advice else ""
        if len(said) + len(advice) <= _ONE_LINE:
            yield f"{said}{advice}"
            continue
        yield said
        if advice and not (after and (after.path, after.advice) == (mention.path, mention.advice)):
            yield f"        help: {mention.advice.rstrip('.')}"
    if len(shown) < len(mentions):
        yield f"    and {len(mentions) - len(shown)} more (--verbose lists them)"


def _files(mentions: list[Mention], verbose: int) -> Iterator[str]:
    """One line a file, with its first place: all files that a run was given, some of those elsewhere in their tree."""
    files = {mention.path: mention for mention in reversed(mentions)}
    lines: collections.Counter[str] = collections.Counter()
    for mention in mentions:
        lines[mention.path] += mention.count
    given = [path for path in lines if files[path].given]
    elsewhere = [path for path in lines if not files[path].given]
    bearing = mentions[0].bearing
    shown = given[: None if bearing is Bearing.NEEDS else _SOME] + elsewhere[: _ELSEWHERE[bearing]]
    for path in shown:
        line, *advice = _places([files[path]], verbose)
        more = lines[path] - files[path].count
        yield f"{line} and {more} more line{'' if more == 1 else 's'}" if more else line
        yield from advice
    if hidden := len(lines) - len(shown):
        noun, them = ("file", "it") if hidden == 1 else ("files", "them")
        command = "xf2sdpa status" if bearing is Bearing.NEEDS else "xf2sdpa status --verbose"
        yield f"    and {hidden} more {noun}: `{command}` lists {them}"


def _only_named(mentions: list[Mention], verbose: int) -> Iterator[str]:
    """By kind, where xformers is only named; with what to do about each place where a person asked."""
    if mentions:
        yield "Only named:"
    ordered = sorted(mentions, key=lambda mention: mention.kind)
    for kind, group in itertools.groupby(ordered, key=lambda mention: mention.kind):
        places = list(group)
        if verbose > 0:
            yield from _places(places, verbose)
            continue
        lines, files = sum(place.count for place in places), len({place.path for place in places})
        first = f"{places[0].path}:{places[0].line}"
        advice = next((f": {place.advice}" for place in places if place.advice), "")
        count = f"{lines} line{'' if lines == 1 else 's'} in {files} file{'' if files == 1 else 's'}"
        advice = advice if lines == 1 or kind == "lock" else ""
        yield f"    {_IN_CODE if kind == 'code' else kind}: {count}, such as {first}{advice}"


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"
