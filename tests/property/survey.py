"""All disagreements of many programs, sorted: `python -m tests.property.survey [programs] [first seed]`.

The property test stops at the first; this goes on, which helps while the engine is being changed.
"""

from __future__ import annotations

import random
import re
import sys
from collections import defaultdict

from tests.equivalence import InvalidExampleError
from tests.property.check import Verdict, judge
from tests.property.coverage import Coverage
from tests.property.generator import draw_program
from tests.property.program import Program
from xf2sdpa.rewrite.engine import rewrite_text


def seeded(seed: int) -> Program:
    """The program of one seed."""
    chosen = random.Random(seed)
    return draw_program(lambda _, options: chosen.choice(list(options)))


def _sort_key(disagreement: str) -> str:
    return re.sub(r"(?<![\w.])[-+]?\d[\d.e+-]*|\{.*?\}", "#", disagreement)[:110]


def _judged(program: Program) -> Verdict:
    try:
        return judge(program, rewrite_text)
    except InvalidExampleError as error:
        return Verdict("invalid", "", [f"INVALID EXAMPLE {str(error).splitlines()[0]}"])
    except Exception as error:
        return Verdict("crash", "", [f"CRASH {type(error).__name__}: {error}"])


def main(arguments: list[str]) -> int:
    """Print disagreements by kind with the shortest program of each, then the coverage."""
    count = int(arguments[0]) if arguments else 300
    first = int(arguments[1]) if len(arguments) > 1 else 0
    coverage, groups = Coverage(), defaultdict(list)
    for seed in range(first, first + count):
        program = seeded(seed)
        verdict = _judged(program)
        coverage.add(program, verdict.kind, verdict.code)
        if program.aim != "left" and verdict.kind == "left" and not program.hard:
            groups[f"LEFT {verdict.code} although provable"].append((program, verdict, seed))
        for disagreement in verdict.disagreements:
            groups[_sort_key(disagreement)].append((program, verdict, seed))
    for key, members in sorted(groups.items(), key=lambda item: -len(item[1])):
        program, verdict, seed = min(members, key=lambda member: len(member[0].text))
        print(f"=== {len(members)} × {key}\nseed {seed}, {verdict.kind} {verdict.code}: {verdict.disagreements}")
        print(program.traits, f"\n{program.text}\n--- became\n{rewrite_text(program.text).new}\n")
    print(coverage.table())
    print("\n".join(coverage.empty()))
    return 1 if groups else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
