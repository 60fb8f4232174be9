"""The project's own function takes over where it has one for those who lack xformers.

`try: from xformers.ops import memory_efficient_attention / except ImportError: …` becomes what stands in the `except`,
if that binds the name to a function which calls SDPA, defined there or imported from another file of the project, and
if the function takes what every call of the file gives: no helper is made beside it, and the calls stay as they are.
That it computes what xformers computes is assumed; it is what ran without xformers all along.
"""

from __future__ import annotations

import ast
import textwrap
from collections.abc import Iterator

from xf2sdpa.analysis.api import ATTENTION
from xf2sdpa.analysis.flow import loads_of
from xf2sdpa.analysis.imports import ImportNode, bound_name, brings_ours, is_message
from xf2sdpa.analysis.names import below
from xf2sdpa.edits.kinds import ReplaceStatement
from xf2sdpa.rulekit.draft import CallDraft, FileDraft, Settled
from xf2sdpa.rulekit.rule import Example
from xf2sdpa.rulekit.stages import Stage

STAGE = Stage.SCOPE
AFTER = ("probe",)
CODES = {"XF163": "the project's own function takes over"}
EXAMPLES = (
    Example(
        before="""\
import torch.nn.functional as F

try:
    from xformers.ops import memory_efficient_attention
except ImportError:

    def memory_efficient_attention(q, k, v):
        q, k, v = (x.transpose(1, 2) for x in (q, k, v))
        return F.scaled_dot_product_attention(q, k, v).transpose(1, 2)


def attend(q, k, v):
    return memory_efficient_attention(q, k, v)
""",
        after="""\
import torch.nn.functional as F


def memory_efficient_attention(q, k, v):
    q, k, v = (x.transpose(1, 2) for x in (q, k, v))
    return F.scaled_dot_product_attention(q, k, v).transpose(1, 2)


def attend(q, k, v):
    return memory_efficient_attention(q, k, v)
""",
    ),
)
_PARAMETERS = ("attn_bias", "p", "scale", "op")
"""Of the operator, behind query, key and value."""


def decide(draft: CallDraft) -> None:
    """Let the project's own function take over, with the guard that chooses between the two."""
    function = draft.site.node.func
    guard = _guard(draft.file, function.id) if isinstance(function, ast.Name) and function.id == ATTENTION else None
    if guard is None:
        return
    taken = [s for s in guard.handlers[0].body if not is_message(s) and not isinstance(s, ast.Pass)]
    text = _text(draft.file, guard, taken)
    if not text:
        return
    draft.edits.append(ReplaceStatement(guard, text))
    draft.lost.append(guard)
    draft.kept += [*taken, function]
    draft.code, draft.message = "XF163", f"by the project's own {ATTENTION}"
    draft.assume(f"the project's own {ATTENTION} computes what xformers' does")
    raise Settled


def _guard(file: FileDraft, name: str) -> ast.Try | None:
    """The `try` at the top of the file that binds a name to xformers' operator or to a function that does the same."""
    guards = [s for s in file.tree.body if isinstance(s, ast.Try) and any(map(brings_ours, s.body))]
    guard = guards[0] if len(guards) == 1 else None
    if guard is None or name in file.handed_on or not _is_plain(guard, name):
        return None
    function = next(_functions(file, guard.handlers[0].body, name), None)
    calls = [file.names.parents[id(load)] for load in loads_of(file.names, name, file.names.module)]
    fit = function is not None and all(isinstance(c, ast.Call) and _fits(c, function, name) for c in calls)
    return guard if fit else None


def _is_plain(guard: ast.Try, name: str) -> bool:
    """Whether a `try` does no more than import the operator, or else bind the name otherwise."""
    if guard.orelse or guard.finalbody or len(guard.handlers) != 1 or guard.handlers[0].name:
        return False
    first, *rest = guard.body
    one = isinstance(first, ast.ImportFrom) and [bound_name(first, alias) for alias in first.names] == [name]
    return one and all(map(is_message, rest)) and all(_may_stand(s, name) for s in guard.handlers[0].body)


def _may_stand(statement: ast.stmt, name: str) -> bool:
    """Whether a statement of the handler can run in any case, or be left out."""
    if isinstance(statement, ast.FunctionDef):
        return statement.name == name and not statement.decorator_list
    imports = isinstance(statement, ImportNode) and not brings_ours(statement)
    return imports or isinstance(statement, ast.Pass) or is_message(statement)


def _functions(file: FileDraft, statements: list[ast.stmt], name: str) -> Iterator[ast.FunctionDef]:
    """The function that a handler binds a name to, if it calls SDPA."""
    for statement in statements:
        if isinstance(statement, ast.FunctionDef):
            found: ast.stmt = statement
        elif isinstance(statement, ast.ImportFrom) and name in {bound_name(statement, a) for a in statement.names}:
            source = below("." * statement.level + (statement.module or ""), statement.names[0].name)
            found = ast.parse(file.own_functions.get(source, "pass")).body[0]
        else:
            continue
        text = ast.unparse(found)
        if isinstance(found, ast.FunctionDef) and "scaled_dot_product_attention(" in text and "xformers" not in text:
            yield found


def _fits(call: ast.Call, function: ast.FunctionDef, name: str) -> bool:
    """Whether a function takes what a call gives, each argument as the parameter that it is of the operator."""
    if not (isinstance(call.func, ast.Name) and call.func.id == name):
        return False
    listed = [arg.arg for arg in (*function.args.posonlyargs, *function.args.args)]
    every = [*listed, *(arg.arg for arg in function.args.kwonlyargs)]
    if any(isinstance(a, ast.Starred) for a in call.args) or len(call.args) > len(listed):
        return False
    positional = listed[: len(call.args)]
    named = [keyword.arg or "" for keyword in call.keywords]
    given = {*positional, *named}
    required = {*listed[: len(listed) - len(function.args.defaults)]}
    required |= {a.arg for a, d in zip(function.args.kwonlyargs, function.args.kw_defaults, strict=True) if d is None}
    read = {part.id for part in ast.walk(function) if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Load)}
    in_place = tuple(positional[3:]) == _PARAMETERS[: len(positional[3:])]
    return in_place and required <= given <= set(every) and given - {"op"} <= read


def _text(file: FileDraft, guard: ast.Try, taken: list[ast.stmt]) -> str:
    """What a handler does, with its comments, as statements of the module; empty where that cannot be written."""
    texts = []
    end = guard.handlers[0].lineno
    for statement in guard.handlers[0].body:
        if statement.lineno <= end or _holds_lines(statement):
            return ""
        lines = file.lines[end : statement.end_lineno]
        end = statement.end_lineno or end
        texts += ["".join(lines)] if statement in taken else []
    text = textwrap.dedent("".join(texts)).strip("\r\n")
    blank = sum(not line.strip() for line in file.lines[max(guard.lineno - 3, 0) : guard.lineno - 1])
    return "\n" * (2 - blank) + text if isinstance(taken[0], ast.FunctionDef) else text


def _holds_lines(statement: ast.stmt) -> bool:
    """Whether a string, or what a backslash continues, would change with its indentation."""
    strings = (part for part in ast.walk(statement) if isinstance(part, ast.Constant | ast.JoinedStr))
    return any(part.end_lineno != part.lineno for part in strings)
