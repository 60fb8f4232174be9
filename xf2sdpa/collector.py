"""How often a process of ours looks for cycles among its objects."""

import gc


def collect_seldom() -> None:
    """Let the collector of cycles come less often: syntax trees are large, and hold none that matter.

    As it stands it looks through all that is there for each few hundred objects, which a parser makes in no time: a
    third of a run, and of what a run makes a twentieth is garbage at its end. mypy does the same. Only for processes
    that end with the run: who calls this package from a program keeps that program's setting.
    """
    gc.set_threshold(3_000_000, 20, 50)
