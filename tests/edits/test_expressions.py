"""Edits of expressions: each kind, where it stands, and what stays around it."""

from __future__ import annotations

import ast

import pytest

from tests.edits.carried_out import as_it_is, called, carried_out, every, renamed
from xf2sdpa.edits.errors import PairingError
from xf2sdpa.edits.kinds import ArgumentEdit, CallEdit, Rename, ReplaceExpression, Unwrap


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("y = old(a)\n", "y = new(a)\n"),
        ("y = x.old(a)\n", "y = new(a)\n"),
        ("y = old( a , b )  # why\n", "y = new( a , b )  # why\n"),
        ("y = old(a, key=b)\n", "y = new(a, key=b)\n"),
        ("y = old(a, key = b)\n", "y = new(a, key = b)\n"),
        ("y = (old(a))\n", "y = (new(a))\n"),
        ("y = old(a,)\n", "y = new(a,)\n"),
        ("y = [old(a) for _ in old]\n", "y = [new(a) for _ in old]\n"),
        ("if old(a): pass\nelif b: pass\n", "if new(a): pass\nelif b: pass\n"),
        ("if b: pass\nelif old(a): pass\n", "if b: pass\nelif new(a): pass\n"),
        ("for i in old(a):\n    pass\n", "for i in new(a):\n    pass\n"),
        ("with old(a) as b:\n    pass\n", "with new(a) as b:\n    pass\n"),
        ("while old(a):\n    b(a)\n", "while new(a):\n    b(a)\n"),
        ("@old(a)\ndef f():\n    pass\n", "@new(a)\ndef f():\n    pass\n"),
        ("def f(x=old(a)):\n    pass\n", "def f(x=new(a)):\n    pass\n"),
        ("class C(old(a)):\n    pass\n", "class C(new(a)):\n    pass\n"),
        ("y = lambda: old(a)\n", "y = lambda: new(a)\n"),
        ("match old(a):\n    case 1:\n        pass\n", "match new(a):\n    case 1:\n        pass\n"),
        ("match b:\n    case 1 if old(a):\n        b(c)\n", "match b:\n    case 1 if new(a):\n        b(c)\n"),
        ("async def f():\n    await old(a)\n", "async def f():\n    await new(a)\n"),
        ("b(c); y = old(a); d(e)\n", "b(c); y = new(a); d(e)\n"),
        ("x = f'{b(c)}'; y = old(a)\n", "x = f'{b(c)}'; y = new(a)\n"),
    ],
)
def test_a_call_wherever_it_stands(old: str, new: str) -> None:
    assert carried_out(old, lambda tree: [renamed(called("old", tree), "new")]) == new


@pytest.mark.parametrize(
    ("edit", "new"),
    [
        (ArgumentEdit(None, suffix=".t()"), "f(a.t(), key=b)"),
        (ArgumentEdit("name"), "f(name=a, key=b)"),
        (ArgumentEdit("name", wrap="bool"), "f(name=bool(a), key=b)"),
        (ArgumentEdit(None, wrap="not"), "f(not a, key=b)"),
        (ArgumentEdit(None, text="None if a is None else a[0]"), "f(None if a is None else a[0], key=b)"),
    ],
)
def test_what_becomes_of_an_argument(edit: ArgumentEdit, new: str) -> None:
    assert carried_out("y = f(a, key=b)\n", lambda tree: [renamed(called("f", tree), "f", a=edit)]) == f"y = {new}\n"


@pytest.mark.parametrize(
    ("value", "new"),
    [
        ("a", "not a"),
        ("not a", "not not a"),
        ("-a", "not -a"),
        ("(a or b)", "not (a or b)"),
        ("a or b", "not (a or b)"),
        ("a + b", "not (a + b)"),
        ("a is b", "a is not b"),
        ("a is not b", "a is b"),
        ("a == b", "a != b"),
        ("a != b", "a == b"),
        ("a in b", "a not in b"),
        ("a not in b", "a in b"),
        ("a < b", "not (a < b)"),
        ("a == b == c", "not (a == b == c)"),
    ],
)
def test_the_opposite_of_a_condition(value: str, new: str) -> None:
    def edits(tree: ast.Module) -> list[CallEdit]:
        call = called("f", tree)
        return [CallEdit(call, "f", {id(call.args[0]): ArgumentEdit(None, wrap="not")})]

    assert carried_out(f"y = f({value})\n", edits) == f"y = f({new})\n"


@pytest.mark.parametrize(
    ("value", "new"),
    [
        ("a", "a.t()"),
        ("a.b", "a.b.t()"),
        ("a[0]", "a[0].t()"),
        ("g(a)", "g(a).t()"),
        ("[a]", "[a].t()"),
        ("a + b", "(a + b).t()"),
        ("(a + b)", "(a + b).t()"),
        ("-a", "(-a).t()"),
        ("a if b else c", "(a if b else c).t()"),
        ("lambda: a", "(lambda: a).t()"),
        ("1", "(1).t()"),
    ],
)
def test_a_method_behind_any_expression(value: str, new: str) -> None:
    def edits(tree: ast.Module) -> list[CallEdit]:
        call = called("f", tree)
        return [CallEdit(call, "f", {id(call.args[0]): ArgumentEdit(None, suffix=".t()")})]

    assert carried_out(f"y = f({value})\n", edits) == f"y = f({new})\n"


def test_part_of_an_argument_stays() -> None:
    def edits(tree: ast.Module) -> list[CallEdit]:
        call = called("f", tree)
        return [CallEdit(call, "f", {id(call.args[0]): ArgumentEdit(None, take=("args", 1, "value"))})]

    assert carried_out("y = f(g(a, b + c))\n", edits) == "y = f(b + c)\n"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("y = f(a, b, gone)\n", "y = f(a, b)\n"),
        ("y = f(a, gone, b)\n", "y = f(a, b)\n"),
        ("y = f(gone, a, b)\n", "y = f(a, b)\n"),
        ("y = f(a, b, gone,)\n", "y = f(a, b,)\n"),
        ("y = f(a, b, key=gone)\n", "y = f(a, b)\n"),
        ("y = f(\n    a,\n    b,\n    gone,\n)\n", "y = f(\n    a,\n    b,\n)\n"),
        ("y = f(\n    a,\n    b,  # of b\n    gone,\n)\n", "y = f(\n    a,\n    b,  # of b\n)\n"),
        ("y = f(\n    a,\n    b,  # of b\n    gone\n)\n", "y = f(\n    a,\n    b,  # of b\n)\n"),
        ("y = f(\n    a,\n    b,\n    # of gone\n    gone,\n)\n", "y = f(\n    a,\n    b,\n    # of gone\n)\n"),
    ],
)
def test_an_argument_is_dropped(old: str, new: str) -> None:
    def edits(tree: ast.Module) -> list[CallEdit]:
        call = called("f", tree)
        gone = next(node for node in every(ast.Name, call) if node.id == "gone")
        given = as_it_is(call)
        del given[id(gone)]
        return [CallEdit(call, "f", given)]

    assert carried_out(old, edits) == new


def test_one_edit_inside_another() -> None:
    def edits(tree: ast.Module) -> list[CallEdit | Unwrap]:
        outer = called("f", tree)
        return [renamed(outer, "new"), Unwrap(called("transpose", tree)), renamed(called("g", tree), "h")]

    assert carried_out("y = f(x.transpose(1, 2), g(z))\n", edits) == "y = new(x, h(z))\n"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("y = x.t(1)\n", "y = x\n"),
        ("y = (x + 1).t(1)\n", "y = (x + 1)\n"),
        ("y = (x.t(1))\n", "y = (x)\n"),
        ("y = ((a + b).t(1)).c\n", "y = ((a + b)).c\n"),
        ("y = -x.t(1) ** 2\n", "y = -x ** 2\n"),
    ],
)
def test_unwrapping_keeps_parentheses(old: str, new: str) -> None:
    assert carried_out(old, lambda tree: [Unwrap(called("t", tree))]) == new


def test_a_method_gets_another_name() -> None:
    def edits(tree: ast.Module) -> list[Rename]:
        return [Rename(node, "reshape") for node in every(ast.Attribute, tree) if node.attr == "view"][1:]

    assert carried_out("y = a.view(1) + b.c.view (2).view\n", edits) == "y = a.view(1) + b.c.reshape (2).reshape\n"


@pytest.mark.parametrize(
    ("kind", "old", "new"),
    [
        (ast.Call, "y = a(b)(c)\n", "y = N\n"),
        (ast.Attribute, "y = (a.b).c\n", "y = N\n"),
        (ast.Compare, "y = 1 if a < b else c < d\n", "y = 1 if N else c < d\n"),
        (ast.UnaryOp, "y = [not a, -b]\n", "y = [N, -b]\n"),
        (ast.Name, "print(a, key=b)\n", "N(a, key=b)\n"),
        (ast.Constant, "x(1, None, 'a' 'b', b'c')\n", "x(1, None, N, b'c')\n"),
        (ast.Compare, "y = (a <\n     b)\n", "y = (N)\n"),
    ],
)
def test_other_text_in_the_place_of_an_expression(kind: type[ast.expr], old: str, new: str) -> None:
    def edits(tree: ast.Module) -> list[ReplaceExpression]:
        nodes = [n for n in every(kind, tree) if isinstance(getattr(n, "value", ""), str | ast.expr)]
        loads = [n for n in nodes if not isinstance(getattr(n, "ctx", None), ast.Store)]
        return [ReplaceExpression(loads[0], "N")]  # type: ignore[arg-type]

    assert carried_out(old, edits) == new


@pytest.mark.parametrize(
    "text",
    [
        "print(wanted, *a, b=wanted, **wanted)\n",
        "f(wanted=wanted, a=wanted)\n",
        "a.wanted = wanted.wanted\n",
        "x = {wanted: wanted for wanted in wanted if wanted}\n",
        "lambda wanted, b=wanted: wanted\n",
        "with wanted as w, wanted.wanted(wanted) as (v, u): pass\n",
        "x = f'{wanted}' + wanted\n",
        "del wanted, a[wanted:wanted]\n",
        "x = wanted if wanted else (wanted, *wanted)\n",
        "assert wanted, wanted\n",
    ],
)
def test_names_are_paired_wherever_they_stand(text: str) -> None:
    """Each name that is read, one after the other, gets another text; no label of an argument or attribute does."""
    count = sum(isinstance(n, ast.Name) and n.id == "wanted" for n in every(ast.Name, ast.parse(text)))
    reachable = count - text.count("{wanted}'")
    for number in range(reachable):

        def edits(tree: ast.Module, number: int = number) -> list[ReplaceExpression]:
            in_strings = {id(n) for s in every(ast.JoinedStr, tree) for n in ast.walk(s)}
            names = [n for n in every(ast.Name, tree) if n.id == "wanted" and id(n) not in in_strings]
            return [ReplaceExpression(names[number], "other")]

        new = carried_out(text, edits)
        names = [n.id for n in every(ast.Name, ast.parse(new))]
        before = [n.id for n in every(ast.Name, ast.parse(text))]
        assert [a for a, b in zip(before, names, strict=True) if a != b] == ["wanted"]
        assert names.count("other") == 1


def test_what_stands_in_an_f_string_is_not_edited() -> None:
    with pytest.raises(PairingError, match="line 1: old\\(a\\) cannot be edited where it stands"):
        carried_out("x = f'{old(a)}'\n", lambda tree: [renamed(called("old", tree), "new")])


def test_an_edit_of_a_node_of_another_tree_is_not_made() -> None:
    with pytest.raises(PairingError, match="cannot be edited"):
        carried_out("x = old(a)\n", lambda _: [renamed(called("old", ast.parse("x = old(a)\n")), "new")])


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("y = old(a,\n        b)\n", "y = longer(a,\n           b)\n"),
        ("y = x.old.old(a,\n              b)\n", "y = longer(a,\n           b)\n"),
        ("y = old(a,\nb)\n", "y = longer(a,\n   b)\n"),
        ("y = older(a,\n b)\n", "y = longer(a,\n  b)\n"),
        ("y = x.old.old(a,\n b)\n", "y = longer(a,\n b)\n"),
    ],
)
def test_arguments_below_each_other_move_with_the_parenthesis(old: str, new: str) -> None:
    def edits(tree: ast.Module) -> list[CallEdit]:
        call = next(node for node in every(ast.Call, tree))
        return [CallEdit(call, "longer", as_it_is(call))]

    assert carried_out(old, edits) == new


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("y = old(aaaaaaaaaaaaa, bbbbbbbbbbb)\n", "y = longer(\n    aaaaaaaaaaaaa, bbbbbbbbbbb\n)\n"),
        (
            "y = old(aaaaaaaaaaaaaaaaaaa, bbbbbbbbbbbbbbbbbb)\n",
            "y = longer(\n    aaaaaaaaaaaaaaaaaaa,\n    bbbbbbbbbbbbbbbbbb,\n)\n",
        ),
        ("y = old(\n    a, b\n)\n", "y = longer(a, b)\n"),
        ("y = old(\n    a, b,\n)\n", "y = longer(\n    a, b,\n)\n"),
        ("y = old(  # why\n    a, b\n)\n", "y = longer(  # why\n    a, b\n)\n"),
        ("y = old(\n    a,\n    b\n)\n", "y = longer(\n    a,\n    b\n)\n"),
        ("if x:\n\ty = old(aaaaaaaaaaa, bbbbbbbbbbb)\n", "if x:\n\ty = longer(\n\t\taaaaaaaaaaa, bbbbbbbbbbb\n\t)\n"),
    ],
)
def test_a_call_is_laid_out_in_the_width_of_the_file(old: str, new: str) -> None:
    def edits(tree: ast.Module) -> list[CallEdit]:
        call = called("old", tree)
        return [CallEdit(call, "longer", as_it_is(call))]

    assert carried_out(old, edits, width=36) == new
