"""Which file imports which, by the text of the import statements."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xf2sdpa.project import import_graph
from xf2sdpa.project.import_graph import Import, ImportGraph, imports_in


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("import a.b as c, d", [Import(0, "a.b", "", "c"), Import(0, "d")]),
        ("    from .. import a as b, c  # why\n", [Import(2, "", "a", "b"), Import(2, "", "c", "c")]),
        (
            "from .a.b import (\n    c,  # one\n    d as e,\n)\n",
            [Import(1, "a.b", "c", "c"), Import(1, "a.b", "d", "e")],
        ),
        ("from a import b, \\\n    c\nx = 1", [Import(0, "a", "b", "b"), Import(0, "a", "c", "c")]),
        ("import a; import b", [Import(0, "a")]),
        ("from a import *\r\nfrom b import c\r\n", [Import(0, "a", "*", "*"), Import(0, "b", "c", "c")]),
        ("from . import a\n", [Import(1, "", "a", "a")]),
        ("# import a\nimportant = 1\nfromage = 2\n'import b'\n", []),
    ],
)
def test_every_form_of_import(text: str, found: list[Import]) -> None:
    assert list(imports_in(text)) == found


def graph(root: Path, **texts: str) -> ImportGraph:
    """Files by their path with `__` for a slash, and `_init_` for `__init__`."""
    files = {}
    for name, text in texts.items():
        path = root / (name.replace("_init_", "INIT").replace("__", "/").replace("INIT", "__init__") + ".py")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        files[str(path)] = text
    return ImportGraph(files)


def edges(root: Path, found: ImportGraph, name: str) -> set[str]:
    return {Path(file).relative_to(root).as_posix() for file in found.edges[str(root / name)]}


def test_a_name_leads_through_the_packages_init_to_where_it_comes_from(tmp_path: Path) -> None:
    found = graph(
        tmp_path,
        train="from pkg import Net as N, other\n",
        pkg___init_="from .models import Net\nfrom .heavy import Heavy\nfrom . import more\n",
        pkg__models___init_="from .net import Net\nfrom .old import Old\n",
        pkg__models__net="",
        pkg__models__old="",
        pkg__heavy="",
        pkg__more="",
        pkg__other="",
    )
    assert edges(tmp_path, found, "train.py") == {"pkg/models/net.py", "pkg/other.py"}
    assert edges(tmp_path, found, "pkg/__init__.py") == {"pkg/models/net.py", "pkg/heavy.py", "pkg/more.py"}


def test_a_name_that_no_import_brings_leads_to_the_init(tmp_path: Path) -> None:
    found = graph(tmp_path, train="from pkg import build\nimport pkg\n", pkg___init_="def build(): ...\n")
    assert edges(tmp_path, found, "train.py") == {"pkg/__init__.py"}


def test_a_package_that_imports_itself_ends(tmp_path: Path) -> None:
    found = graph(tmp_path, pkg___init_="from pkg import a\nfrom . import a\n", train="from pkg import a\n")
    assert edges(tmp_path, found, "train.py") == {"pkg/__init__.py"}


def test_a_module_in_a_package_is_found_from_the_packages_root_alone(tmp_path: Path) -> None:
    inside = {"lib__pkg___init_": "", "lib__pkg__sub__ops": ""}
    found = graph(tmp_path, **inside, other__deep__use="import sub.ops\nimport pkg.sub.ops\n")
    assert edges(tmp_path, found, "other/deep/use.py") == {"lib/pkg/sub/ops.py"}
    found = graph(tmp_path / "b", lib__sub__ops="", other__deep__use="import sub.ops\n")
    assert edges(tmp_path / "b", found, "other/deep/use.py") == {"lib/sub/ops.py"}


def test_import_roots_are_found(tmp_path: Path) -> None:
    found = graph(
        tmp_path,
        scripts__train="import near\nimport top.a\nfrom lib.b import f\nfrom deep.c import g\nimport utils\n",
        scripts__near="",
        top__a="",
        src__lib__b="",
        third__party__deep__c="",
        pkg__utils="",
    )
    expected = {"scripts/near.py", "top/a.py", "src/lib/b.py", "third/party/deep/c.py"}
    assert edges(tmp_path, found, "scripts/train.py") == expected, "a bare name is not looked for everywhere"


def test_the_nearer_of_two_is_taken_and_of_two_far_ones_none(tmp_path: Path) -> None:
    found = graph(
        tmp_path,
        one__train="import net\nfrom x.y import z\n",
        one__net="",
        two__net="",
        three__x__y="",
        four__x__y="",
    )
    assert edges(tmp_path, found, "one/train.py") == {"one/net.py"}


def test_the_shortest_way_and_what_runs(tmp_path: Path) -> None:
    found = graph(
        tmp_path,
        train="import a\nimport b\n",
        a="import c\n",
        b="import pkg.d\n",
        c="import pkg.d\n",
        pkg___init_="import e\n",
        pkg__d="",
        e="",
        other="import e\n",
    )
    steps = found.leading_to({str(tmp_path / "pkg/d.py")})
    assert {Path(file).name for file in steps} == {"d.py", "a.py", "b.py", "c.py", "train.py"}
    assert steps[str(tmp_path / "train.py")] == str(tmp_path / "b.py")
    assert {Path(file).name for file in found.reached_from(str(tmp_path / "b.py"))} == {
        "b.py",
        "d.py",
        "__init__.py",
        "e.py",
    }


def test_a_program_of_any_name_imports_but_is_not_imported(tmp_path: Path) -> None:
    for name, text in {"tool": "import net\n", "net.py": "import tool\n"}.items():
        (tmp_path / name).write_text(text)
    found = ImportGraph({str(tmp_path / name): (tmp_path / name).read_text() for name in ("tool", "net.py")})
    assert edges(tmp_path, found, "tool") == {"net.py"}
    assert edges(tmp_path, found, "net.py") == set()


@given(
    st.lists(
        st.sampled_from(
            [
                "import a",
                "from b import c",
                "\n",
                " ",
                "\\\n",
                ";",
                "(",
                ")",
                "# import",
                "as d",
                "\t",
                ",",
                "from . import x",
            ]
        )
    ).map("".join)
)
def test_statements_are_those_that_the_pattern_finds(text: str) -> None:
    found = [match.span() for match in import_graph._statements(text)]
    assert found == [match.span() for match in import_graph._IMPORT.finditer(text)]
