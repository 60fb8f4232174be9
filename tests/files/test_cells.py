"""The splice of a notebook's JSON: what is not edited stays to the byte, and `nbformat` reads what was written."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.notebooks import book, code, printed, prose
from xf2sdpa.files.cells import NewCell, NotNotebook, lines_of, read_book

CELLS = (prose("# Größe"), code("import torch", "x = 'ä'", outputs=printed("ä\u2028\n")), code("y = 1"), code())
WHOLE: dict[str, Any] = json.loads(book(*CELLS))

FORMS = {
    "jupyter": book(*CELLS),
    "no newline at the end": book(*CELLS).rstrip("\n"),
    "two spaces": json.dumps(WHOLE, indent=2, ensure_ascii=False),
    "tabs": json.dumps(WHOLE, indent="\t"),
    "escaped": json.dumps(WHOLE, indent=1, ensure_ascii=True) + "\n",
    "minified": json.dumps(WHOLE, separators=(",", ":")),
    "one line": json.dumps(WHOLE),
    "line ends of Windows": book(*CELLS).replace("\n", "\r\n"),
    "keys in another order": json.dumps(dict(reversed(WHOLE.items())), indent=1),
    "strings": json.dumps(
        {**WHOLE, "cells": [{**c, "source": "".join(c["source"])} for c in WHOLE["cells"]]}, indent=1
    ),
}


@pytest.mark.parametrize("text", FORMS.values(), ids=FORMS)
def test_nothing_changes_without_an_edit(text: str) -> None:
    assert read_book(text).edited({}) == text


@pytest.mark.parametrize("text", FORMS.values(), ids=FORMS)
def test_an_edit_changes_one_source_and_keeps_its_form(text: str) -> None:
    found = read_book(text)
    cell = found.cells[0]
    assert cell.value is not None
    new = cell.source.replace("import torch", "import torch.nn as nn")
    edited = found.edited({cell.index: new})
    start, end = cell.value
    assert edited[:start] == text[:start]
    assert edited.endswith(text[end:])
    before, after = json.loads(text), json.loads(edited)
    assert type(after["cells"][1]["source"]) is type(before["cells"][1]["source"])
    assert "".join(after["cells"][1]["source"]) == new
    after["cells"][1]["source"] = before["cells"][1]["source"]
    assert after == before
    assert found.edited({cell.index: cell.source}) == text


def test_lines_that_stay_keep_their_escapes() -> None:
    text = book(code("a = '<b>'", "é = 1", "c = 2")).replace("<b>", "\\u003cb\\u003e").replace("é", "\\u00e9")
    edited = read_book(text).edited({0: "a = '<b>'\né = 1\nc = 'ß'"})
    assert edited == text.replace('"c = 2"', "\"c = '\\u00df'\"")
    plain = book(code("é = 1", "c = 2"))
    assert read_book(plain).edited({0: "é = 1\nc = 'ß'"}) == plain.replace("c = 2", "c = 'ß'")


def test_a_cell_that_loses_all_is_empty() -> None:
    assert json.loads(read_book(FORMS["jupyter"]).edited({1: ""}))["cells"][1]["source"] == []
    assert json.loads(read_book(FORMS["strings"]).edited({1: ""}))["cells"][1]["source"] == ""


@pytest.mark.parametrize("text", FORMS.values(), ids=FORMS)
@pytest.mark.parametrize("before", [0, 1, 4])
def test_a_new_cell_is_written_as_its_neighbours(text: str, before: int) -> None:
    nbformat = pytest.importorskip("nbformat")
    edited = read_book(text).edited({}, [NewCell(before, "a = 'ü'\nb = 1", "ours")])
    after = json.loads(edited)
    made = after["cells"].pop(before)
    assert "".join(made["source"]) == "a = 'ü'\nb = 1"
    assert after == json.loads(text)
    nbformat.validate(nbformat.reads(edited, as_version=4))
    form = {"indent": 1, "ensure_ascii": False}
    if text == FORMS["jupyter"]:
        assert edited == json.dumps(json.loads(edited), **form) + "\n"
    assert read_book(edited).edited({}, gone=[before]) == text


def test_a_new_cell_has_an_id_where_cells_have_one() -> None:
    nbformat = pytest.importorskip("nbformat")
    text = book(code("x = 1", id="ours"), nbformat_minor=5)
    edited = read_book(text).edited({}, [NewCell(0, "a = 1", "ours")])
    assert [cell["id"] for cell in json.loads(edited)["cells"]] == ["ours-2", "ours"]
    nbformat.validate(nbformat.reads(edited, as_version=4))


def test_what_is_edited_is_as_nbformat_reads_it() -> None:
    nbformat = pytest.importorskip("nbformat")
    for text in FORMS.values():
        theirs = nbformat.reads(text, as_version=4)
        assert [c.source for c in theirs.cells if c.cell_type == "code"] == [c.source for c in read_book(text).cells]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('{"cells": [ ', "is no JSON"),
        ('{"cells": []} x', "is no JSON"),
        ('["xformers"]', "no notebook"),
        ('{"worksheets": [], "nbformat": 3}', "is in format 3"),
        ('{"cells": [], "nbformat": 5}', "format 4"),
        ('{"cells": [], "metadata": {}}', "format 4"),
        ('{"nbformat": 4}', "no list of cells"),
        ('{"nbformat": 4, "cells": {}}', "no list of cells"),
        ('{"nbformat": 4, "cells": [1]}', "as cell 1"),
        ('{"nbformat": 4, "cells": [{"cell_type": "code", "source": [1]}]}', "no text, in cell 1"),
        ("[" * 100_000, "nests too deep"),
        ('{"nbformat": 4, "cells": ' + "[" * 100_000, "nests too deep"),
    ],
)
def test_what_is_no_notebook(text: str, why: str) -> None:
    with pytest.raises(NotNotebook, match=why):
        read_book(text)


@pytest.mark.parametrize(
    ("metadata", "python"),
    [
        ({}, True),
        ({"language_info": {"name": "python"}}, True),
        ({"kernelspec": {"language": "python"}}, True),
        ({"language_info": {"name": "julia"}}, False),
        ({"kernelspec": {"language": "R"}}, False),
        ({"kernelspec": "odd", "language_info": None}, True),
    ],
)
def test_the_language_of_a_notebook(metadata: Any, python: bool) -> None:
    assert read_book(book(code("x"), metadata=metadata)).python is python


def test_the_language_of_a_cell() -> None:
    cells = read_book(book(code("x"), code("x", metadata={"vscode": {"languageId": "sql"}}))).cells
    assert [cell.python for cell in cells] == [True, False]


def test_of_a_key_that_comes_twice_the_last_counts() -> None:
    text = '{"nbformat": 4, "cells": [{"cell_type": "code", "source": "a", "source": "b"}]}'
    assert [cell.source for cell in read_book(text).cells] == ["b"]
    assert read_book(text).edited({0: "c"}) == text.replace('"b"', '"c"')


@pytest.mark.parametrize(
    ("source", "lines"), [("", []), ("a", ["a"]), ("a\n", ["a\n"]), ("a\n\nb", ["a\n", "\n", "b"])]
)
def test_lines(source: str, lines: list[str]) -> None:
    assert lines_of(source) == lines
