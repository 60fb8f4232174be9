"""Edits of statements: what goes, what comes in its place, and what stays around it."""

from __future__ import annotations

import ast

import pytest

from tests.edits.carried_out import carried_out, every, statement
from xf2sdpa.edits.errors import PairingError
from xf2sdpa.edits.kinds import (
    AddImport,
    InsertBefore,
    RemoveAliases,
    ReplaceExpression,
    ReplaceStatement,
    TakeArm,
    Unguard,
)


def without(text: str, *starts: str) -> str:
    """A text without the statements that begin so."""
    return carried_out(text, lambda tree: [ReplaceStatement(statement(start, tree)) for start in starts])


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("a = 1\ngone = 2\nb = 3\n", "a = 1\nb = 3\n"),
        ("a = 1; gone = 2; b = 3\n", "a = 1; b = 3\n"),
        ("a = 1; gone = 2\n", "a = 1\n"),
        ("gone = 2; a = 1  # of both\n", "a = 1  # of both\n"),
        ("def f():\n    gone = 2\n", "def f():\n    pass\n"),
        ("def f():\n    gone = 2\n    a = 1\n", "def f():\n    a = 1\n"),
        ("def f(): gone = 2\n", "def f(): pass\n"),
        ("def f(): gone = 2; a = 1\n", "def f(): a = 1\n"),
        ("if a:\n    gone = 2\n", "if a:\n    pass\n"),
        ("if a:\n    b\nelse:\n    gone = 2\n", "if a:\n    b\n"),
        ("if a: b\nelse: gone = 2\n", "if a: b\n"),
        ("if a:\n    b\nelif c:\n    gone = 2\nelse:\n    d\n", "if a:\n    b\nelif c:\n    pass\nelse:\n    d\n"),
        ("for a in b:\n    c\nelse:\n    gone = 2\n", "for a in b:\n    c\n"),
        ("while a:\n    gone = 2\nelse:\n    c\n", "while a:\n    pass\nelse:\n    c\n"),
        ("with a:\n    gone = 2\n", "with a:\n    pass\n"),
        ("try:\n    gone = 2\nexcept A:\n    b\n", "try:\n    pass\nexcept A:\n    b\n"),
        ("try:\n    a\nexcept A:\n    gone = 2\n", "try:\n    a\nexcept A:\n    pass\n"),
        (
            "try:\n    a\nexcept A:\n    b\nelse:\n    gone = 2\nfinally:\n    c\n",
            "try:\n    a\nexcept A:\n    b\nfinally:\n    c\n",
        ),
        ("try:\n    a\nexcept A:\n    b\nfinally:\n    gone = 2\n", "try:\n    a\nexcept A:\n    b\n"),
        ("match a:\n    case 1:\n        gone = 2\n", "match a:\n    case 1:\n        pass\n"),
        ("class A:\n    gone = 2\n", "class A:\n    pass\n"),
        ("async def f():\n    async with a:\n        gone = 2\n", "async def f():\n    async with a:\n        pass\n"),
        ("@a\n@b\ndef f():\n    gone = 2\n    c\n", "@a\n@b\ndef f():\n    c\n"),
        ("if a:\n\tgone = 2\n\tb\n", "if a:\n\tb\n"),
        ("a\r\ngone = 2\r\nb\r\n", "a\r\nb\r\n"),
        ("gone = 2", ""),
        ("a\ngone = 2", "a"),
    ],
)
def test_a_statement_goes(old: str, new: str) -> None:
    assert without(old, "gone") == new


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("a\n\n\ngone = 2\nb\n", "a\n\n\nb\n"),
        ("a\n\n\ngone = 2\n\nb\n", "a\n\nb\n"),
        ("a\ngone = 2\n\n\nb\n", "a\n\n\nb\n"),
        ("def f():\n    gone = 2\n\n    a\n", "def f():\n    a\n"),
        ("gone = 2\n\n\na\n", "a\n"),
        ("# licence\n\ngone = 2\n\n\na\n", "# licence\n\n\n\na\n"),
        ("def f():\n    # of xformers\n    gone = 2\n    a\n", "def f():\n    a\n"),
        ("a\n# of the rest\ngone = 2\nb\n", "a\n# of the rest\nb\n"),
        ("a\n# memory efficient\ngone = 2\nb\n", "a\nb\n"),
        ("a\n# one\n# of xformers\ngone = 2\nb\n", "a\nb\n"),
        ("def f():\n    a\n    # of the rest\n    gone = 2\n", "def f():\n    a\n    # of the rest\n"),
        ("def f():\n    # of the rest\n    gone = 2\n", "def f():\n    # of the rest\n    pass\n"),
        ("a\n# of the rest\ngone = 2\n", "a\n# of the rest\n"),
        ("def f():\n    gone = 2\n    # of a\n    a\n", "def f():\n    # of a\n    a\n"),
        ("a\ngone = 2  # behind\nb  # too\n", "a\nb  # too\n"),
    ],
)
def test_comments_and_blank_lines_around_it(old: str, new: str) -> None:
    assert without(old, "gone") == new


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("try:\n    import gone\n    a\nexcept E:\n    b\n    \nc\n", "a\n\nc\n"),
        ("try:\n    import gone\n    a\n    \nexcept E:\n    b\nc\n", "a\nc\n"),
        ("try:\n    import gone\n    if a:\n        d\n        \nexcept E:\n    b\nc\n", "if a:\n    d\n    \nc\n"),
        (
            "try:\n    import gone\n    if a:\n        d\n        \nexcept E:\n    b\n    \nc\n",
            "if a:\n    d\n    \nc\n",
        ),
    ],
)
def test_blank_lines_at_the_end_of_a_guard_stay_below_what_it_held(old: str, new: str) -> None:
    def edits(tree: ast.Module) -> list[ReplaceStatement | Unguard]:
        guard = statement("try", tree)
        assert isinstance(guard, ast.Try)
        return [Unguard(guard), ReplaceStatement(statement("import gone", tree))]

    assert carried_out(old, edits) == new


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("a\n\nif gone:\n    b\n    \nc\n", "a\n\nc\n"),
        ("a\nif gone:\n    b\n    \nc\n", "a\n\nc\n"),
        ("def f():\n    if gone:\n        b\n        \n    c\n", "def f():\n    c\n"),
    ],
)
def test_one_gap_is_left_where_a_block_goes(old: str, new: str) -> None:
    assert without(old, "if gone") == new


def test_several_go_at_once() -> None:
    assert without("a\ngone = 1\ngo = 2\nb\n", "gone", "go =") == "a\nb\n"
    assert without("gone = 1; go = 2; b\n", "gone", "go =") == "b\n"
    assert without("gone = 1; go = 2\nb\n", "gone", "go =") == "b\n"
    assert without("def f():\n    gone = 1\n    go = 2\n", "gone", "go =") == "def f():\n    pass\n"


@pytest.mark.parametrize(
    ("old", "text", "new"),
    [
        ("a\nold = 1  # why\nb\n", "new = 2", "a\nnew = 2  # why\nb\n"),
        ("# above\nold = 1\n", "new = 2", "# above\nnew = 2\n"),
        ("a\nold = 1  # why\nb\n", "new = 2\nnext = 3", "a\nnew = 2\nnext = 3\nb\n"),
        ("a; old = 1; b\n", "new = 2", "a; new = 2; b\n"),
        (
            "def f():\n    # above\n    old = 1\n",
            "new = 2\nnext = 3",
            "def f():\n    # above\n    new = 2\n    next = 3\n",
        ),
        ("old = 1\n", "if new:\n    a\nelse:\n    b", "if new:\n    a\nelse:\n    b\n"),
        ("if old:\n    a\nb\n", "new = 2", "new = 2\nb\n"),
        ("# above\nif old:\n    a\nb\n", "# of new\nnew = 2", "# above\n# of new\nnew = 2\nb\n"),
        ("if a:\n\told = 1\n", "if b:\n    c", "if a:\n\tif b:\n\t\tc\n"),
        # a blank line that holds spaces belongs to the block above it
        ("if old:\n    a\n    \nb\n", "new = 2", "new = 2\n\nb\n"),
        ("if old:\n    a\n    \n    \n# of b\nb\n", "new = 2", "new = 2\n\n\n# of b\nb\n"),
        ("if old:\n    a\n    \n\nb\n", "new = 2", "new = 2\n\n\nb\n"),
        ("if old:\n    if a:\n        c\n        \nb\n", "new = 2", "new = 2\n\nb\n"),
        ("if old:\n    a\n    \nelse:\n    c\nb\n", "new = 2", "new = 2\nb\n"),
        ("if old:\n    a\nelse:\n    c\n    \nb\n", "new = 2", "new = 2\n\nb\n"),
        ("def f():\n    if old:\n        a\n        \n    b\n", "new = 2", "def f():\n    new = 2\n\n    b\n"),
        ("if old:\n    a\n    \n", "new = 2", "new = 2\n"),
        (
            "def f():\n    if old:\n        a\n        \ndef g():\n    b\n",
            "new = 2",
            "def f():\n    new = 2\n\ndef g():\n    b\n",
        ),
        ("if old:\n    a\nelif b:\n    c\n    \nd\n", "new = 2", "new = 2\n\nd\n"),
        ('if old:\n    a\n    \n"x"; b\n', "new = 2", 'new = 2\n\n"x"; b\n'),
        ("if old: a\nb\n", "new = 2", "new = 2\nb\n"),
        ("if old:\n    match a:\n        case 1:\n            c\n            \nb\n", "new = 2", "new = 2\n\nb\n"),
        ("if old:\r\n    a\r\n    \r\nb\r\n", "new = 2", "new = 2\r\n\r\nb\r\n"),
    ],
)
def test_other_statements_in_its_place(old: str, text: str, new: str) -> None:
    def edits(tree: ast.Module) -> list[ReplaceStatement]:
        start = "if old" if "if old" in old else "old"
        return [ReplaceStatement(statement(start, tree), text)]

    assert carried_out(old, edits) == new


@pytest.mark.parametrize(
    ("old", "bound", "new"),
    [
        ("import a, b, c\n", "a", "import b, c\n"),
        ("import a, b, c\n", "b", "import a, c\n"),
        ("import a, b, c\n", "c", "import a, b\n"),
        ("import a.b, c\n", "a.b", "import c\n"),
        ("import a as b, c\n", "b", "import c\n"),
        ("from m import a, b  # why\n", "b", "from m import a  # why\n"),
        ("from m import (a, b,)\n", "b", "from m import (a,)\n"),
        ("from m import (a, b)\n", "b", "from m import (a)\n"),
        ("from m import (\n    a,\n    b,\n)\n", "b", "from m import (\n    a,\n)\n"),
        ("from m import (\n    a,\n    b,\n)\n", "a", "from m import (\n    b,\n)\n"),
        ("from m import a; x\n", "a", "x\n"),
        ("import a\nx\n", "a", "x\n"),
        ("if x:\n    import a\n", "a", "if x:\n    pass\n"),
    ],
)
def test_names_of_an_import_go(old: str, bound: str, new: str) -> None:
    def edits(tree: ast.Module) -> list[RemoveAliases]:
        node = next(n for n in ast.walk(tree) if isinstance(n, ast.Import | ast.ImportFrom))
        return [RemoveAliases(node, frozenset({bound}))]

    assert carried_out(old, edits) == new


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("x\n", "import n\nx\n"),
        ('"""Doc."""\nx\n', '"""Doc."""\nimport n\nx\n'),
        ("from __future__ import annotations\nx\n", "from __future__ import annotations\nimport n\nx\n"),
        (
            '"""Doc."""\n\nfrom __future__ import annotations\n\nimport a\n',
            '"""Doc."""\n\nfrom __future__ import annotations\nimport n\n\nimport a\n',
        ),
        ("from m import annotations\nx\n", "import n\nfrom m import annotations\nx\n"),
        ("x\n'no doc'\n", "import n\nx\n'no doc'\n"),
    ],
)
def test_an_import_before_all_others_comes_behind_the_preamble(old: str, new: str) -> None:
    assert carried_out(old, lambda _: [AddImport("import n", None)]) == new


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("import a\nimport b\nx\n", "import a\nimport n\nimport b\nx\n"),
        ("import a; import b\nx\n", "import a; import b\nimport n\nx\n"),
        ("import a  # why\n\n\nx\n", "import a  # why\nimport n\n\n\nx\n"),
    ],
)
def test_an_import_behind_another(old: str, new: str) -> None:
    assert carried_out(old, lambda tree: [AddImport("import n", tree.body[0])]) == new


def test_an_import_in_the_place_of_the_one_that_goes() -> None:
    def edits(tree: ast.Module) -> list[AddImport | ReplaceStatement]:
        return [ReplaceStatement(tree.body[1]), AddImport("import n", tree.body[1])]

    assert carried_out("import a\n\nimport b\n\n\nx\n", edits) == "import a\n\nimport n\n\n\nx\n"


CHAIN = "# above\nif a:\n    one\nelif b:\n    # of two\n    two\nelse:\n    three\nrest\n"


@pytest.mark.parametrize(
    ("old", "asked", "answer", "new"),
    [
        (CHAIN, "a", True, "# above\none\nrest\n"),
        (CHAIN, "a", False, "# above\nif b:\n    # of two\n    two\nelse:\n    three\nrest\n"),
        (CHAIN, "b", True, "# above\nif a:\n    one\nelse:\n    # of two\n    two\nrest\n"),
        (CHAIN, "b", False, "# above\nif a:\n    one\nelse:\n    three\nrest\n"),
        ("if a:\n    one\nrest\n", "a", False, "rest\n"),
        ("if a:\n    one\nrest\n", "a", True, "one\nrest\n"),
        ("if a: one\nelse: two\n", "a", False, "two\n"),
        ("if a: one; more\nelse: two\n", "a", True, "one; more\n"),
        ("if a:\n    one\nelif b:\n    two\nrest\n", "b", False, "if a:\n    one\nrest\n"),
        ("def f():\n    if a:\n        one\n", "a", False, "def f():\n    pass\n"),
        ("if a: one  # of one\nelse: two\n", "a", True, "one  # of one\n"),
        ("if a:\n    one\n    # below\n\nrest\n", "a", True, "one\n# below\n\nrest\n"),
        ("if a:\n    one\n# of the else\nelse:\n    two\n    # below\n", "a", False, "# of the else\ntwo\n# below\n"),
        ("def f():\n    if a:\n        one\n        # below\n", "a", True, "def f():\n    one\n    # below\n"),
        (
            "if a:\n    one\nelif b:\n    two\nelif c:\n    three\nelse:\n    four\n",
            "b",
            False,
            "if a:\n    one\nelif c:\n    three\nelse:\n    four\n",
        ),
    ],
)
def test_the_arm_that_is_taken(old: str, asked: str, answer: bool, new: str) -> None:
    def edits(tree: ast.Module) -> list[TakeArm]:
        return [TakeArm(n, answer) for n in every(ast.If, tree) if getattr(n.test, "id", "") == asked]

    assert carried_out(old, edits) == new


def test_edits_inside_the_arm_that_stays() -> None:
    def edits(tree: ast.Module) -> list[TakeArm | ReplaceExpression | ReplaceStatement]:
        (chain, *_) = every(ast.If, tree)
        two = next(n for n in every(ast.Name, tree) if n.id == "two")
        return [TakeArm(chain, answer=False), ReplaceExpression(two, "new"), ReplaceStatement(statement("rest", tree))]

    assert carried_out(CHAIN, edits) == "# above\nif b:\n    # of two\n    new\nelse:\n    three\n"


def test_an_arm_of_which_nothing_is_left() -> None:
    def edits(tree: ast.Module) -> list[TakeArm | ReplaceStatement]:
        return [TakeArm(next(every(ast.If, tree)), answer=True), ReplaceStatement(statement("one", tree))]

    assert carried_out("if a:\n    one\n    # of one\nrest\n", edits) == "rest\n"
    assert carried_out("def f():\n    if a: one\n", edits) == "def f():\n    pass\n"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("try:\n    one\nexcept E:\n    two\n", "one\n"),
        ("try: one; two  # both\nexcept E: three\n", "one; two  # both\n"),
        ("# above\ntry:\n\n    # of one\n    one\nexcept E:\n    two\nrest\n", "# above\n# of one\none\nrest\n"),
        (
            "try:\n    one\n    # below\nexcept E: pass\nelse:\n    two\nfinally:\n    three\n",
            "one\n# below\ntwo\nthree\n",
        ),
        ("with a as b:\n    one\n    # below\n\nrest\n", "one\n# below\n\nrest\n"),
        (
            "def f():\n    with a:\n        one('''\n x''')\n        # below\n",
            "def f():\n    one('''\n x''')\n    # below\n",
        ),
    ],
)
def test_what_a_frame_does_without_it(old: str, new: str) -> None:
    def edits(tree: ast.Module) -> list[Unguard]:
        return [Unguard(node) for node in ast.walk(tree) if isinstance(node, ast.Try | ast.With)]

    assert carried_out(old, edits) == new


@pytest.mark.parametrize("text", ["def f(:\n", "x = = 1\n"])
def test_what_is_no_program_has_no_edits(text: str) -> None:
    with pytest.raises(SyntaxError):
        carried_out(text, lambda _: [])


def test_edits_within_a_statement_that_goes_are_no_trouble() -> None:
    def edits(tree: ast.Module) -> list[ReplaceStatement | ReplaceExpression]:
        gone = statement("gone", tree)
        return [ReplaceStatement(gone), ReplaceExpression(next(every(ast.Call, gone)), "x")]

    assert carried_out("a\ngone = f(1)\n", edits) == "a\n"


def test_a_tree_with_other_statements_is_not_paired() -> None:
    with pytest.raises(PairingError, match="statements than the syntax tree"):
        carried_out("a\nb\n", lambda tree: [ReplaceStatement(tree.body.pop())])


CHECKED = """\
def f(m):
    a = 1

    # about b
    b = call(
        m,  # the mask
    )  # behind
    return b
"""


def test_a_check_stands_before_a_statement_and_its_comments() -> None:
    new = carried_out(CHECKED, lambda tree: [InsertBefore(statement("b", tree), "if m:\n    raise E")])
    assert new == CHECKED.replace("    # about", "    if m:\n        raise E\n    # about")


def test_two_checks_stand_in_their_order() -> None:
    new = carried_out(CHECKED, lambda tree: [InsertBefore(statement("return", tree), t) for t in ("c = 1", "d = 2")])
    assert new == CHECKED.replace("    return", "    c = 1\n    d = 2\n    return")
