"""A form of guard as a small project, and the question asked of all: does the path that ran still run?"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests import oracle
from tests.projects.harness import EAGER, assert_equal, execute, imports_of_xformers, rewrite, tree, write

CALL = re.compile(r"CALL\[([\w.]+)\]")
STYLES = {"inline": r"\1(q, k, v)", "helper": r"\1(q, k, v, attn_bias=bias)"}
"""How `CALL[name]` is spelled: a call that can be written inline, and one that needs the helper module."""


@dataclass(frozen=True)
class Guard:
    """One way to ask whether xformers is there.

    Attributes:
        name: what the case is called.
        files: the project, `CALL[x]` standing for a call of x.
        switch: an environment variable that turns the fast path off, and the value that does.
        path: the path that runs with xformers, and must run without it after the rewrite.
    """

    name: str
    files: dict[str, str]
    switch: tuple[str, str] | None = None
    path: str = "fast"

    def project(self, folder: Path, style: str) -> Path:
        files = {"eager.py": EAGER} | {n: CALL.sub(STYLES[style], text) for n, text in self.files.items()}
        return write(folder, files)


USE = """

def run(q, k, v, bias=None):
    b, n, h, d = q.shape
    if {condition}:
        return "fast", CALL[{call}]
    return "eager", eager(q, k, v)
"""


def one_file(
    name: str,
    guard: str,
    *,
    condition: str = "FAST",
    call: str = "xops.memory_efficient_attention",
    switch: tuple[str, str] | None = None,
    path: str = "fast",
) -> Guard:
    text = f"from eager import eager\n\n{guard}{USE.format(condition=condition, call=call)}"
    return Guard(name, {"main.py": text}, switch, path)


BARE = "memory_efficient_attention"
FULL = "xformers.ops.memory_efficient_attention"
OFF = ("XFORMERS_DISABLED", "1")


def check(guard: Guard, style: str, folder: Path) -> None:
    """Run a project before and after the rewrite: the same path, on torch, and no import of xformers left."""
    root = guard.project(folder, style)
    switch = guard.switch or OFF
    before = execute(root, oracle.installed, cleared=switch[:1])
    assert (before.path, before.xformers_calls > 0) == (guard.path, guard.path == "fast"), "the example is wrong"
    switched = guard.switch and execute(root, oracle.installed, environment=dict([guard.switch]))
    if switched:
        assert (switched.path, switched.xformers_calls) == ("eager", 0), "the example is wrong"
    report = rewrite(root)
    shown = "\n".join(
        [report.output, *(f"# {name}\n{text}" for name, text in tree(root).items() if name != "eager.py")]
    )
    try:
        after = execute(root, oracle.absent, cleared=switch[:1])
    except Exception as error:
        pytest.fail(f"{type(error).__name__}: {error}\n{shown}")
    assert after.path == before.path, shown
    assert (after.sdpa_calls > 0) == (guard.path == "fast"), shown
    assert_equal(before, after)
    if switched:
        off = execute(root, oracle.absent, environment=dict([guard.switch]))
        assert (off.path, off.sdpa_calls) == ("eager", 0), shown
        assert_equal(switched, off)
    assert not imports_of_xformers(root), shown


def cases(*guards: Guard) -> list[object]:
    """Each guard in each style, as parameters of a test."""
    return [pytest.param(guard, style, id=f"{guard.name}, {style}") for guard in guards for style in STYLES]
