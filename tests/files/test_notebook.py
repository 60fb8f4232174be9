"""A notebook as one module text, line by line, and back to the byte."""

from __future__ import annotations

import ast
import json
from pathlib import Path

import pytest

from tests.notebooks import book, code, prose
from xf2sdpa.files.notebook import Notebook, decode_any, decode_notebook, joined, parts, read_any
from xf2sdpa.files.source import Source, SourceError

PATH = Path("demo.ipynb")
CELLS = (
    prose("# A"),
    code("import torch", "%matplotlib inline"),
    code(),
    code("%%bash", "echo (", ""),
    code("x = 'ü'", ""),
)


def opened(*cells: dict[str, object], **more: object) -> Notebook:
    source = decode_notebook(book(*cells, **more).encode(), PATH)
    assert source is not None
    return source


def test_cells_are_one_module_and_come_back() -> None:
    source = opened(*CELLS)
    ast.parse(source.text)
    found = list(parts(source.text))
    assert [part.number for part in found] == [2, 3, 4, 5]
    for part in found:
        lines = source.text.split("\n")[part.line :]
        assert lines[: part.code.count("\n") + 1] == part.code.split("\n")
        assert source.table.restored(part.code) == source.cell(part.number).source
    assert source.encode(source.with_cells(source.text)) == source.data


def test_an_edit_of_the_text_is_one_of_a_cell() -> None:
    source = opened(*CELLS)
    data = source.encode(source.with_cells(source.text.replace("import torch", "import torch\nimport math")))
    assert json.loads(data)["cells"][1]["source"] == ["import torch\n", "import math\n", "%matplotlib inline"]
    assert data.replace(b'    "import torch\\n",\n    "import math\\n"', b'    "import torch\\n"') == source.data


def test_new_cells_and_cells_that_go() -> None:
    source = opened(*CELLS, nbformat_minor=5)
    cells = [(str(part.number), part.code) for part in parts(source.text)]
    text = joined([('"first"', "a = 1"), cells[0], *cells[2:], ('"last"', "b = 2")])
    after = json.loads(source.with_cells(text))["cells"]
    assert ["".join(cell["source"]) for cell in after] == [
        *("# A", "a = 1", "import torch\n%matplotlib inline"),
        *("%%bash\necho (\n", "x = 'ü'\n", "b = 2"),
    ]
    assert [cell["id"] for cell in after if "id" in cell] == ["first", "last"]


def test_a_byte_order_mark_stays() -> None:
    data = b"\xef\xbb\xbf" + book(*CELLS).encode()
    source = decode_notebook(data, PATH)
    assert source is not None
    assert source.encode(source.with_cells(source.text)) == data


def test_without_code_cells() -> None:
    source = opened(prose("# A"))
    assert (source.text, list(parts(source.text))) == ("", [])
    assert source.encode(source.with_cells("")) == source.data


def test_which_cells_bind_what_they_import() -> None:
    cells = ("x = 1", "%%capture\nx", "%%time\nx", "%%timeit\nx", "%%bash\nx", "print 'a'", "!ls", "")
    source = opened(*(code(*cell.split("\n")) for cell in cells))
    taking = [source.takes_imports(part) for part in parts(source.text)]
    assert taking == [True, True, True, False, False, False, True, True]


def test_another_language_is_none_of_our_business(tmp_path: Path) -> None:
    path = tmp_path / "a.ipynb"
    path.write_text(book(code("using Flux"), metadata={"language_info": {"name": "julia"}}))
    assert read_any(path) is None


@pytest.mark.parametrize("data", [b"\xff\xfe{\0", b'{"cells": [', b"", b"x = 1\n"])
def test_what_is_no_notebook(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "a.ipynb"
    path.write_bytes(data)
    with pytest.raises(SourceError) as caught:
        read_any(path)
    assert (caught.value.code, caught.value.line) == ("XF911", 1)


def test_other_files_are_read_as_ever(tmp_path: Path) -> None:
    path = tmp_path / "a.py"
    path.write_text("x = 1\n")
    for source in (read_any(path), decode_any(b"x = 1\n", path)):
        assert type(source) is Source
        assert source.text == "x = 1\n"
