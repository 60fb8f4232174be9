"""The check of every run's own work, tested by making the editor fail: each planted fault ends as XF905."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from tests.edits.faults import CHECK, STOPPED, Fault
from xf2sdpa.cli import cli
from xf2sdpa.edits import calls, expressions
from xf2sdpa.edits.kinds import AddImport, ArgumentEdit, CallEdit, ReplaceStatement
from xf2sdpa.edits.selfcheck import CheckFailed, check, check_program
from xf2sdpa.model import FileResult
from xf2sdpa.rewrite import engine
from xf2sdpa.rewrite.engine import rewrite_text

BY_CHECK = [name for name, fault in STOPPED.items() if fault.stopped_by == CHECK]


def run(fault: Fault) -> FileResult:
    return rewrite_text(fault.program, compat="_attention_compat" if fault.helper else None)


CHECKS = ("check", "check_program", "check_left")


def without_check(patch: pytest.MonkeyPatch, *names: str) -> None:
    """Leave out some of the checks that are made; all, if none is named."""
    for name in names or CHECKS:
        patch.setattr(engine, name, lambda *_: None)


@pytest.mark.parametrize("name", STOPPED)
def test_the_right_editor_passes(name: str) -> None:
    result = run(STOPPED[name])
    assert not result.failed, result.findings
    assert result.changed


@pytest.mark.parametrize("name", STOPPED)
def test_a_fault_is_stopped_and_the_file_stays(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    fault = STOPPED[name]
    fault.plant(monkeypatch)
    result = run(fault)
    (finding,) = result.findings
    assert (finding.code, finding.is_error, result.sites) == ("XF905", True, [])
    assert fault.told in finding.message
    assert result.new == result.old == fault.program


def test_there_are_faults_enough_and_most_are_the_checks() -> None:
    assert len(STOPPED) >= 30
    assert len(BY_CHECK) >= 20
    assert {fault.stopped_by for fault in STOPPED.values()} == {"self-check", "parser", "pairing"}


@pytest.mark.parametrize("name", BY_CHECK)
def test_without_the_check_the_fault_would_get_through(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that cutting the check out makes the test above fail."""
    fault = STOPPED[name]
    right = run(fault).new
    fault.plant(monkeypatch)
    without_check(monkeypatch)
    result = run(fault)
    assert not result.failed
    assert result.new != right


@pytest.mark.parametrize(
    ("check_left_out", "name"),
    [
        ("check", "a comment far from the edits is dropped"),
        ("check", "a space too many outside the edits"),
        ("check_program", "query and key change places"),
        ("check_program", "another function is called"),
        ("check_program", "an arm of a chain is lost"),
        ("check_left", "a rule touches what a call that is left needs"),
    ],
)
def test_no_check_does_the_work_of_another(check_left_out: str, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    STOPPED[name].plant(monkeypatch)
    without_check(monkeypatch, check_left_out)
    assert not run(STOPPED[name]).failed


@pytest.mark.parametrize("name", [name for name in STOPPED if name not in BY_CHECK])
def test_what_parser_and_pairing_stop_needs_no_check(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    STOPPED[name].plant(monkeypatch)
    without_check(monkeypatch)
    assert [finding.code for finding in run(STOPPED[name]).findings] == ["XF905"]


def two_files(folder: Path) -> tuple[Path, Path]:
    """A file on which the fault shows, and one on which it does not."""
    nested, plain = folder / "nested.py", folder / "plain.py"
    nested.write_text(STOPPED["an edit of a call on another call"].program)
    plain.write_text(nested.read_text().replace("project(", "(").replace(", b, n)", ")"))
    return nested, plain


def test_a_fault_in_one_file_leaves_the_others_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nested, plain = two_files(tmp_path)
    fault = STOPPED["an edit of a call on another call"]
    fault.plant(monkeypatch)
    result = CliRunner().invoke(cli, ["rewrite", str(tmp_path)])
    assert result.exit_code == 2
    assert f"{nested}:1:1: XF905 error   the rewrite failed its self-check: text outside" in result.output
    assert nested.read_text() == fault.program
    assert "scaled_dot_product_attention" in plain.read_text()


@pytest.mark.parametrize("error", [ValueError("no such argument"), KeyError(1), AttributeError("no comma")])
def test_an_editor_that_breaks_down_on_one_file_leaves_the_others_alone(
    tmp_path: Path, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    nested, plain = two_files(tmp_path)
    old = nested.read_text()
    right = calls.rebuild_call

    def breaks_down(call: Any, edit: CallEdit, layout: Any, module: Any) -> Any:
        if any("project(" in line for line in layout.lines):
            raise error
        return right(call, edit, layout, module)

    monkeypatch.setattr(expressions, "rebuild_call", breaks_down)
    result = CliRunner().invoke(cli, ["rewrite", str(tmp_path)])
    assert result.exit_code == 2
    assert sum(line.startswith(str(nested)) for line in result.output.splitlines()) == 1
    assert f"{nested}:1:1: XF910 error   the work on it broke off: {type(error).__name__}: " in result.output
    assert nested.read_text() == old
    assert "scaled_dot_product_attention" in plain.read_text()


# -- the check by itself -----------------------------------------------------------------------------

OLD = "import a\n\n\ndef f(x):\n    y = old(x)\n    return y\n"
CALL = next(node for node in ast.walk(ast.parse(OLD)) if isinstance(node, ast.Call))
EDIT = CallEdit(CALL, "new", {})


def verdict(new: str, *edits: object, further: tuple[object, ...] = (), old: str = OLD) -> str:
    """What the check says of a new text; empty if nothing."""
    try:
        check(old, new, edits, further)  # type: ignore[arg-type]
    except CheckFailed as failure:
        return str(failure)
    return ""


def test_an_edit_may_change_its_own_span() -> None:
    assert verdict(OLD.replace("old(x)", "new(x, 1)"), EDIT) == ""


def test_nothing_at_all_is_wrong_with_the_old_text() -> None:
    assert verdict(OLD) == ""


@pytest.mark.parametrize(
    "new",
    [
        OLD + "\n",
        "\n" + OLD,
        OLD.replace("return y", "return  y"),
        OLD.replace("import a", "import b"),
        OLD.replace("def f(x):\n", "def f(x):\n    pass\n"),
        "",
    ],
)
@pytest.mark.parametrize("edits", [(), (EDIT,)], ids=["no edit", "an edit"])
def test_what_is_outside_may_not_change(new: str, edits: tuple[CallEdit, ...]) -> None:
    assert verdict(new, *edits) == "text outside the edits changed"


def test_a_second_look_must_find_nothing() -> None:
    assert verdict(OLD, further=(EDIT,)) == "a second run would change the file again"


def test_pieces_may_not_share_their_text() -> None:
    """The end of the old text must come after what stands before it, not in it."""
    old = "x = (f(1), f(1))\n"
    first = next(node for node in ast.walk(ast.parse(old)) if isinstance(node, ast.Call))
    assert verdict("x = (g(), f(1))\n", CallEdit(first, "g", {}), old=old) == ""
    assert verdict("x = (, f(1))\n", CallEdit(first, "g", {}), old=old) == ""
    assert verdict("x = (f(1))\n", CallEdit(first, "g", {}), old=old) == "text outside the edits changed"


def test_columns_are_those_of_characters() -> None:
    old = 'x = ("é", f("ü"), "ß")\n'
    call = next(node for node in ast.walk(ast.parse(old)) if isinstance(node, ast.Call))
    assert verdict(old.replace('f("ü")', "g()"), CallEdit(call, "g", {}), old=old) == ""
    assert verdict(old.replace("ß", "s"), CallEdit(call, "g", {}), old=old) == "text outside the edits changed"
    assert verdict(old.replace("é", "e"), CallEdit(call, "g", {}), old=old) == "text outside the edits changed"


def test_an_import_comes_in_at_its_place_only() -> None:
    after = AddImport("import b", ast.parse(OLD).body[0])
    assert verdict(OLD.replace("import a\n", "import a\nimport b\n"), after) == ""
    assert verdict(OLD + "import b\n", after) == "text outside the edits changed"
    assert verdict("import b\n" + OLD, after) == "text outside the edits changed"
    first = AddImport("import b", None)
    assert verdict("import b\n" + OLD, first) == ""
    assert verdict(OLD + "import b\n", first) == "text outside the edits changed"


def test_a_statement_takes_the_comments_above_it_along() -> None:
    old = "a = 1\n# of b\nb = 2\n\nc = 3\n"
    goes = ReplaceStatement(ast.parse(old).body[1])
    assert verdict("a = 1\n\nc = 3\n", goes, old=old) == ""
    assert verdict("a = 1\nc = 3\n", goes, old=old) == ""
    assert verdict("# of b\na = 1\n\nc = 3\n", goes, old=old) == "text outside the edits changed"
    assert verdict("a = 1\n\n", goes, old=old) == "text outside the edits changed"


def test_the_only_statement_of_a_block_takes_the_line_that_opens_it_along() -> None:
    old = "a = 1\nif a:\n    # of b\n    b = 2\nc = 3\n"
    node = ast.parse(old).body[1]
    assert isinstance(node, ast.If)
    goes = ReplaceStatement(node.body[0])
    assert verdict("a = 1\nc = 3\n", goes, old=old) == ""
    assert verdict("c = 3\n", goes, old=old) == "text outside the edits changed"


def test_an_argument_that_keeps_its_keyword() -> None:
    old = ast.parse("x = f(key=b)\n")
    call = next(node for node in ast.walk(old) if isinstance(node, ast.Call))
    edit = CallEdit(call, "g", {id(call.keywords[0].value): ArgumentEdit(None, suffix=".t()")})
    check_program(old, [edit], ast.parse("x = g(key=b.t())\n"))
    with pytest.raises(CheckFailed):
        check_program(old, [edit], ast.parse("x = g(other=b.t())\n"))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("x = 1", "x = True"),
        ("x = 1", "x = 1.0"),
        ("x = 'a'", "x = b'a'"),
        ("x = 'a'", "x = u'a'"),
        ("x = a", "del a"),
        ("x = a + b", "x = a - b"),
        ("f(a)", "f(a, a)"),
        ("f(a, b)", "f(b, a)"),
        ("{**a}", "{None: a}"),
        ("def f(*, a, b=1): pass", "def f(*, a=1, b): pass"),
        ("import a", "import a as b"),
    ],
)
def test_programs_that_differ_are_told_apart(old: str, new: str) -> None:
    check_program(ast.parse(old), [], ast.parse(old))
    with pytest.raises(CheckFailed, match="line 1"):
        check_program(ast.parse(old), [], ast.parse(new))
