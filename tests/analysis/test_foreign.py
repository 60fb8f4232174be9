"""What tells another library's object to use xformers, and what is the project's own matter."""

from __future__ import annotations

import ast

import pytest

from xf2sdpa.analysis.foreign import switches
from xf2sdpa.analysis.names import Names

CALL = "def main(pipe):\n    pipe.enable_xformers_memory_efficient_attention()\n"
SET = "from mine import net\n\nnet.kind = 'xformers'\n"
PUT = "import sys\n\nsys.modules.setdefault('xformers', None)\n"


@pytest.mark.parametrize(
    ("text", "own", "library", "found"),
    [
        (CALL, "", False, True),
        (CALL, "", True, False),
        (SET, "", False, True),
        (SET, "mine", False, False),
        (SET, "other", False, True),
        (PUT, "", False, True),
        (PUT, "", True, True),
    ],
)
def test_what_is_told(text: str, own: str, library: bool, found: bool) -> None:
    """With a library that the project holds itself, and with an object that it imports of itself."""
    names = Names(ast.parse(text), {}, frozenset({own} - {""}))
    assert bool(switches(names, own_library=library)) is found
