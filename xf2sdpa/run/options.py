"""How to go about a run over many files."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from xf2sdpa.model import FileResult, Seen

Progress = Callable[[Iterable[FileResult], int], Iterable[FileResult]]


def _unwatched(results: Iterable[FileResult], _: int) -> Iterable[FileResult]:
    return results


@dataclass(frozen=True)
class RunOptions:
    """How to go about a run.

    Attributes:
        only_exact: leave sites that rest on an assumption.
        helper: where calls that cannot be written inline may go: `copy`, `import` or `none`, as in the settings.
        new_files: whether a helper module may be made; without, only one that is there already serves.
        flags: names of the H200 flags that entry points get; None leaves every block of flags as it is.
        flags_by_name: those of them that were asked for one by one, which need no reason in the program.
        flags_in: the files that get them, instead of the entry points found.
        seen: what recorded runs saw, by file and call.
        returning: look again at calls that an earlier run gave to the helper, which may be provable now.
        jobs: processes to use.
        around: further files of the project, only looked at: what they take from the others, and hand to them.
        progress: wraps the iteration over results, given how many there will be.
    """

    only_exact: bool = False
    helper: str = "copy"
    new_files: bool = True
    flags: tuple[str, ...] | None = None
    flags_by_name: tuple[str, ...] = ()
    flags_in: tuple[str, ...] = ()
    seen: Mapping[Path, Mapping[str, Seen]] = field(default_factory=dict)
    returning: bool = True
    jobs: int = os.cpu_count() or 1
    around: tuple[str, ...] = ()
    progress: Progress = _unwatched
