"""How to go about a run over many files."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from xf2sdpa.model import FileResult

Progress = Callable[[Iterable[FileResult], int], Iterable[FileResult]]


def _unwatched(results: Iterable[FileResult], _: int) -> Iterable[FileResult]:
    return results


@dataclass(frozen=True)
class RunOptions:
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
