"""Faults planted in the editor: what it might do wrong, on which program, and who must stop it.

A fault is a piece of `xf2sdpa.edits` put in the place of the real one; the last of the self-check's own is one of the
book that keeps rules off the calls that are left. A run must notice them all.
"""

from __future__ import annotations

import ast
import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import libcst as cst
import pytest

from tests.edits.programs import (
    ATTRIBUTE,
    CHAIN,
    CHAINED,
    CHOSEN,
    COMPARED,
    EMPTIED,
    HEADS_FIRST,
    LEFT,
    MASKED,
    NAMED,
    NEGATED,
    NESTED,
    PLAIN,
    QUOTED,
    SEMICOLONS,
    STAYING,
)
from xf2sdpa.edits import calls, expressions, hidden, statements
from xf2sdpa.edits.kinds import Edit, ReplaceStatement, StatementEdit
from xf2sdpa.rewrite import engine
from xf2sdpa.rulekit.draft import FileDraft

CHECK, PARSER, PAIRING = "self-check", "parser", "pairing"
OUTSIDE = "text outside the edits changed"
AGAIN = "a second run would change the file again"
OTHER = "the new text is not what the edits ask for"
LOST = "a call that is left is no longer xformers'"
UNREADABLE = "the new text does not parse"
UNEVEN = "the parsers disagree on the number of"

Plant = Callable[[pytest.MonkeyPatch], None]


@dataclass(frozen=True)
class Fault:
    """One fault.

    Attributes:
        program: a text that the real editor rewrites well.
        plant: puts the fault in the place of what is right.
        stopped_by: who notices it.
        told: what the finding says.
        helper: whether the program needs the helper module.
    """

    program: str
    plant: Plant
    stopped_by: str = CHECK
    told: str = OUTSIDE
    helper: bool = False


def other_text(change: Callable[[str], str]) -> Plant:
    """An editor whose new text is another one."""

    def make(right: Any) -> Any:
        def wrong(*arguments: Any) -> tuple[str, Any]:
            code, transcript = right(*arguments)
            assert change(code) != code, "the fault must change something"
            return change(code), transcript

        return wrong

    return other_piece(engine, "edited_text", make)


def instead(old: str, new: str) -> Plant:
    """An editor that writes one piece of text in the place of another."""
    return other_text(lambda text: text.replace(old, new, 1))


def other_piece(owner: Any, name: str, make: Callable[[Any], Any]) -> Plant:
    """An editor with one function or method made from the right one."""
    return lambda patch: patch.setattr(owner, name, make(getattr(owner, name)))


def other_edits(change: Callable[[ast.Module, Sequence[Edit]], Sequence[Edit]]) -> Plant:
    """An editor that carries out other edits than it was asked for."""

    def make(right: Any) -> Any:
        def wrong(module: cst.Module, tree: ast.Module, edits: Sequence[Edit], layout: Any) -> Any:
            return right(module, tree, change(tree, edits), layout)

        return wrong

    return other_piece(statements, "apply_edits", make)


def on_the_next_statement(tree: ast.Module, edits: Sequence[Edit]) -> list[Edit]:
    """Each edit of a statement in a function on the one that follows."""
    follows: dict[int, ast.stmt] = {}
    for node in ast.walk(tree):
        body = node.body if isinstance(node, ast.FunctionDef) else []
        follows.update({id(one): two for one, two in itertools.pairwise(body)})
    return [
        replace(edit, node=follows.get(id(edit.node), edit.node)) if isinstance(edit, ReplaceStatement) else edit
        for edit in edits
    ]


def without_statements(tree: ast.Module, edits: Sequence[Edit]) -> list[Edit]:
    return [edit for edit in edits if not isinstance(edit, StatementEdit)]


def one_too_few(kind: type[ast.expr]) -> Plant:
    """A list of LibCST's nodes in which one of a kind is missing."""

    def make(right: Any) -> Any:
        def gather(self: Any, node: cst.CSTNode) -> None:
            right(self, node)
            self.found[kind].pop()

        return gather

    return other_piece(expressions._Collector, "gather", make)


def turned_round(kind: type[ast.expr]) -> Plant:
    """A list of LibCST's nodes of one kind in the wrong order."""

    def make(right: Any) -> Any:
        def gather(self: Any, node: cst.CSTNode) -> None:
            right(self, node)
            self.found[kind].reverse()

        return gather

    return other_piece(expressions._Collector, "gather", make)


def without_last_statement(right: Any) -> Any:
    """A reading of a block in which LibCST has one statement less."""
    return lambda self, body, twins: right(self, body[:-1], twins)


def with_one_more_statement(right: Any) -> Any:
    return lambda self, body, twins: right(self, [*body, body[-1]], twins)


def bare_lines(right: Any) -> Any:
    """Edited lines that lose the comments above them."""
    return lambda self, node, twins: [line.with_changes(leading_lines=[]) for line in right(self, node, twins)]


def bare_ends(right: Any) -> Any:
    """Edited lines that lose the comment behind them."""
    plain = cst.TrailingWhitespace(whitespace=cst.SimpleWhitespace(""), newline=cst.Newline())

    def line(self: Any, node: Any, twins: Any) -> list[Any]:
        lines = right(self, node, twins)
        return [
            one.with_changes(trailing_whitespace=plain) if isinstance(one, cst.SimpleStatementLine) else one
            for one in lines
        ]

    return line


def without_decorators(right: Any) -> Any:
    def bodies(self: Any, edited: Any, node: Any, twin: Any) -> Any:
        made = right(self, edited, node, twin)
        return made.with_changes(decorators=[]) if isinstance(made, cst.FunctionDef) else made

    return bodies


def doubled_lines(right: Any) -> Any:
    """A block in which each edited line stands twice."""
    return lambda self, node, twins: [one for line in right(self, node, twins) for one in (line, line)]


def _lines_moved(text: str) -> str:
    return text.replace("    y = other(x)\n    z = other(y)\n", "    z = other(y)\n    y = other(x)\n")


def _functions_moved(text: str) -> str:
    first, second = text.index("@kept"), text.index("def second")
    return text[:first] + text[second:] + "\n\n" + text[first:second].rstrip() + "\n"


def _second_indented_by_two(text: str) -> str:
    head, _, body = text.partition("def second(x, other):\n")
    return head + "def second(x, other):\n" + body.replace("    ", "  ")


def _first_two_turned(arguments: list[cst.Arg]) -> list[cst.Arg]:
    first, second, *others = arguments
    return [second, first, *others]


def with_others_hidden(right: Any) -> Any:
    """Hidden statements that come back in the place of others."""

    def restored(self: Any, text: str) -> Any:
        self._kept[:2] = reversed(self._kept[:2])
        return right(self, text)

    return restored


def with_less_hidden(right: Any) -> Any:
    """A hidden statement that does not come back."""

    def restored(self: Any, text: str) -> Any:
        self._kept[-1] = "pass"
        return right(self, text)

    return restored


def _without(kind: str) -> Any:
    """No edit of a kind is made."""
    return lambda right: lambda self, old, new: new if type(self.edits[old]).__name__ == kind else right(self, old, new)


def _lost(right: Any) -> Any:
    """A call that is left as it is though its edit counts as made."""
    return lambda call, *_: call


STOPPED: dict[str, Fault] = {
    "an edit of a call is lost": Fault(STAYING, other_piece(expressions, "rebuild_call", _lost), told=AGAIN),
    "a comment above an edited line is dropped": Fault(PLAIN, other_piece(statements._Editor, "line", bare_lines)),
    "a comment behind an edited line is dropped": Fault(PLAIN, other_piece(statements._Editor, "line", bare_ends)),
    "decorators are lost": Fault(PLAIN, other_piece(statements._Editor, "bodies", without_decorators)),
    "a comment far from the edits is dropped": Fault(PLAIN, instead("    # why it is done\n", "")),
    "a comment stands twice": Fault(PLAIN, instead("    # why it is done\n", "    # why it is done\n" * 2)),
    "a space too many outside the edits": Fault(PLAIN, instead("(x, other)", "(x,  other)")),
    "one newline becomes another": Fault(PLAIN, instead("    y = other(x)\n", "    y = other(x)\r\n")),
    "all newlines become others": Fault(PLAIN, other_text(lambda text: text.replace("\n", "\r\n"))),
    "the last newline is lost": Fault(PLAIN, other_text(lambda text: text.rstrip("\n"))),
    "an import goes that nobody asked for": Fault(PLAIN, instead("from elsewhere import kept\n", "")),
    "the import above the one that goes, goes too": Fault(PLAIN, instead("import torch.nn.functional as F\n", "")),
    "two statements change places": Fault(PLAIN, other_text(_lines_moved)),
    "two functions change places": Fault(PLAIN, other_text(_functions_moved)),
    "a statement beside an edit stands twice": Fault(
        PLAIN, instead("    b, n, h, d = q.shape\n", "    b, n, h, d = q.shape\n" * 2)
    ),
    "a statement at the end is added": Fault(PLAIN, other_text(lambda text: f"{text}x = 1\n")),
    "a statement at the start is added": Fault(PLAIN, other_text(lambda text: f"x = 1\n{text}")),
    "a block is indented otherwise": Fault(PLAIN, other_text(_second_indented_by_two)),
    "a name beside the edit is renamed": Fault(PLAIN, instead("    out = ", "    res = ")),
    "an edit of a call on another call": Fault(NESTED, turned_round(ast.Call)),
    "an edit of an attribute on another one": Fault(ATTRIBUTE, turned_round(ast.Attribute), helper=True),
    "an edit of a comparison on another one": Fault(
        COMPARED.replace("fast = xops is not None", "fast = (n < 3, xops is not None)"),
        turned_round(ast.Compare),
        helper=True,
    ),
    "an edit of a string on another one": Fault(QUOTED, turned_round(ast.Constant), helper=True),
    "an edit of a name on another one": Fault(NAMED, turned_round(ast.Name), helper=True),
    "edits of statements on the next one": Fault(MASKED, other_edits(on_the_next_statement)),
    "an edited line stands twice": Fault(PLAIN, other_piece(statements._Editor, "line", doubled_lines), told=OTHER),
    "an edit of a call is lost, and its import goes": Fault(
        PLAIN, other_piece(expressions, "rebuild_call", _lost), told=OTHER
    ),
    "an edit of an attribute is lost": Fault(
        PLAIN,
        other_piece(expressions._Transformer, "edited", _without("Rename")),
        told=OTHER,
    ),
    "an unwrapping is lost": Fault(
        HEADS_FIRST,
        other_piece(expressions._Transformer, "edited", _without("Unwrap")),
        told=OTHER,
    ),
    "query and key change places": Fault(
        PLAIN,
        other_piece(
            calls,
            "_edited_arguments",
            lambda right: lambda call, edit: _first_two_turned(right(call, edit)),
        ),
        told=OTHER,
    ),
    "an argument is lost": Fault(
        PLAIN,
        other_piece(calls, "_edited_arguments", lambda right: lambda call, edit: right(call, edit)[:3]),
        told=OTHER,
    ),
    "what stands behind the call stands there twice": Fault(
        PLAIN,
        other_piece(calls, "_with_suffix", lambda right: lambda value, suffix: right(right(value, suffix), suffix)),
        told=OTHER,
    ),
    "another function is called": Fault(
        PLAIN,
        other_piece(calls, "parsed", lambda right: lambda text: right("F.softmax" if text.startswith("F.") else text)),
        told=OTHER,
    ),
    "an import that goes stays": Fault(
        PLAIN, other_piece(statements, "without_aliases", lambda _: lambda node, edit: node), told=OTHER
    ),
    "an import comes in where another goes": Fault(
        PLAIN, instead("from elsewhere import kept\n", "import json\nfrom elsewhere import kept\n"), told=OTHER
    ),
    "a statement beside one that goes, goes too": Fault(SEMICOLONS, instead("import re; ", ""), told=OTHER),
    "an elif becomes an else": Fault(
        CHAIN, instead("elif mode == 2:\n        out = k\n    ", ""), told=OTHER, helper=True
    ),
    "an arm of a chain is lost": Fault(CHAIN, instead("    else:\n        out = v\n", ""), told=OTHER, helper=True),
    "a mask that goes stays": Fault(MASKED, other_edits(without_statements), told=OTHER),
    "an edit of a choice on another one": Fault(CHOSEN, turned_round(ast.IfExp), helper=True),
    "an edit of a chain on another one": Fault(CHAINED, turned_round(ast.BoolOp), helper=True),
    "hidden statements change places": Fault(PLAIN, other_piece(hidden.Hidden, "restored", with_others_hidden)),
    "a hidden statement is lost": Fault(PLAIN, other_piece(hidden.Hidden, "restored", with_less_hidden)),
    "a rule touches what a call that is left needs": Fault(
        LEFT, other_piece(FileDraft, "leave", lambda _: lambda self, node: None), told=LOST, helper=True
    ),
    "a block without its pass": Fault(EMPTIED, instead("        pass\n", ""), PARSER, UNREADABLE, helper=True),
    "a byte order mark comes in": Fault(PLAIN, other_text(lambda text: f"\ufeff{text}"), PARSER, UNREADABLE),
    "a parenthesis too many": Fault(PLAIN, instead("F.scaled_dot_product_attention(", "F.s(("), PARSER, UNREADABLE),
    "a line is indented one space too far": Fault(
        PLAIN, instead("    return out", "     return out"), PARSER, UNREADABLE
    ),
    "a quote is lost": Fault(
        CHAIN, other_text(lambda text: text.replace("mode == 1", 'mode == "')), PARSER, UNREADABLE, helper=True
    ),
    "a block with a statement too few": Fault(
        PLAIN, other_piece(statements._Editor, "block", without_last_statement), PAIRING, "a block holds fewer"
    ),
    "a block with a statement too many": Fault(
        PLAIN, other_piece(statements._Editor, "block", with_one_more_statement), PAIRING, "a block holds more"
    ),
    "a call too few": Fault(PLAIN, one_too_few(ast.Call), PAIRING, f"{UNEVEN} Call"),
    "an attribute too few": Fault(ATTRIBUTE, one_too_few(ast.Attribute), PAIRING, f"{UNEVEN} Attribute", helper=True),
    "a comparison too few": Fault(COMPARED, one_too_few(ast.Compare), PAIRING, f"{UNEVEN} Compare", helper=True),
    "a negation too few": Fault(NEGATED, one_too_few(ast.UnaryOp), PAIRING, f"{UNEVEN} UnaryOp", helper=True),
    "a name too few": Fault(NAMED, one_too_few(ast.Name), PAIRING, f"{UNEVEN} Name", helper=True),
    "a choice too few": Fault(CHOSEN, one_too_few(ast.IfExp), PAIRING, f"{UNEVEN} IfExp", helper=True),
    "a chain too few": Fault(CHAINED, one_too_few(ast.BoolOp), PAIRING, f"{UNEVEN} BoolOp", helper=True),
    "a string too few": Fault(QUOTED, one_too_few(ast.Constant), PAIRING, f"{UNEVEN} Constant", helper=True),
}
"""Faults that end as XF905, the file untouched."""
