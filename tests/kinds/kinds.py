"""Small projects, one table a kind of mistake: rewritten, then run where xformers is absent and where it is present.

A `Case` is a project and what must be true of it afterwards. What is right is mostly said by what the program prints:
after the rewrite it does without xformers what it did with it, or, where a question is not about the project's own
attention, what it did before in either surroundings. `table` makes the cases of a file into parameters; a case whose
name is in the file's `RED` is known to fail today, and must be taken out of that list when it no longer does.
"""

from __future__ import annotations

import contextlib
import importlib.machinery
import importlib.util
import re
import sys
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch

from tests import oracle
from tests.projects.harness import fresh, imports_of_xformers, installed, rewrite, tensors, tree, write

NET = """\
import xformers.ops as xops


def attend(q, k, v):
    b, n, h, d = q.shape
    return xops.memory_efficient_attention(q, k, v)
"""
"""A file whose one call can be written inline: with it a project has something that is migrated."""
INLINE = """\
import torch.nn.functional as F


def attend(q, k, v):
    b, n, h, d = q.shape
    return (
        F.scaled_dot_product_attention(q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2))
        .transpose(1, 2)
        .contiguous()
    )
"""
FREE = "Nothing here needs xformers any more"
SHAPE = "(2, 5, 3, 8)"


@dataclass(frozen=True, kw_only=True)
class Case:
    """A project, and what must be true after its rewrite. What is None or empty is not asked.

    Attributes:
        name: what the case is called.
        files: the project's files by path.
        later: files that are written over the first ones after a first rewrite; then a second one follows.
        libraries: modules of others, on the path while the program runs, out of sight of the rewrite.
        options: options of the rewrite.
        status: the exit status of the rewrite.
        run: statements that are executed in the project; `torch`, and `q`, `k`, `v` of shape (2, 5, 3, 8), are there.
        absent: what they print after the rewrite where xformers cannot be imported.
        before: what they print before it where xformers cannot be imported.
        present: what they print where xformers can be imported, before the rewrite and after it.
        same: files that must stay to the byte.
        becomes: whole files as they must come out.
        has: pairs of a file and a pattern that its new text must match somewhere.
        lacks: pairs of a file and a pattern that it must not match anywhere.
        gone: files that must not be there.
        said: patterns that the report must match.
        unsaid: patterns that it must not match.
        free: whether no import of xformers may be left.
        may_stay: a file that may as well stay to the byte, with a finding; then nothing is run without xformers.
        unless_said: a pattern; where the report matches it, nothing is run without xformers.
    """

    name: str
    files: Mapping[str, str]
    later: Mapping[str, str] = field(default_factory=dict)
    libraries: Mapping[str, str] = field(default_factory=dict)
    options: tuple[str, ...] = ()
    status: int = 0
    run: str = ""
    absent: str | None = None
    before: str | None = None
    present: str | None = None
    same: tuple[str, ...] = ()
    becomes: Mapping[str, str] = field(default_factory=dict)
    has: tuple[tuple[str, str], ...] = ()
    lacks: tuple[tuple[str, str], ...] = ()
    gone: tuple[str, ...] = ()
    said: tuple[str, ...] = ()
    unsaid: tuple[str, ...] = ()
    free: bool = False
    may_stay: str = ""
    unless_said: str = ""


def table(cases: Sequence[Case], known: Mapping[str, str]) -> list[Any]:
    """The cases as parameters of a test, those named in `known` (with what goes wrong) as expected failures."""
    names = [case.name for case in cases]
    assert len(set(names)) == len(names), "two cases of one name"
    assert set(known) <= set(names), f"no such case: {set(known) - set(names)}"
    failing = {
        name: [pytest.mark.xfail(strict=True, raises=AssertionError, reason=reason)] for name, reason in known.items()
    }
    return [pytest.param(case, id=case.name, marks=failing.get(case.name, [])) for case in cases]


def red(reason: str, *names: str) -> dict[str, str]:
    """Cases that fail today, with what goes wrong in all of them."""
    return dict.fromkeys(names, reason)


def check(case: Case, folder: Path) -> None:
    """Rewrite the project of a case, and hold everything that it asks for."""
    home = write(folder / "home", case.files)
    write(folder / "lib", case.libraries)
    if case.present is not None:
        printed = execute(case, folder, present)
        assert printed == case.present, f"the example is wrong where xformers is present: {printed!r}"
    if case.before is not None:
        printed = execute(case, folder, absent)
        assert printed == case.before, f"the example is wrong where xformers is absent: {printed!r}"
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(home)
        report = rewrite(*case.options, ".", status=case.status).output
        if case.later:
            write(home, case.later)
            report = rewrite(*case.options, ".", status=case.status).output
    shown = "\n".join(["", report, *(f"# {name}\n{text}" for name, text in tree(home).items() if "compat" not in name)])
    old = {**case.files, **case.later}
    stayed = bool(case.may_stay) and (home / case.may_stay).read_text("utf-8") == old[case.may_stay]
    if case.present is not None:
        printed = execute(case, folder, present)
        assert printed == case.present, f"where xformers is present it prints {printed!r}, not {case.present!r}{shown}"
    waived = stayed or (case.unless_said and re.search(case.unless_said, report))
    if case.absent is not None and not waived:
        printed = execute(case, folder, absent)
        assert printed == case.absent, f"where xformers is absent it prints {printed!r}, not {case.absent!r}{shown}"
    _texts(case, home, old, shown)
    _report(case, report, shown)
    if stayed:
        assert re.search(rf"^{re.escape(case.may_stay)}:\d", report, re.MULTILINE), f"stays without a finding{shown}"
    if case.free and not stayed:
        assert not imports_of_xformers(home), f"xformers is still imported: {imports_of_xformers(home)}{shown}"


def _texts(case: Case, home: Path, old: Mapping[str, str], shown: str) -> None:
    for name in case.same:
        assert (home / name).exists(), f"{name} is gone{shown}"
        assert (home / name).read_text("utf-8") == old[name], f"{name} has changed{shown}"
    for name, text in case.becomes.items():
        new = (home / name).read_text("utf-8")
        assert new == text, f"{name} comes out otherwise{shown}\n# wanted\n{text}"
    for name, pattern in case.has:
        assert re.search(pattern, (home / name).read_text("utf-8"), re.MULTILINE), f"{name} lacks {pattern}{shown}"
    for name, pattern in case.lacks:
        found = re.search(pattern, (home / name).read_text("utf-8"), re.MULTILINE)
        assert not found, f"{name} holds {found and found[0]!r}{shown}"
    for name in case.gone:
        assert not (home / name).exists(), f"{name} is there{shown}"


def _report(case: Case, report: str, shown: str) -> None:
    for pattern in case.said:
        assert re.search(pattern, report, re.MULTILINE), f"the report lacks {pattern}{shown}"
    for pattern in case.unsaid:
        found = re.search(pattern, report, re.MULTILINE)
        assert not found, f"the report says {found and found[0]!r}{shown}"


def execute(case: Case, folder: Path, surroundings: Callable[[], AbstractContextManager[Any]]) -> str:
    """What the statements of a case print, the last line being the error where they raise one."""
    space: dict[str, Any] = {"__name__": "program", "torch": torch, **dict(zip("qkv", tensors(), strict=True))}
    error: list[str] = []
    with fresh(folder, surroundings) as (_, _, printed), pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder / "home")
        sys.path[:1] = [str(folder / "home"), str(folder / "lib")]
        try:
            exec(compile(case.run, "<run>", "exec"), space)
        except (Exception, SystemExit) as problem:
            error = [f"{type(problem).__name__}: {problem}"]
    return "\n".join([*printed.getvalue().split("\n"), *error]).strip()


@contextlib.contextmanager
def present() -> Iterator[Any]:
    """Surroundings in which xformers can be imported and computes, but nothing has imported it yet."""
    with installed() as calls:
        modules = {name: sys.modules.pop(name) for name in list(sys.modules) if name.partition(".")[0] in oracle.ROOTS}
        finder = _Late(modules)
        sys.meta_path.insert(0, finder)
        try:
            yield calls
        finally:
            sys.meta_path.remove(finder)


@contextlib.contextmanager
def absent() -> Iterator[None]:
    """Surroundings of somebody who never had xformers: it is not found, and `sys.modules` says nothing of it."""
    with oracle.absent():
        for name in oracle.ROOTS:
            sys.modules.pop(name, None)
        sys.meta_path[:] = [_Without(finder) for finder in sys.meta_path[1:]]  # the first one raises, also when asked
        yield


class _Without:
    """A finder that does not find xformers."""

    def __init__(self, finder: Any) -> None:
        self.finder = finder

    def __getattr__(self, name: str) -> Any:
        return getattr(self.finder, name)

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        return None if name.partition(".")[0] in oracle.ROOTS else self.finder.find_spec(name, path, target)


class _Late:
    """Finds modules that were made beforehand."""

    def __init__(self, modules: Mapping[str, types.ModuleType]) -> None:
        self.modules = modules

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> importlib.machinery.ModuleSpec | None:
        found = name in self.modules
        return importlib.util.spec_from_loader(name, self, is_package=True) if found else None  # type: ignore[arg-type]

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> None:
        return None

    def exec_module(self, module: types.ModuleType) -> None:
        sys.modules[module.__name__] = self.modules[module.__name__]
