"""What must stay first in a file: the docstring, and imports from the future."""

from __future__ import annotations

import ast

import pytest

from xf2sdpa.edits.expected import top_line
from xf2sdpa.edits.import_lines import after_preamble

FIRST = {
    "": (0, 1),
    "a = 1\n": (0, 1),
    '"""A."""\n': (1, 1),
    '"""A."""\nfrom __future__ import annotations\n': (2, 1),
    '"""A."""\n\nfrom __future__ import annotations\n\n\n@a\ndef f(): ...\n': (2, 6),
    '"""A."""\n"""B."""\n': (1, 2),
}


@pytest.mark.parametrize("text", FIRST)
def test_the_preamble(text: str) -> None:
    tree = ast.parse(text)
    assert (after_preamble(tree), top_line(tree)) == FIRST[text]
