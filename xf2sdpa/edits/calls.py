"""Rewrites one call on LibCST's tree: its function, its arguments in place, and the layout of the result.

White space and comments between arguments stay where they are. A call that no longer fits its line is broken as
black would break it; arguments that were aligned under the opening parenthesis stay aligned.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any, cast

import libcst as cst

from xf2sdpa.edits.kinds import ArgumentEdit, CallEdit, CstPath
from xf2sdpa.edits.layout import Layout

_TIGHT = (
    cst.Name, cst.Attribute, cst.Call, cst.Subscript, cst.List, cst.Dict, cst.Set,
    cst.ListComp, cst.DictComp, cst.SetComp, cst.SimpleString,
)  # fmt: skip
"""Expressions that a method can be called on without parentheses."""
_OPPOSITE: dict[type[cst.BaseCompOp], type[cst.BaseCompOp]] = {
    cst.Is: cst.IsNot, cst.IsNot: cst.Is, cst.Equal: cst.NotEqual, cst.NotEqual: cst.Equal,
    cst.In: cst.NotIn, cst.NotIn: cst.In,
}  # fmt: skip


@functools.lru_cache(maxsize=256)
def parsed(text: str) -> cst.BaseExpression:
    """A small expression parsed; cached, as the same few recur and LibCST's nodes are immutable."""
    return cst.parse_expression(text)


def rebuild_call(call: cst.Call, edit: CallEdit, layout: Layout, module: cst.Module) -> cst.BaseExpression:
    """The new expression for a call."""
    function = parsed(edit.function)
    arguments = _edited_arguments(call, edit)
    rebuilt: cst.Call = call.with_changes(func=function, args=arguments, lpar=[], rpar=[])
    if edit.node.end_lineno != edit.node.lineno:
        rebuilt = _realign(rebuilt, call, edit, layout, module)
    else:
        rebuilt = _fit(rebuilt, edit, layout, module)
    result = _with_suffix(rebuilt, edit.suffix)
    return result.with_changes(lpar=call.lpar, rpar=call.rpar)


def _edited_arguments(call: cst.Call, edit: CallEdit) -> list[cst.Arg]:
    order = [*edit.node.args, *(keyword.value for keyword in edit.node.keywords)]
    order.sort(key=lambda value: (value.lineno, value.col_offset))
    kept: list[cst.Arg] = []
    for value, argument in zip(order, call.args, strict=True):
        change = edit.arguments.get(id(value))
        if change is not None:
            kept.append(_edited(argument, change))
        elif argument is call.args[-1] and kept:
            kept[-1] = _closing(kept[-1], argument)
    return kept


def _edited(argument: cst.Arg, change: ArgumentEdit) -> cst.Arg:
    if change.text:
        value = parsed(change.text)
    else:
        value = _wrapped(_at(argument.value, change.take), change.wrap)
        value = _with_suffix(value, change.suffix)
    if change.keyword is None:
        return argument.with_changes(value=value)
    equal = argument.equal if isinstance(argument.equal, cst.AssignEqual) else _bare_equal()
    return argument.with_changes(value=value, keyword=cst.Name(change.keyword), equal=equal)


def _bare_equal() -> cst.AssignEqual:
    empty = cst.SimpleWhitespace("")
    return cst.AssignEqual(whitespace_before=empty, whitespace_after=empty)


def _closing(last: cst.Arg, dropped: cst.Arg) -> cst.Arg:
    """The new last argument, with the comma and white space of the dropped one; a comment behind its comma stays."""
    if isinstance(last.comma, cst.Comma) and _has_comment(last.comma.whitespace_after):
        end = dropped.comma.whitespace_after if isinstance(dropped.comma, cst.Comma) else dropped.whitespace_after_arg
        spaced = cast("cst.ParenthesizedWhitespace", last.comma.whitespace_after)
        if isinstance(end, cst.ParenthesizedWhitespace):
            spaced = spaced.with_changes(indent=end.indent, last_line=end.last_line)
        return last.with_changes(comma=last.comma.with_changes(whitespace_after=spaced))
    return last.with_changes(comma=dropped.comma, whitespace_after_arg=dropped.whitespace_after_arg)


def _has_comment(space: cst.BaseParenthesizableWhitespace) -> bool:
    if not isinstance(space, cst.ParenthesizedWhitespace):
        return False
    return space.first_line.comment is not None or any(line.comment for line in space.empty_lines)


def _at(node: Any, path: CstPath) -> cst.BaseExpression:
    """The node that a path of attributes and indices leads to."""
    for step in path:
        node = node[step] if isinstance(step, int) else getattr(node, step)
    return cast("cst.BaseExpression", node)


def _wrapped(value: cst.BaseExpression, wrap: str) -> cst.BaseExpression:
    if wrap == "bool":
        return cst.Call(cst.Name("bool"), [cst.Arg(value)])
    if wrap == "not" and isinstance(value, cst.Comparison) and len(value.comparisons) == 1:
        target = value.comparisons[0]
        opposite = _OPPOSITE.get(type(target.operator))
        if opposite is not None:
            return value.with_changes(comparisons=[target.with_changes(operator=opposite())])
    if wrap == "not":
        tight = isinstance(value, (*_TIGHT, cst.UnaryOperation)) or value.lpar
        operand = value if tight else _parenthesized(value)
        return cst.UnaryOperation(cst.Not(), operand)
    return value


def _parenthesized(value: cst.BaseExpression) -> cst.BaseExpression:
    return value.with_changes(lpar=[cst.LeftParen(), *value.lpar], rpar=[*value.rpar, cst.RightParen()])


def _with_suffix(value: cst.BaseExpression, suffix: str) -> cst.BaseExpression:
    """`value` with method calls appended, such as `.transpose(1, 2).contiguous()`."""
    if not suffix:
        return value
    base = value if isinstance(value, _TIGHT) or value.lpar else _parenthesized(value)
    return _put_first(parsed(f"x{suffix}"), base)


def _put_first(chain: cst.BaseExpression, base: cst.BaseExpression) -> cst.BaseExpression:
    """The chain of calls `x.a(…).b(…)` with another expression in the place of `x`."""
    if isinstance(chain, cst.Call):
        return chain.with_changes(func=_put_first(chain.func, base))
    if isinstance(chain, cst.Attribute):
        return chain.with_changes(value=_put_first(chain.value, base))
    return base


# -- layout ------------------------------------------------------------------------------------------


def _fit(call: cst.Call, edit: CallEdit, layout: Layout, module: cst.Module) -> cst.Call:
    """A one-line call: unchanged if it fits, else with its arguments on a line of their own, else one per line."""
    line = layout.lines[edit.node.lineno - 1]
    old = (edit.node.end_col_offset or 0) - edit.node.col_offset  # in bytes: near enough for a width
    growth = len(module.code_for_node(call)) + len(edit.suffix) - old
    if len(line.rstrip()) - layout.spared.get(edit.node.lineno, 0) + growth <= layout.width:
        return call
    return _exploded(call, edit, layout, module)


def _exploded(call: cst.Call, edit: CallEdit, layout: Layout, module: cst.Module) -> cst.Call:
    inner, outer = _indents(edit, layout)
    room = layout.width - len(layout.indent(edit.node.lineno).expandtabs(4)) - len(layout.tab.expandtabs(4))
    room += min(layout.spared.get(edit.node.lineno, 0), 0)
    plain = [argument.with_changes(whitespace_after_arg=cst.SimpleWhitespace("")) for argument in call.args]
    spaced = [argument.with_changes(comma=_comma(cst.SimpleWhitespace(" "))) for argument in plain[:-1]]
    spaced.append(plain[-1].with_changes(comma=cst.MaybeSentinel.DEFAULT, whitespace_after_arg=_newline(outer)))
    text = ", ".join(module.code_for_node(a.with_changes(comma=cst.MaybeSentinel.DEFAULT)) for a in plain)
    if len(text) > room:
        spaced = [argument.with_changes(comma=_comma(_newline(inner))) for argument in plain[:-1]]
        spaced.append(plain[-1].with_changes(comma=_comma(_newline(outer))))
    return call.with_changes(args=spaced, whitespace_before_args=_newline(inner))


def _indents(edit: CallEdit, layout: Layout) -> tuple[str, str]:
    """The indents of the arguments and of the closing parenthesis."""
    own = layout.indent(edit.node.lineno)
    return own + layout.tab, own


def _newline(indent: str) -> cst.ParenthesizedWhitespace:
    return cst.ParenthesizedWhitespace(indent=False, last_line=cst.SimpleWhitespace(indent))


def _comma(after: cst.BaseParenthesizableWhitespace) -> cst.Comma:
    return cst.Comma(whitespace_after=after)


def _realign(call: cst.Call, old: cst.Call, edit: CallEdit, layout: Layout, module: cst.Module) -> cst.Call:
    """A call over several lines keeps its lines; arguments aligned under the opening parenthesis move with it."""
    if isinstance(call.whitespace_before_args, cst.ParenthesizedWhitespace):
        return _respaced(call, edit, layout, module)
    shift = len(edit.function) - len(module.code_for_node(old.func))
    return cast("cst.Call", call.visit(_Shift(shift))) if shift else call


def _respaced(call: cst.Call, edit: CallEdit, layout: Layout, module: cst.Module) -> cst.Call:
    """The call with one argument per line, if all shared one line and no longer fit it; else unchanged."""
    joined = _joined(call, edit, layout, module)
    if joined is not None:
        return joined
    spaces: Sequence[object] = [a.comma.whitespace_after for a in call.args[:-1] if isinstance(a.comma, cst.Comma)]
    if any(isinstance(space, cst.ParenthesizedWhitespace) for space in spaces) or _has_comment(
        call.whitespace_before_args
    ):
        return call
    before = cast("cst.ParenthesizedWhitespace", call.whitespace_before_args)
    first = call.args[0].with_changes(whitespace_after_arg=cst.SimpleWhitespace(""))
    text = module.code_for_node(call.with_changes(args=[first, *call.args[1:]]))
    longest = max(map(len, text.splitlines()[1:2] or [""]))
    indent = len(layout.indent(edit.node.lineno).expandtabs(4)) + len(layout.tab.expandtabs(4))
    if longest <= layout.width - (0 if not before.indent else indent - len(before.last_line.value)):
        return call
    listed = [argument.with_changes(comma=_comma(before)) for argument in call.args[:-1]]
    last = call.args[-1]
    if not isinstance(last.comma, cst.Comma):
        last = last.with_changes(comma=_comma(last.whitespace_after_arg), whitespace_after_arg=cst.SimpleWhitespace(""))
    return call.with_changes(args=[*listed, last])


def _joined(call: cst.Call, edit: CallEdit, layout: Layout, module: cst.Module) -> cst.Call | None:
    """The call on one line, if it fits now and nothing but its length had required several; else None."""
    last = call.args[-1]
    if isinstance(last.comma, cst.Comma) or not isinstance(last.whitespace_after_arg, cst.ParenthesizedWhitespace):
        return None
    flat = call.with_changes(
        whitespace_before_args=cst.SimpleWhitespace(""),
        args=[*call.args[:-1], last.with_changes(whitespace_after_arg=cst.SimpleWhitespace(""))],
    )
    text = module.code_for_node(flat)
    if "\n" in text or _has_comment(call.whitespace_before_args) or _has_comment(last.whitespace_after_arg):
        return None
    node = edit.node
    head = layout.lines[node.lineno - 1].encode()[: node.col_offset].decode()
    tail = layout.lines[(node.end_lineno or node.lineno) - 1].encode()[node.end_col_offset or 0 :].decode()
    return flat if len(head.expandtabs(4)) + len(text) + len(edit.suffix) + len(tail) <= layout.width else None


class _Shift(cst.CSTTransformer):
    """Moves the continuation lines of a call to the right by `columns`, or to the left if that is negative."""

    def __init__(self, columns: int) -> None:
        super().__init__()
        self.columns = columns

    def leave_ParenthesizedWhitespace(  # noqa: N802
        self, original_node: cst.ParenthesizedWhitespace, updated_node: cst.ParenthesizedWhitespace
    ) -> cst.ParenthesizedWhitespace:
        old = updated_node.last_line.value
        if len(old) + self.columns < 0:
            return updated_node
        new = old + " " * self.columns if self.columns > 0 else old[: len(old) + self.columns]
        return updated_node.with_changes(last_line=cst.SimpleWhitespace(new))
