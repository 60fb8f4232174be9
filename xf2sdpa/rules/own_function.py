"""The project's own function takes over where it has one for those who lack xformers.

`try: from xformers.ops import memory_efficient_attention / except ImportError: …` becomes what stands in the `except`
(`if HAS_XFORMERS: … else: …` what stands in the `else`), if that binds the name to a function which calls SDPA, defined
there or imported from another file of the project, and if the function takes what every call of the file gives: no
helper is made beside it, and the calls stay as they are. That it computes what xformers computes is assumed; it is what
ran without xformers all along.
"""

from __future__ import annotations

import ast
import itertools
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass

from xf2sdpa.analysis.api import ATTENTION
from xf2sdpa.analysis.flow import loads_of
from xf2sdpa.analysis.imports import ImportNode, alias_name, brings_ours, is_message
from xf2sdpa.analysis.names import below
from xf2sdpa.codes import OWN_FUNCTION
from xf2sdpa.edits.kinds import ReplaceStatement
from xf2sdpa.model import Way
from xf2sdpa.rulekit.draft import CallDraft, FileDraft, Settled
from xf2sdpa.rulekit.messages import only_tells
from xf2sdpa.rulekit.rule import Example
from xf2sdpa.rulekit.stages import Stage

STAGE = Stage.SCOPE
AFTER = ("probe",)
CODES = {OWN_FUNCTION: "the project's own function takes over"}
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


@dataclass(frozen=True)
class _Choice:
    """A statement that brings the operator from xformers in one arm, and the project's own function in another.

    Attributes:
        node: the `try` or `if`.
        own: the statements of the other arm.
        opening: the line that opens that arm.
    """

    node: ast.Try | ast.If
    own: list[ast.stmt]
    opening: int


def decide(draft: CallDraft) -> None:
    """Let the project's own function take over, with the guard that chooses between the two."""
    function = draft.site.node.func
    named = isinstance(function, ast.Name) and function.id == ATTENTION
    choice = _choice(draft.file, function.id) if named and isinstance(function, ast.Name) else None
    if choice is None:
        return
    taken = [s for s in choice.own if not is_message(s) and not isinstance(s, ast.Pass)]
    text = _text(draft.file, choice, taken)
    if not text:
        return
    draft.edits.append(ReplaceStatement(choice.node, text))
    draft.lost.append(choice.node)
    draft.kept += [*taken, function]
    draft.code, draft.message = OWN_FUNCTION, f"by the project's own {ATTENTION}"
    draft.assume(f"the project's own {ATTENTION} computes what xformers' does", Way.INDEX)
    raise Settled


def _choice(file: FileDraft, name: str) -> _Choice | None:
    """What at the top of the file binds a name to xformers' operator or to a function that does the same."""
    found = [choice for statement in file.tree.body if (choice := _as_choice(file, statement, name)) is not None]
    guards = [s for s in file.tree.body if isinstance(s, ast.Try | ast.If) and _brings(s, name)]
    if len(found) != 1 or len(guards) != 1 or name in file.handed_on:
        return None
    function = next(_functions(file, found[0].own, name), None)
    calls = [file.names.parents[id(load)] for load in loads_of(file.names, name, file.names.module)]
    fit = function is not None and all(isinstance(c, ast.Call) and _fits(c, function, name) for c in calls)
    return found[0] if fit else None


def _brings(statement: ast.stmt, name: str) -> bool:
    imports = (part for part in ast.walk(statement) if isinstance(part, ast.ImportFrom))
    return any(alias_name(alias) == name for part in imports for alias in part.names)


def _as_choice(file: FileDraft, node: ast.stmt, name: str) -> _Choice | None:
    """`try: import … / except: own`; `if HAS_XFORMERS: import … else: own`, and the same the other way round."""
    if isinstance(node, ast.Try):
        plain = not (node.orelse or node.finalbody) and len(node.handlers) == 1 and not node.handlers[0].name
        ours, own = node.body, node.handlers[0].body if node.handlers else []
        opening = node.handlers[0].lineno if node.handlers else 0
    elif isinstance(node, ast.If):
        answer = file.names.asks_for_package(node.test)
        ours, own = (node.body, node.orelse) if answer else (node.orelse, node.body)
        plain = bool(ours and own) and answer is not None
        opening = _opening(file, own[0]) if plain else 0
    else:
        return None
    if not plain or not opening:
        return None
    first, *rest = ours
    one = isinstance(first, ast.ImportFrom) and [alias_name(alias) for alias in first.names] == [name]
    fit = (
        one and brings_ours(first) and all(only_tells(file, s) for s in rest) and all(_may_stand(s, name) for s in own)
    )
    return _Choice(node, own, opening) if fit else None


def _opening(file: FileDraft, first: ast.stmt) -> int:
    """The line above an arm's first statement that opens the arm, past comments; 0 if it is none of its own."""
    line = first.lineno - 1
    while not file.lines[line - 1].strip().partition("#")[0]:
        line -= 1
    return line if file.lines[line - 1].partition("#")[0].rstrip().endswith(":") else 0


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
        elif isinstance(statement, ast.ImportFrom) and name in map(alias_name, statement.names):
            source = below("." * statement.level + (statement.module or ""), statement.names[0].name)
            found = ast.parse(file.own_functions.get(source, "pass")).body[0]
        else:
            continue
        text = "\n".join(ast.unparse(s) for s in getattr(found, "body", ()) if not _is_docstring(s))
        if isinstance(found, ast.FunctionDef) and "scaled_dot_product_attention(" in text and "xformers" not in text:
            yield found


def _is_docstring(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)


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


def _text(file: FileDraft, choice: _Choice, taken: list[ast.stmt]) -> str:
    """What the own arm does, with its comments, as statements of the module; empty where that cannot be written."""
    texts = []
    end = choice.opening
    for statement in choice.own:
        if statement.lineno <= end or _holds_lines(file, statement):
            return ""
        lines = file.lines[end : statement.end_lineno]
        end = statement.end_lineno or end
        texts += ["".join(lines)] if statement in taken else []
    text = textwrap.dedent("".join(texts)).strip()
    above = reversed(file.lines[: choice.node.lineno - 1])
    blank = sum(1 for _ in itertools.takewhile(lambda line: not line.strip(), above))
    return "\n" * (2 - blank) + text if isinstance(taken[0], ast.FunctionDef) else text


def _holds_lines(file: FileDraft, statement: ast.stmt) -> bool:
    """Whether a string, or what a backslash continues, would change with its indentation.

    A docstring may: its lines move with the function, as long as all are indented at least as far.
    """
    margin = file.lines[statement.lineno - 1][: statement.col_offset]
    docstrings = {
        id(part.body[0].value)
        for part in ast.walk(statement)
        if isinstance(part, ast.FunctionDef | ast.ClassDef) and isinstance(part.body[0], ast.Expr)
    }
    for part in ast.walk(statement):
        if isinstance(part, ast.Constant | ast.JoinedStr) and part.end_lineno != part.lineno:
            inner = file.lines[part.lineno : part.end_lineno]
            if id(part) not in docstrings or not all(x.startswith(margin) for x in inner if x.strip()):
                return True
    return False
