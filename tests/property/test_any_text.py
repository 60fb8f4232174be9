"""Any program, and any bytes: no exception, no text that does not parse, no second change.

Programs are hypothesmith's, with a use of xformers put in among their statements; bytes are those of the fixtures and
examples, changed at random places. Both are seeded. The long form, by hand:
`XF2SDPA_LONG=2000 python -m pytest tests/property/test_any_text.py`.
"""

from __future__ import annotations

import ast
import os
import random
import re
import warnings
from pathlib import Path

import hypothesmith
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from xf2sdpa.files.source import SourceError, read
from xf2sdpa.rewrite.engine import rewrite_text

ROOT = Path(__file__).parents[2]
LONG = int(os.environ.get("XF2SDPA_LONG", "0"))
PROGRAMS = LONG or 40
MUTANTS = LONG or 120
USES = (
    "import xformers.ops as xops\n",
    "try:\n    import xformers.ops as xops\n    FLAG = True\nexcept ImportError:\n    FLAG = False\n",
    "from xformers.ops import memory_efficient_attention, LowerTriangularMask\n",
    "def f(q, k, v):\n    import xformers.ops\n    b, n, h, d = q.shape\n"
    "    return xformers.ops.memory_efficient_attention(q, k, v).reshape(b, n, h * d)\n",
    "import importlib.util\nFLAG = importlib.util.find_spec('xformers') is not None\n",
)
BYTES = (
    b"\x00",
    b"\xff",
    b"\xef\xbb\xbf",
    b"\r",
    b"\n",
    b"\t",
    b"\f",
    b"(",
    b")",
    b"'",
    b'"""',
    b"\\",
    b"#",
    b":",
    b";",
)


def parses(text: str) -> bool:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            ast.parse(text)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return False
    return True


def check(text: str) -> None:
    """What must hold of any text, whatever it is."""
    result = rewrite_text(text)
    if result.failed:
        assert result.new == result.old == text
        return
    if result.new != text:
        assert parses(text)
        assert parses(result.new), result.new
        again = rewrite_text(result.new)
        assert again.new == result.new, "a second run changes the file again"


@settings(
    max_examples=PROGRAMS,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
@given(
    hypothesmith.from_node(), st.lists(st.sampled_from(USES), min_size=1, max_size=3), st.randoms(use_true_random=False)
)
def test_any_program(program: str, uses: list[str], chance: random.Random) -> None:
    """At any place between two statements of its own."""
    statements = (
        [ast.unparse(statement) + "\n" for statement in ast.parse(program).body] if parses(program) else [program]
    )
    for use in uses:
        statements.insert(chance.randint(0, len(statements)), use)
    check("".join(statements))


def sources() -> list[bytes]:
    """The inputs of the fixtures and the examples."""
    files = sorted([*(ROOT / "fixtures").rglob("*.py"), *(ROOT / "examples").rglob("*.py")])
    return [re.split(rb"(?m)^# output[ \t]*\r?\n", file.read_bytes(), maxsplit=1)[0] for file in files]


def mutated(data: bytes, chance: random.Random) -> bytes:
    """The bytes with one to three places changed: some dropped, doubled, put elsewhere, or others put in."""
    for _ in range(chance.randint(1, 3)):
        start = chance.randrange(len(data) or 1)
        end = min(len(data), start + chance.choice((1, 1, 2, 5, 40)))
        part = data[start:end]
        put = chance.choice((b"", part * 2, chance.choice(BYTES), bytes([chance.randrange(256)])))
        data = data[:start] + put + data[end:]
        if chance.random() < 0.2:
            place = chance.randrange(len(data) or 1)
            data = data[:place] + part + data[place:]
    return data


@pytest.mark.parametrize("share", range(4))
def test_any_bytes(share: int, tmp_path: Path) -> None:
    """Read as a file would be: what is no text is said so, and the rest is worked on or left."""
    chance = random.Random(share)
    originals = sources()
    programs = 0
    for number in range(share, MUTANTS, 4):
        file = tmp_path / f"{number}.py"
        for _ in range(1 if number % 16 < 4 else 20):  # of four, one may be anything; the others are programs still
            file.write_bytes(mutated(chance.choice(originals), chance))
            text = text_of(file)
            if text is not None and parses(text):
                programs += 1
                break
        if text is not None:
            check(text)
    assert programs > MUTANTS // 8, "half of the mutants should still be programs"


def text_of(file: Path) -> str | None:
    try:
        return read(file).text
    except SourceError:
        return None
