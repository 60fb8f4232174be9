"""What IPython takes and Python does not is masked, line by line, and comes back to the byte."""

from __future__ import annotations

import ast

import pytest

from xf2sdpa.files.magics import LINE, Masked, cell_magic, masked, reads_of

AS_IT_IS = {
    "remainder": "a = b % c\nd = (b\n     % c)",
    "a string with a magic": 's = """\n!ls\n%cd x\n"""',
    "a string with an apostrophe": "a = 1  # it's\nb = 'it\\'s'\nc = \"'''\"\nd = 2",
    "brackets": "f(\n  [1,\n  2]\n)",
    "a backslash": "a = 1 + \\\n    2",
    "await": "await f()",
    "empty": "\n\n",
}
MASKED = {
    "shell": ("!ls -l", "_(0)"),
    "below a comment": ("# a\n!ls", "# a\n_(0)"),
    "indented": ("if a:\n    !pip install x\nelse:\n    %cd y", "if a:\n    _(0)\nelse:\n    _(1)"),
    "continued": ("!pip install a \\\n  b\nc = 1", "_(0\n)\nc = 1"),
    "assigned": ("a = !ls {b}\nc, d = %magic e", "a = _(0, b)\nc, d = _(1, e)"),
    "help": ("torch.nn?\n?torch\ntorch.nn??", "_(0, torch)\n_(1, torch)\n_(2, torch)"),
    "after brackets": ("f('(', [\n1])\n!ls", "f('(', [\n1])\n_(0)"),
    "after a string": ("a = '''(\n'''\n!ls", "a = '''(\n'''\n_(0)"),
    "timed": ("%timeit xops.attend(q, k)", "_(0, xops, q, k)"),
    "not Python": ("%pip install xformers", "_(0)"),
    "variables of the shell": ("!pip install $a {b.c} d", "_(0, a, b)"),
    "Python below": ("%%capture out\nx = 1", "_(0, out)\nx = 1"),
    "Python below a comment": ("#@title T\n%%time\nx = 1", "#@title T\n_(0)\nx = 1"),
    "another language below": ("%%bash\necho (\n", "_(0\n\n)"),
    "another language, with a variable": ("%%bash -s {a}\necho $b", "_(0, a\n)"),
    "an unknown magic": ("%%odd a\nb = c", "_(0, a, b, c\n)"),
    "no Python": ("print 'a'", "_(0, print, a)"),
    "line ends of Windows": ("!ls\r\na = 1\r\n", "_(0)\r\na = 1\r\n"),
    "a lone carriage return": ("a = 1\rb", "_(0, a, b)"),
    "half a character": ("a = '\ud800'", "_(0, a)"),
    "our own call": (f"{LINE}(7)", f"_(0, {LINE})"),
}


@pytest.mark.parametrize("source", AS_IT_IS.values(), ids=AS_IT_IS)
def test_python_stays(source: str) -> None:
    table = Masked()
    assert masked(source, table) == source
    assert not table.texts


@pytest.mark.parametrize(("source", "wanted"), MASKED.values(), ids=MASKED)
def test_the_rest_is_masked_and_comes_back(source: str, wanted: str) -> None:
    table = Masked()
    made = masked(source, table)
    assert made == wanted.replace("_(", f"{LINE}(")
    ast.parse(made)
    assert made.count("\n") == source.count("\n")
    assert table.restored(made) == source


def test_a_cell_of_another_language_reads_nothing() -> None:
    table = Masked()
    assert masked("SELECT a", table, python=False) == f"{LINE}(0)"
    assert table.whole == {0}


def test_numbers_go_on_over_cells() -> None:
    table = Masked()
    both = [masked("!a", table), masked("!b\n!c", table)]
    assert table.numbers_in("".join(both)) == [0, 1, 2]
    assert [table.restored(code) for code in both] == ["!a", "!b\n!c"]


@pytest.mark.parametrize(
    ("source", "name"),
    [("%%bash\nx", "bash"), ("\n\n%%time", "time"), ("# a\n%%R", "R"), ("x\n%%bash", ""), ("%a", "")],
)
def test_the_magic_of_a_cell(source: str, name: str) -> None:
    assert cell_magic(source) == name


def test_attributes_and_keywords_are_not_read() -> None:
    assert reads_of("%timeit a.b(c) if d else e.f") == ["a", "c", "d", "e"]


ALIKE = {
    **{
        name: source
        for name, (source, _) in MASKED.items()
        if name not in ("no Python", "our own call", "half a character")
    },
    **AS_IT_IS,
    "a magic in brackets": "f(\n!ls\n)",
    "behind a semicolon": "a = 1; b = 2\n!ls",
    "behind a decorator": "@f\ndef g():\n    !ls\n    return 1",
    "a comparison": "a = b == c\nd = e != f",
    "a division": "a = (b\n/ c)",
    "an annotation": "a: int = 3",
    "a lambda": "a = lambda: 1 % 2",
    "a question in a string": "a = 'why?'\nb = \"!ls\"",
    "a question in a comment": "a = 1  # why?",
    "an f-string": "a = f'{b!r}'\nc = f\"{d % 2}\"",
    "strings of three quotes": "a = \"\"\"it's\"\"\"\n!ls\nb = '''\"'''\n%cd x",
    "an escaped quote": "a = 'it\\'s'\n!ls",
    "a comment with brackets": "a = 1  # (\n!ls",
    "nested": "for a in b:\n    if a:\n        !echo {a}\n    %cd {a}",
}


@pytest.mark.parametrize("source", ALIKE.values(), ids=ALIKE)
def test_ipython_takes_the_same_lines_for_its_own(source: str) -> None:
    transformer = pytest.importorskip("IPython.core.inputtransformer2").TransformerManager()
    table = Masked()
    masked(source, table)
    transformed = transformer.transform_cell(source)
    try:
        ast.parse(transformed)
    except SyntaxError:
        assert table.whole
        return
    assert transformed.count("get_ipython()") == len(table.texts) or (table.whole and "\r" in source)
