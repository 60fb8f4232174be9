"""Imports of xformers go when nothing in the file uses them any more.

So does the guard around them, if it held nothing but imports that go: the `try` with its message, the
`if is_xformers_available():` with its `else: xformers = None`. A guard that sets a flag stays whole, because other
code reads the flag to choose its path. Names that other files import from this one, that `__all__` lists or that a
string names stay as well, and so does what an `__init__.py` imports for others. Where operators are read that the
import registers with torch, all imports stay.

What remains comes from the helper by one import. A default that stood in for the import (`xops = None`) goes with it,
and so do `warnings` and `packaging`, if only questions about xformers read them.
"""

from __future__ import annotations

import ast
import itertools
import textwrap

from xf2sdpa.analysis.api import api_name, is_ours
from xf2sdpa.analysis.flow import block_of, loads_of
from xf2sdpa.analysis.imports import (
    GuardNode,
    ImportNode,
    alias_name,
    bound_name,
    brings_ours,
    guards_around,
    is_message,
    loads_from,
    outermost_guard,
    scope_of,
    serves_questions,
    whole_name,
)
from xf2sdpa.analysis.spans import source_of, span_of
from xf2sdpa.edits.kinds import AddImport, RemoveAliases, ReplaceStatement
from xf2sdpa.model import Finding
from xf2sdpa.rulekit.draft import FileDraft
from xf2sdpa.rulekit.helper_names import SWITCH, has_helper
from xf2sdpa.rulekit.off_limits import bars_helper, registered_operators
from xf2sdpa.rulekit.readers import is_reexported, is_wanted_as_it_is
from xf2sdpa.rulekit.rule import Example
from xf2sdpa.rulekit.spelling import import_line, last_import

ORDER = 90
CODES = {
    "XF140": "an import that nothing uses any more is removed, or comes from the helper module",
    "XF401": "xformers is still imported here",
}
_SWITCH_ADVICE = (
    "If it is only there for diffusers' enable_xformers_memory_efficient_attention: delete that call, SDPA is the "
    "default there."
)
EXAMPLES = (
    Example(
        before="""\
import torch.nn.functional as F

try:
    import xformers.ops as xops
except ImportError:
    print("xformers is not installed")


def f(q, k, v):
    b, n, h, d = q.shape
    return xops.memory_efficient_attention(q, k, v).flatten(2)
""",
        after="""\
import torch.nn.functional as F


def f(q, k, v):
    b, n, h, d = q.shape
    return F.scaled_dot_product_attention(
        q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2)
    ).transpose(1, 2).flatten(2)
""",
    ),
)


def finish(file: FileDraft) -> None:
    """Remove what is unused, until nothing more falls away; name what stays."""
    settled: set[int] = set()
    if not (file.migrated or file.compat_names):
        _report_kept(file, settled)
        return
    statements = sorted(file.names.imports, key=lambda statement: statement.lineno)
    _gather(file, statements)
    for _ in range(3):  # a guard that goes may be the last use of another import
        before = len(file.edits)
        _drop_empty_branches(file)
        for statement in statements:
            if id(statement) not in settled and id(statement) not in file.gone and _remove(file, statement):
                settled.add(id(statement))
        if len(file.edits) == before:
            break
    _drop_defaults(file)
    if file.pending():
        file.edits.append(AddImport(import_line(file.compat or "", file.pending()), last_import(file)))
    _report_kept(file, settled)


def _gather(file: FileDraft, statements: list[ImportNode]) -> None:
    """Let the first import at the top of the file that goes to the helper bring what the others there bring."""
    if not file.may_lose_imports or bars_helper(file):
        return
    for statement in statements:
        free = id(statement) not in file.gone and outermost_guard(file.names, statement) is None
        if free and brings_ours(statement) and scope_of(file.names, statement) is file.names.module:
            file.for_the_top.update(_helped(file, statement))


def _helped(file: FileDraft, statement: ImportNode) -> dict[str, str]:
    """The names of an import that the helper has and something reads, by what they are called here."""
    found = {}
    for alias in statement.names if isinstance(statement, ast.ImportFrom) else ():
        name, api = bound_name(statement, alias), api_name(whole_name(statement, alias))
        helps = has_helper(file, api) and not is_wanted_as_it_is(file, statement, name)
        if helps and not _is_unused(file, statement, alias):
            found[name] = api or ""
    return found


def _remove(file: FileDraft, statement: ImportNode) -> bool:
    """Take the unused names out of an import; whether anything went."""
    unused = {alias_name(alias) for alias in statement.names if _is_unused(file, statement, alias)}
    guard = outermost_guard(file.names, statement)
    helped = file.may_lose_imports and brings_ours(statement) and not bars_helper(file)
    if helped and guard is None and _from_helper(file, statement, unused):
        return True
    if helped and guard is not None:
        return _in_its_frame(file, statement, unused)
    if not unused:
        return False
    whole = len(unused) == len({alias_name(alias) for alias in statement.names})
    if guard is None:
        file.edits.append(RemoveAliases(statement, frozenset(unused)))
        if whole:
            file.take_away(statement)
        return True
    if whole and _is_only_a_guard(file, guard):
        file.edits.append(ReplaceStatement(guard))
        file.take_away(guard)
        return True
    if whole and not brings_ours(statement) and _leaves_a_branch(file, statement):
        file.edits.append(RemoveAliases(statement, frozenset(unused)))
        file.take_away(statement)
        return True
    if isinstance(guard, ast.Try) and statement in guard.body and _holds_only_imports(guard):
        file.edits.append(RemoveAliases(statement, frozenset(unused)))
        file.take_away(statement)
        return True
    return False


def _leaves_a_branch(file: FileDraft, statement: ImportNode) -> bool:
    """Whether a statement stands in branches only, none of them a `try`, and something stays beside it."""
    branches = all(isinstance(guard, ast.If) for guard in guards_around(file.names, statement))
    return branches and any(s is not statement and id(s) not in file.gone for s in block_of(file.names, statement))


def _from_helper(file: FileDraft, statement: ImportNode, unused: set[str], *, pending: bool = True) -> bool:
    """Turn an import of names that the helper has into one from the helper; what it has not stays."""
    served = _helped(file, statement)
    here = pending and scope_of(file.names, statement) is file.names.module
    file.compat_names.update(served)
    helped = {**file.for_the_top, **file.pending()} if here else served
    if not (helped or served):
        return False
    left = (alias for alias in statement.names if alias_name(alias) not in unused)
    kept = [alias for alias in left if bound_name(statement, alias) not in served]
    place = _place_beside(file, statement, helped) if here and helped else None
    lines = [_import_of(statement, kept)] if kept else []
    line = import_line(file.compat or "", helped)
    lines += [line] if helped and place is None else []
    file.edits.append(ReplaceStatement(statement, "\n".join(lines)))
    if place is not None:
        file.edits.append(AddImport(line, place))
    file.take_away(statement)
    file.bound_in_place.update(helped)
    if here:
        file.bind_at_top(helped, place or statement)
        file.for_the_top.clear()
    return True


def _place_beside(file: FileDraft, statement: ImportNode, helped: dict[str, str]) -> ast.stmt | None:
    """The import after which the helper's is to stand, if not in the place of an old one.

    A relative one goes behind absolute ones, beside other relative ones; a comment for type checkers stays behind.
    """
    body = file.tree.body
    if statement not in body:
        return None
    imports = (ast.Import, ast.ImportFrom)
    run = list(itertools.takewhile(lambda s: isinstance(s, imports), body[body.index(statement) + 1 :]))
    theirs = [s for s in run if isinstance(s, imports) and not brings_ours(s)]
    relative = [s for s in theirs if isinstance(s, ast.ImportFrom) and s.level]
    clear = not file.handed_on & set(helped)  # who imports this file in a circle finds them bound early
    clear &= not any(bound_name(s, alias) in {*helped, "*"} for s in theirs for alias in s.names)
    if (file.compat or "").startswith(".") and len(relative) < len(theirs) and clear:
        return (relative or theirs)[-1]
    ignored = "ignore" in file.lines[(statement.end_lineno or statement.lineno) - 1].partition("#")[2]
    return statement if ignored else None


def _drop_defaults(file: FileDraft) -> None:
    """Drop `name = None` that stood in for an import: the helper's import binds the name now, or nothing reads it."""
    for statement in file.tree.body:
        target = statement.targets[0] if isinstance(statement, ast.Assign) and len(statement.targets) == 1 else None
        if not isinstance(target, ast.Name) or id(statement) in file.gone:
            continue
        bindings = file.names.module.bindings[target.id]
        imports = [binding.node for binding in bindings if is_ours(binding.dotted)]
        stands_in = any(binding.node is statement and binding.is_fallback for binding in bindings)
        if stands_in and imports and (_is_bound_later(file, target) or _is_lost(file, target, imports)):
            file.edits.append(ReplaceStatement(statement))
            file.take_away(statement)


def _drop_empty_branches(file: FileDraft) -> None:
    """Drop `if FLAG:` of which nothing is left, instead of leaving it a `pass`."""
    replaced = {id(edit.node) for edit in file.edits if isinstance(edit, ReplaceStatement) and edit.text}
    for node in ast.walk(file.tree):
        if not isinstance(node, ast.If) or not isinstance(node.test, ast.Name) or node.orelse or id(node) in file.gone:
            continue
        is_elif = file.lines[node.lineno - 1][node.col_offset :].startswith("elif")
        if not is_elif and all(id(s) in file.gone - replaced for s in node.body):
            file.edits.append(ReplaceStatement(node))
            file.take_away(node)


def _is_bound_later(file: FileDraft, target: ast.Name) -> bool:
    """Whether the helper's import binds a variable before anything reads it."""
    line = file.bound_at_top.get(target.id, 0)
    return target.lineno < line and not any(target.lineno < load.lineno < line for load in _read(file, target))


def _is_lost(file: FileDraft, target: ast.Name, imports: list[ast.AST]) -> bool:
    """Whether nothing reads a variable any more, and the imports that bound it are gone."""
    gone = all(id(node) in file.gone for node in imports)
    return gone and not is_reexported(file, target.id) and not _read(file, target)


def _read(file: FileDraft, target: ast.Name) -> list[ast.Name]:
    return [load for load in loads_of(file.names, target.id, file.names.module) if id(load) not in file.gone]


def _import_of(statement: ImportNode, kept: list[ast.alias]) -> str:
    if isinstance(statement, ast.ImportFrom):
        return ast.unparse(ast.ImportFrom(statement.module, kept, statement.level))
    return ast.unparse(ast.Import(kept))


def _in_its_frame(file: FileDraft, statement: ImportNode, unused: set[str]) -> bool:
    """Take an import out of a guard that does more: nothing in it can fail any more, so it goes its usual way."""
    if _from_helper(file, statement, unused, pending=False):
        return True
    if not unused:
        return False
    if len(unused) < len({alias_name(alias) for alias in statement.names}):
        file.edits.append(RemoveAliases(statement, frozenset(unused)))
        return True
    inner = guards_around(file.names, statement)[-1]
    left = [s for s in inner.body if s is not statement and id(s) not in file.gone]
    if not isinstance(inner, ast.If) and statement in inner.body and all(map(_cannot_fail, left)):
        return _take_the_way(file, inner, left)
    file.edits.append(RemoveAliases(statement, frozenset(unused)))
    file.take_away(statement)
    return True


def _cannot_fail(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.Pass) or (
        isinstance(statement, ast.Return) and isinstance(statement.value, ast.Constant)
    )


def _take_the_way(file: FileDraft, guard: ast.Try | ast.With, left: list[ast.stmt]) -> bool:
    """Put what a guard does when nothing fails in its place; whether that can be written down."""
    returns = [statement for statement in left if isinstance(statement, ast.Return)][:1]
    after = [*guard.orelse, *guard.finalbody] if isinstance(guard, ast.Try) else []
    if returns and after:
        return False
    texts = [_text_of(file, statement) for statement in (*returns, *after)]
    if None in texts:
        return False
    file.edits.append(ReplaceStatement(guard, "\n".join(text for text in texts if text)))
    file.take_away(guard)
    for statement in (*returns, *after):
        file.give_back(statement)
    return True


def _text_of(file: FileDraft, statement: ast.stmt) -> str | None:
    """The text of a statement, for another indentation; None where something in it changes, or its strings would."""
    parts = list(ast.walk(statement))
    edited = {id(edit.node) for edit in file.edits if not isinstance(edit, AddImport)}
    if any(id(part) in edited or (isinstance(part, ast.Call) and _looks_up(part)) for part in parts):
        return None
    strings = (part for part in parts if isinstance(part, ast.Constant | ast.JoinedStr))
    if getattr(statement, "decorator_list", ()) or any(part.end_lineno != part.lineno for part in strings):
        return None
    lines = file.lines[statement.lineno - 1 : statement.end_lineno]
    if lines[0][: statement.col_offset].strip() or ";" in lines[-1]:
        return source_of(statement, file.lines) if len(lines) == 1 else None
    above = itertools.takewhile(
        lambda line: line.lstrip().startswith("#"), reversed(file.lines[: statement.lineno - 1])
    )
    comments = list(above)[::-1]
    if any(len(line) - len(line.lstrip()) < statement.col_offset for line in comments):
        return None
    return textwrap.dedent("".join([*comments, *lines])).rstrip()


def _looks_up(call: ast.Call) -> bool:
    """Whether a call is a question about xformers, which may be answered yet."""
    first = call.args[0] if call.args else None
    return isinstance(first, ast.Constant) and isinstance(first.value, str) and is_ours(first.value)


def _holds_only_imports(guard: ast.Try) -> bool:
    """Whether a `try` sets no flag, so that it serves its other imports as well without ours."""
    if guard.orelse or guard.finalbody or not all(isinstance(s, ast.Import | ast.ImportFrom) for s in guard.body):
        return False
    theirs = {bound_name(s, a) for s in guard.body if isinstance(s, ast.Import | ast.ImportFrom) for a in s.names}
    handled = [s for handler in guard.handlers for s in handler.body]
    return all(is_message(s) or isinstance(s, ast.Pass | ast.Raise) or _assigns_only(s, theirs) for s in handled)


def _assigns_only(statement: ast.stmt, names: set[str]) -> bool:
    if not isinstance(statement, ast.Assign):
        return False
    return all(isinstance(target, ast.Name) and target.id in names for target in statement.targets)


def _is_unused(file: FileDraft, statement: ImportNode, alias: ast.alias) -> bool:
    """Whether an import is ours, or only served what went, and nothing that stays needs the name."""
    name = bound_name(statement, alias)
    if alias.name == "*":
        return brings_ours(statement) and not file.handed_on and _star_is_idle(file)
    loads = loads_from(file.names, statement, name)
    if isinstance(scope_of(file.names, statement).node, ast.ClassDef):
        return False  # an attribute, which anybody may read
    if is_reexported(file, name, used=bool(loads)):
        return False
    if any(id(load) not in file.gone for load in loads):
        return False
    whole = whole_name(statement, alias)
    if is_ours(whole) and registered_operators(file):
        return False
    handed = whole in file.names.meanings
    served_us = handed or "xformers" in name.lower() or serves_questions(whole)
    return is_ours(whole) or (bool(loads) and served_us)


def _star_is_idle(file: FileDraft) -> bool:
    """Whether all names of ours that only a star explains are gone, or come from the helper."""
    stars = [load for load, dotted in file.names.from_stars() if is_ours(dotted)]
    served = set(file.compat_names)
    return bool(stars) and all(id(load) in file.gone or load.id in served for load in stars)


def _is_only_a_guard(file: FileDraft, guard: GuardNode) -> bool:
    """Whether a guard holds nothing but imports that go and what is said or put in their place."""
    if isinstance(guard, ast.With):
        return all(_is_idle(file, statement) for statement in guard.body)
    if isinstance(guard, ast.If):
        about = "xformers" in ast.dump(guard.test).lower()
        idle = all(_is_idle(file, s) for s in (*guard.body, *guard.orelse))
        return about and idle and not _is_asked_elsewhere(file, guard)
    parts = [*guard.body, *guard.orelse, *guard.finalbody]
    handled = [s for handler in guard.handlers for s in handler.body]
    return all(_is_idle(file, s) for s in parts) and all(_is_idle(file, s) or isinstance(s, ast.Raise) for s in handled)


def _is_asked_elsewhere(file: FileDraft, guard: ast.If) -> bool:
    """Whether other code chooses its path by what the guard's condition asks."""
    inside = {id(node) for node in ast.walk(guard)}
    asked = {node.id for node in ast.walk(guard.test) if isinstance(node, ast.Name)}
    loads = [load for name in asked for load in file.names.loads.get(name, ())]
    return bool(asked & file.handed_on) or any(id(load) not in inside | file.gone for load in loads)


def _is_idle(file: FileDraft, statement: ast.stmt) -> bool:
    """Whether nothing is lost with a statement: an unused import of ours, `xops = None`, a message, `pass`."""
    if isinstance(statement, ast.Import | ast.ImportFrom):
        return all(_is_unused(file, statement, alias) for alias in statement.names)
    if isinstance(statement, ast.Assign) and isinstance(statement.value, ast.Constant):
        return statement.value.value is None and all(_is_unread(file, target) for target in statement.targets)
    return isinstance(statement, ast.Pass) or is_message(statement)


def _is_unread(file: FileDraft, target: ast.expr) -> bool:
    if not isinstance(target, ast.Name) or is_reexported(file, target.id):
        return False
    loads = loads_of(file.names, target.id, scope_of(file.names, file.names.statement(target)))
    return all(id(load) in file.gone for load in loads)


def _report_kept(file: FileDraft, settled: set[int]) -> None:
    for statement in file.names.imports:
        if id(statement) in settled or id(statement) in file.gone or not brings_ours(statement):
            continue
        names = ", ".join(sorted({bound_name(statement, alias) for alias in statement.names}))
        guarded = outermost_guard(file.names, statement) is not None and all(
            _is_unused(file, statement, a) for a in statement.names
        )
        reason = "the guard around it decides which path runs" if guarded else f"{names} is still used"
        if registered_operators(file):
            reason = "it registers operators that are read here (XF404)"
        advice = _SWITCH_ADVICE if SWITCH.search(file.text) else ""
        span = span_of(statement, file.lines)
        file.findings.append(Finding(file.path, span, "XF401", f"xformers is still imported: {reason}", advice))
