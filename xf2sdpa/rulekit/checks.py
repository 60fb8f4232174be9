"""Checks in the new text: what a rewrite assumes of a mask or a rank, it checks before the call, and says so.

Where no statement can stand that runs exactly when the call does (in a lambda, a comprehension, one arm of an
expression, behind a semicolon), there is no check, and so no such rewrite.
"""

from __future__ import annotations

import ast
import textwrap

from xf2sdpa.analysis.checks import MARK
from xf2sdpa.analysis.names import Names
from xf2sdpa.analysis.spans import span_of
from xf2sdpa.edits.kinds import InsertBefore
from xf2sdpa.edits.layout import Layout
from xf2sdpa.model import Assumption, Note
from xf2sdpa.rulekit.draft import CallDraft

CHECKED = "XF307"
WAYS_OUT = (
    "If it may be otherwise: `--style compat` gives every call to the helper, which takes what comes; `--only exact` "
    "leaves the calls that rest on an assumption."
)
_SIMPLE = (ast.Assign, ast.AnnAssign, ast.AugAssign, ast.Return, ast.Expr)
_SOMETIMES = (ast.Lambda, ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp, ast.IfExp, ast.BoolOp)


def check_before(draft: CallDraft, variable: str, condition: str, message: str) -> bool:
    """Ask for a check before a call; whether there is a place for one.

    Args:
        draft: the call.
        variable: what the condition is about, a variable.
        condition: what must not hold, as code.
        message: what was assumed, as a sentence without its full stop.
    """
    statement = standing(draft, variable)
    if statement is None:
        return False
    layout = Layout.of(draft.file.text, draft.file.settings.wrap_at())
    raised = f'raise NotImplementedError("{message} {MARK}")'
    indent = len(layout.indent(statement.lineno)) + len(layout.tab)
    if indent + len(raised) > layout.width:
        raised = f"raise NotImplementedError(\n{_in_lines(f'{message} {MARK}', layout.width - indent - 6)}\n    )"
    draft.edits.append(InsertBefore(statement, f"if {condition}:\n    {raised}\n"))
    told = f"the new text checks this: `if {condition}: raise NotImplementedError`"
    draft.notes.append(Note(CHECKED, told, WAYS_OUT))
    return True


def _in_lines(message: str, room: int) -> str:
    """A message as strings in lines of their own, of a width that has room for most words."""
    lines = textwrap.wrap(message, max(room, 40), drop_whitespace=False, break_long_words=False)
    return "\n".join(f'        "{line}"' for line in lines)


def leave_out_mask(draft: CallDraft, node: ast.Name, why: str, assumption: Assumption) -> None:
    """Write a call without its mask, a variable, behind a check that it is None; nothing where no check can stand.

    Args:
        draft: the call.
        node: the mask.
        why: what the message of the check gives as the reason.
        assumption: what the report says is assumed.
    """
    if check_before(draft, node.id, f"{node.id} is not None", f"{node.id} must be None here: {why}"):
        draft.assume(assumption)
        draft.settled.add("attn_bias")
        draft.drop("attn_bias")


def standing(draft: CallDraft, variable: str) -> ast.stmt | None:
    """The statement that a check can stand before: the call's own, if both run together; else None."""
    names: Names = draft.file.names
    child: ast.AST = draft.site.node
    for parent in names.ancestors(child):  # pragma: no branch - a call stands in a statement
        if isinstance(parent, _SOMETIMES) and not _is_first(parent, child):
            return None
        if isinstance(parent, ast.stmt):
            break
        child = parent
    statement = names.statement(draft.site.node)
    assigned = any(isinstance(n, ast.NamedExpr) and n.target.id == variable for n in ast.walk(statement))
    in_function = not isinstance(names.function(statement), ast.Module)
    alone = isinstance(statement, _SIMPLE) and in_function and not assigned and _is_alone(draft, statement)
    return statement if alone else None


def _is_first(parent: ast.AST, child: ast.AST) -> bool:
    """Whether a part of an expression is evaluated whenever the whole is."""
    if isinstance(parent, ast.IfExp):
        return parent.test is child
    return isinstance(parent, ast.BoolOp) and parent.values[0] is child


def _is_alone(draft: CallDraft, statement: ast.stmt) -> bool:
    """Whether a statement has its lines for itself."""
    span, lines = span_of(statement, draft.file.lines), draft.file.lines
    before, after = lines[span.line - 1][: span.column], lines[span.end_line - 1][span.end_column :]
    return not before.strip() and after.strip()[:1] in ("", "#")
