"""The generator under Hypothesis' control."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hypothesis import strategies as st

from tests.property.generator import draw_program
from tests.property.program import Program


@st.composite
def programs(draw: st.DrawFn) -> Program:
    """Any program that the generator can make."""

    def pick(dimension: str, options: Sequence[Any]) -> Any:
        return draw(st.sampled_from(list(options)), label=dimension)

    return draw_program(pick)
