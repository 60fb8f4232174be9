"""At least 2,000 whole programs, rewritten, and run before and after.

For each: the result parses, a second pass changes nothing, imports without a use are gone, and `run` gives
the same: float64 with gradients, for exact sites also float32 under autocast with the same dtype. Then the
coverage table: an empty cell fails. `XF2SDPA_PROGRAMS` sets another number (an empty cell is then allowed).
"""

from __future__ import annotations

import difflib
import os
import time

import pytest
from hypothesis import given, settings

from tests.property.check import Verdict, judge
from tests.property.coverage import Coverage
from tests.property.program import Program
from tests.property.strategy import programs

engine = pytest.importorskip("xf2sdpa.rewrite.engine")

WANTED = int(os.environ.get("XF2SDPA_PROGRAMS", "2000"))
SHARE = 0.95
"""Of the programs that the design calls provable, so many must be migrated."""


def explained(program: Program, verdict: Verdict) -> str:
    """The disagreements, the program, and what became of it."""
    new = engine.rewrite_text(program.text).new
    lines = (text.splitlines(keepends=True) for text in (program.text, new))
    diff = "".join(difflib.unified_diff(*lines, "old", "new"))
    traits = ", ".join(f"{name}: {value}" for name, value in program.traits.items())
    return "\n".join([*verdict.disagreements, verdict.kind, traits, diff, program.text])


def test_programs_keep_their_meaning(capsys: pytest.CaptureFixture[str]) -> None:
    coverage, begin = Coverage(), time.perf_counter()

    @settings(max_examples=WANTED)
    @given(programs())
    def agrees(program: Program) -> None:
        verdict = judge(program, engine.rewrite_text)
        assert not verdict.disagreements, explained(program, verdict)
        coverage.add(program, verdict.kind, verdict.code)

    agrees()
    with capsys.disabled():
        print(f"\n{coverage.table()}\n{time.perf_counter() - begin:.0f} s")
    if WANTED >= 2000:
        assert coverage.programs >= 2000
        assert not coverage.empty(), coverage.empty()
    provable = sum(count for (aim, _), count in coverage.aims.items() if aim != "left")
    assert coverage.lost.total() <= (1 - SHARE) * provable, coverage.lost
