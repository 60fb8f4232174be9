"""Questions about the installed release are answered as the last one would: `xformers.__version__ < "0.0.20"` is False.

Code that works around a defect of some release, or asks whether the module could be imported (`if xops:`, `"xops" in
globals()`), has no use for xformers beyond that. With the question answered the import can go; left standing, the
question would raise, or turn the fast path off, once xformers is uninstalled. A file that needs xformers for something
else keeps its questions.

A public variable that holds the release (`XFORMERS_VERSION = xformers.__version__`) and that nothing in the project
reads may be imported by other programs. It goes on saying what the code's own handler says where xformers is missing;
where there is none, it goes, and is named (XF155).
"""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from xf2sdpa.analysis.api import api_name, is_ours
from xf2sdpa.analysis.flow import loads_of
from xf2sdpa.analysis.imports import (
    GuardNode,
    bound_name,
    brings_ours,
    guards_around,
    loads_from,
    scope_of,
    serves_questions,
    whole_name,
)
from xf2sdpa.analysis.installed import Installed, Present, Release, Unanswered
from xf2sdpa.analysis.lookups import looks_up
from xf2sdpa.analysis.names import MODULES, called_name
from xf2sdpa.analysis.spans import source_of
from xf2sdpa.edits.kinds import NodeEdit, Replaceable, ReplaceExpression, ReplaceStatement
from xf2sdpa.rulekit.answers import answer, can_be_written, can_go, is_condition
from xf2sdpa.rulekit.draft import FileDraft
from xf2sdpa.rulekit.gates import decides_for_others, hides_package
from xf2sdpa.rulekit.helper_names import has_helper, is_switched
from xf2sdpa.rulekit.messages import only_tells
from xf2sdpa.rulekit.off_limits import bars_helper
from xf2sdpa.rulekit.readers import is_named
from xf2sdpa.rulekit.releases import let_go
from xf2sdpa.rulekit.rule import Example
from xf2sdpa.rulekit.stages import Stage

STAGE = Stage.QUESTIONS
AFTER = ("removed_switches",)
CODES = {
    "XF143": "a question about the installed release is answered as the last one would",
    "XF155": "a variable that held xformers' release goes, which other programs may import",
}
NOTES = ("XF155",)
EXAMPLES = (
    Example(
        before="""\
import torch.nn.functional as F
import xformers
import xformers.ops

BROKEN = xformers.__version__.startswith("0.0.18")


def f(q, k, v):
    b, n, h, d = q.shape
    if BROKEN:
        raise RuntimeError("this release of xformers gives black images")
    return xformers.ops.memory_efficient_attention(q, k, v).flatten(2)
""",
        after="""\
import torch.nn.functional as F

BROKEN = False


def f(q, k, v):
    b, n, h, d = q.shape
    if BROKEN:
        raise RuntimeError("this release of xformers gives black images")
    return F.scaled_dot_product_attention(
        q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2)
    ).transpose(1, 2).flatten(2)
""",
        helper=True,
    ),
)


@dataclass
class _Plan:
    """What would be done, before it is known whether all questions can be answered."""

    answers: dict[int, tuple[ast.expr, bool]] = field(default_factory=dict)
    going: list[ast.stmt] = field(default_factory=list)
    versions: list[ast.Assign] = field(default_factory=list)
    shown: list[tuple[ast.If, str]] = field(default_factory=list)
    """Guards around a version that is only shown, and what is shown without xformers."""
    settled: set[int] = field(default_factory=set)

    def settle(self, node: ast.AST) -> None:
        self.settled.update(id(part) for part in ast.walk(node))


def finish(file: FileDraft) -> None:
    """Answer all questions of a file, if it needs xformers for nothing else."""
    if not file.may_lose_imports or bars_helper(file) or not (file.migrated or file.migrating):
        return
    plan = None if hides_package(file) else _planned(file)
    if plan is None or any(file.objection(edit, "XF143") for edit in _edits(plan)):
        return  # one question answered and another not would be worse than none
    for statement in plan.going:
        let_go(file, statement, "XF143", "XF155")
    for guard, text in plan.shown:
        file.replace(guard, text, "XF143")
    for node, value in plan.answers.values():
        file.answers[id(node)] = value
        if not file.is_gone(node):
            answer(file, node, value, "XF143")
        file.take_away(node)
    _drop_imports(file)


def _edits(plan: _Plan) -> Iterator[NodeEdit]:
    """All that a plan would have done."""
    yield from (ReplaceStatement(statement) for statement in plan.going)
    yield from (ReplaceStatement(guard, text) for guard, text in plan.shown)
    for node, value in plan.answers.values():
        if isinstance(node, Replaceable):
            yield ReplaceExpression(node, str(value))


def _drop_imports(file: FileDraft) -> None:
    """Drop imports that only served questions, in a file that switches on another library's use of xformers.

    `if is_xformers_available(): import xformers; …; unet.enable_xformers_memory_efficient_attention()`: whether
    xformers is there stays that library's question. An import whose failing matters stays. Of a file that is rewritten
    for something else, too, an import that is read outside such an `if` is for other rules.
    """
    for statement in file.names.imports:
        guards = guards_around(file.names, statement)
        loads = [loads_from(file.names, statement, bound_name(statement, alias)) for alias in statement.names]
        if file.migrated and not _are_within(guards, loads):
            continue
        idle = any(loads) and all(file.is_gone(load) for each in loads for load in each)
        tried = any(isinstance(guard, ast.Try | ast.With) for guard in guards)
        handed = {bound_name(statement, alias) for alias in statement.names} & file.handed_on
        asked = all(loads) and all(serves_questions(whole_name(statement, alias)) for alias in statement.names)
        if (brings_ours(statement) or asked) and idle and not tried and not handed:
            file.drop(statement, "XF143")


def _are_within(guards: Sequence[GuardNode], loads: Iterable[Iterable[ast.Name]]) -> bool:
    """Whether an `if` is around an import, and around all that reads it."""
    inside = {id(node) for guard in guards if isinstance(guard, ast.If) for node in ast.walk(guard)}
    return bool(inside) and all(id(load) in inside for each in loads for load in each)


def _planned(file: FileDraft) -> _Plan | None:
    plan, installed = _Plan(), Installed(file.names, lambda name: is_switched(file, name))
    leaves = sorted(_leaves(file, installed), key=lambda node: (node.lineno, node.col_offset))
    if any(decides_for_others(file, leaf) for leaf in leaves):
        return None
    waiting: list[tuple[ast.expr, ast.expr, object]] = []
    for leaf in leaves:
        try:
            waiting.append((leaf, *_widest(file, installed, leaf)))
        except Unanswered:
            waiting.append((leaf, leaf, None))
    for _, top, value in waiting:  # first what goes, with all that is in it
        asked = value is not None and (isinstance(value, bool) or is_condition(file, top))
        if asked and can_be_written(file, top, bool(value)):
            _plan_answer(file, plan, top, bool(value))
    for leaf, top, value in waiting:
        if id(leaf) in plan.settled or _plan_rest(file, plan, top, value):
            continue
        if not _is_variable(file, leaf):  # of a variable, the look at its assignment below decides
            return None
    for assignment in plan.versions:
        targets = [target for target in assignment.targets if isinstance(target, ast.Name)]
        if _plan_shown(file, plan, assignment, targets):
            continue
        if len(targets) != len(assignment.targets) or any(_is_read(file, plan, t) for t in targets):
            return None
        plan.going.append(assignment)
    return plan


def _is_variable(file: FileDraft, leaf: ast.expr) -> bool:
    """Whether a leaf is a variable that holds the version, not a name of ours."""
    if not isinstance(leaf, ast.Name):
        return False
    return not any(is_ours(dotted) for dotted in file.names.could_be(leaf.id, file.names.scope_at[id(leaf)]))


def _leaves(file: FileDraft, installed: Installed) -> Iterator[ast.expr]:
    """What asks: uses of our modules and of variables that hold the version, look-ups, and names as strings."""
    names = file.names
    asking = _asking(file)
    asked = names.loads if asking else names.ours & names.loads.keys()
    for load in (load for name in asked for load in names.loads[name]):
        owner = names.scope_at[id(load)].owner(load.id)
        bindings = owner.bindings[load.id] if owner else []
        if file.is_gone(load):
            continue
        if any(is_ours(binding.dotted) for binding in bindings):
            dotted = names.resolve(load)
            if dotted is not None and not has_helper(file, api_name(dotted)):
                yield load
        elif any(id(b.value) in asking for b in bindings) and _holds(installed, load):
            yield load
    yield from _of_other_files(file)
    yield from (c for c in names.calls if _asks_for_version(file, c) and not file.is_gone(c))
    ours = _bound_to_ours(file)
    for constant in names.strings:
        parent = names.parents[id(constant)]
        if not (is_ours(str(constant.value)) or constant.value in ours):
            continue
        if isinstance(parent, ast.Compare) and parent.left is constant and not file.is_gone(parent):
            yield constant
        elif isinstance(parent, ast.Call) and called_name(parent.func) == "get" and not file.is_gone(parent):
            yield parent


def _bound_to_ours(file: FileDraft) -> set[str]:
    """The variables that stand for something of ours, in any scope."""
    scopes = file.names.scopes.values()
    return {name for s in scopes for name, found in s.bindings.items() if any(is_ours(b.dotted) for b in found)}


def _of_other_files(file: FileDraft) -> Iterator[ast.expr]:
    """Uses of a module of ours that another file hands on: by a star, or as an attribute of that file's module."""
    for load, dotted in file.names.from_stars():
        if dotted in MODULES | {"xformers"} and not file.is_gone(load):
            yield load
    taken = {path.rpartition(".")[2] for path, ours in file.names.meanings.items() if ours in MODULES | {"xformers"}}
    for loads in file.names.loads.values() if taken else ():
        for load in loads:
            node: ast.expr = load
            while isinstance(parent := file.names.parents[id(node)], ast.Attribute):
                node = parent
                if node.attr in taken and file.names.resolve(node) in MODULES | {"xformers"} and not file.is_gone(node):
                    yield node
                    break


@functools.lru_cache(maxsize=2)
def _asking(file: FileDraft) -> set[int]:
    """The `id`s of all nodes in which the version of xformers is read."""
    names = file.names
    found: list[ast.expr] = [c for c in names.calls if _asks_for_version(file, c)]
    read = (node for node in names.parsed.of(ast.Attribute) if node.attr == "__version__")
    found += (node for node in read if is_ours(names.resolve(node)))
    return {id(around) for node in found for around in (node, *names.ancestors(node))}


def _asks_for_version(file: FileDraft, call: ast.Call) -> bool:
    return looks_up(file.names, call) and called_name(call.func) == "version"


def _holds(installed: Installed, load: ast.Name) -> bool:
    """Whether a variable holds the version."""
    try:
        installed.answer(load)
    except Unanswered:
        return False
    return True


def _widest(file: FileDraft, installed: Installed, leaf: ast.expr) -> tuple[ast.expr, object]:
    """The largest expression around a leaf that can be answered, and its value."""
    node: ast.AST = leaf
    found: tuple[ast.expr, object] | None = None
    while isinstance(node, ast.expr | ast.comprehension | ast.keyword):
        if isinstance(node, ast.expr) and _is_replaceable(file, node):
            try:
                found = node, installed.answer(node)
            except Unanswered:
                if found is not None and not isinstance(found[1], str | Release | Present):
                    break
        node = file.names.parents[id(node)]
    if found is None:
        raise Unanswered
    return found


def _is_replaceable(file: FileDraft, node: ast.expr) -> bool:
    """Whether something can be written in the place of an expression; `a and b` only as a whole assignment."""
    return not isinstance(node, ast.BoolOp) or isinstance(file.names.parents[id(node)], ast.Assign)


def _plan_answer(file: FileDraft, plan: _Plan, node: ast.expr, value: bool) -> None:
    statement = file.names.parents[id(node)]
    idle = isinstance(statement, ast.If) and statement.test is node and not value and not statement.orelse
    idle = idle or (isinstance(statement, ast.Assert) and statement.test is node and value)
    if idle and can_go(file, [statement]):
        assert isinstance(statement, ast.stmt)
        plan.going.append(statement)
        plan.settle(statement)
        return
    plan.answers[id(node)] = node, value
    plan.settle(node)


def _plan_rest(file: FileDraft, plan: _Plan, node: ast.expr, value: object) -> bool:
    """What becomes of a question without a yes or no: it is said, or kept in a variable; whether that is all."""
    if isinstance(node, ast.Constant):
        return True  # a string that asks nothing
    statement = file.names.statement(node)
    is_version = isinstance(value, str | Release) and id(node) in _asking(file)
    if is_version and isinstance(statement, ast.Assign) and statement.value is node:
        plan.versions.append(statement)
        plan.settle(statement)
        return True
    if only_tells(file, statement) and isinstance(value, str | Release):
        plan.going.append(statement)
        plan.settle(statement)
        return True
    return False


def _plan_shown(file: FileDraft, plan: _Plan, assignment: ast.Assign, targets: list[ast.Name]) -> bool:
    """A version that is only looked up to be shown becomes what the code shows where xformers is missing.

    `if is_xformers_available(): import xformers; release = xformers.__version__`, with `release = "N/A"` in the `else`
    or before it.
    """
    guard = file.names.parents[id(assignment)]
    if not (isinstance(guard, ast.If) and "xformers" in ast.unparse(guard.test) and len(targets) == 1):
        return False
    if not all(brings_ours(statement) or statement is assignment for statement in guard.body):
        return False
    name = targets[0].id
    bindings = scope_of(file.names, assignment).bindings[name]
    others = [b.node for b in bindings if b.node is not assignment]
    if len(others) != 1 or not isinstance(others[0], ast.Assign) or not isinstance(others[0].value, ast.Constant):
        return False
    if guard.orelse not in ([], [others[0]]) or others[0].lineno > (guard.end_lineno or 0):
        return False
    plan.shown.append((guard, source_of(guard.orelse[0], file.lines) if guard.orelse else ""))
    plan.settle(guard)
    return True


def _is_read(file: FileDraft, plan: _Plan, target: ast.Name) -> bool:
    """Whether a variable that holds the version is read, also by its name; an attribute of a class may be anywhere."""
    scope = scope_of(file.names, file.names.statement(target))
    if isinstance(scope.node, ast.ClassDef) or target.id in file.handed_on or is_named(file, target.id):
        return True
    loads = loads_of(file.names, target.id, scope)
    return any(id(x) not in plan.settled and not file.is_gone(x) for x in loads)
