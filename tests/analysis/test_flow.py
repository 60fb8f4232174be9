"""Which readings an assignment reaches."""

from __future__ import annotations

import ast

from xf2sdpa.analysis.flow import reached_loads
from xf2sdpa.analysis.names import Names


def reached(text: str) -> list[int] | None:
    """The lines of the readings that the first assignment to `x` reaches."""
    names = Names(ast.parse(text))
    assigned = (node for node in names.nodes if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "x")
    loads = reached_loads(names, "x", next(assigned))
    return None if loads is None else sorted(load.lineno for load in loads)


def test_of_a_function_and_of_a_module() -> None:
    assert reached("def f(a):\n    x = a\n    g(x)\n    x = 1\n    g(x)\n") == [3]
    assert reached("x = 1\ng(x)\n") == [2]


def test_of_a_class_others_may_read_it() -> None:
    assert reached("class A:\n    x = 1\n    g(x)\n") is None


def test_a_function_inside_may_read_it_at_any_time() -> None:
    assert reached("def f(a):\n    x = a\n    return lambda: x\n") is None
