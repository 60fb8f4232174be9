"""What in a program is the reason for a flag: without one, a flag is not set."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass

from xf2sdpa.flags.convolutions import convolution_in
from xf2sdpa.flags.precision import precision_of
from xf2sdpa.flags.table import CUDNN_BENCHMARK, TF32, Flag
from xf2sdpa.helper.text import is_copy
from xf2sdpa.project.files import Project

BY_NAME = "asked for by name"


@dataclass(frozen=True)
class Reasons:
    """Why flags are set in a program, and why not, in words, by the names of flags."""

    given: dict[str, str]
    lacking: dict[str, str]


def reasons_for(
    flags: Iterable[Flag], by_name: Collection[str], project: Project, program: str | None, reached: Collection[str]
) -> Reasons:
    """The reasons that a program gives for flags, and what is missing for the others.

    Args:
        flags: the flags to judge.
        by_name: the names of those that were asked for one by one: that is reason enough.
        project: all files.
        program: the program's file; None where no program is known.
        reached: the files that run with it, itself among them.
    """
    given: dict[str, str] = {}
    lacking: dict[str, str] = {}
    for flag in flags:
        if flag.name in by_name:
            given[flag.name] = BY_NAME
            continue
        found, why = _judged(flag, project, program, reached)
        (given if found else lacking)[flag.name] = why
    return Reasons(given, lacking)


def _judged(flag: Flag, project: Project, program: str | None, reached: Collection[str]) -> tuple[bool, str]:
    """Whether there is a reason for a flag, and the reason, or what is missing."""
    if flag is CUDNN_BENCHMARK:
        place = next(_convolutions(project, program, reached), None)
        return (True, f"a convolution, {place}") if place else (False, "no convolution is constructed in what runs")
    if flag is TF32:
        precision = precision_of(project.text(program) if program else "")
        return (True, f"float32 products can run: {precision.why}") if precision.float32 else (False, precision.why)
    return False, "set only by name"


def _convolutions(project: Project, program: str | None, reached: Collection[str]) -> Iterator[str]:
    """Where the files construct convolutions: `Conv2d at nets/vae.py:12`."""
    for file in sorted(reached, key=lambda file: (file != program, file)):
        text = project.text(file)
        found = None if is_copy(text) else convolution_in(text)
        if found is not None:
            line, name = found
            yield f"{name} at {project.shown_line(file, line)}"
