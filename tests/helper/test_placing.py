"""Where the helper module goes, and how each file of a project imports it: by the layout of the project."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests import oracle
from tests.projects.harness import COPY, assert_equal, execute, imports_of_xformers, installed, rewrite, tree, write
from xf2sdpa.helper.placing import Imports, packages_of, places
from xf2sdpa.project.import_graph import imports_in

USER = """\
import xformers.ops as xops


def attend(q, k, v, bias=None):
    return xops.memory_efficient_attention(q, k, v, attn_bias=bias)
"""
"""A module that needs the helper."""
MAIN = """\
{imports}


def run(q, k, v):
    return "fast", {call}
"""


@dataclass(frozen=True)
class Layout:
    """A project, where its copies belong, and lines that its files must hold afterwards.

    Attributes:
        name: what the case is called.
        files: the project; an empty text makes an empty file.
        copies: the paths of the helper modules.
        lines: by file, how it imports the helper.
        root: the folder below the project that is on the path when it runs.
        entry: the module that defines `run`.
    """

    name: str
    files: dict[str, str]
    copies: list[str]
    lines: dict[str, str] = field(default_factory=dict)
    root: str = ""
    entry: str = "main"


def main(imports: str, call: str = "attend(q, k, v)") -> str:
    return MAIN.format(imports=imports, call=call)


HELPER = "_attention_compat"
NAME = "memory_efficient_attention"
LAYOUTS = [
    Layout(
        "flat scripts",
        {"main.py": main("from layers import attend"), "layers.py": USER},
        [COPY],
        {"layers.py": f"from {HELPER} import {NAME}"},
    ),
    Layout(
        "flat scripts, one of which holds a relative import of what is not there",
        {
            "main.py": "from layers import attend\n\nif attend is None:\n    from .watermark import Watermark\n\n\n"
            'def run(q, k, v):\n    return "fast", attend(q, k, v)\n',
            "layers.py": USER,
        },
        [COPY],
        {"layers.py": f"from {HELPER} import {NAME}"},
    ),
    Layout(
        "a script that a dead relative import stands in itself",
        {
            "main.py": USER + "\n\nif attend is None:\n    from .watermark import Watermark\n\n\n"
            'def run(q, k, v):\n    return "fast", attend(q, k, v)\n',
        },
        [COPY],
        {"main.py": f"from {HELPER} import {NAME}"},
    ),
    Layout(
        "flat scripts, one of which is imported both ways",
        {
            "main.py": main("from layers import attend"),
            "layers.py": USER,
            "other.py": "from .layers import attend\n",
        },
        [COPY],
        {"layers.py": f"from {HELPER} import {NAME}"},
    ),
    Layout(
        "a checkout whose name is no identifier, a package all the same",
        {
            "my-nets/__init__.py": "",
            "my-nets/layers.py": "from .other import ONE\n" + USER,
            "my-nets/other.py": "ONE = 1\n",
            "main.py": "import importlib\n\nattend = importlib.import_module('my-nets.layers').attend\n\n\n"
            'def run(q, k, v):\n    return "fast", attend(q, k, v)\n',
        },
        [f"my-nets/{COPY}"],
        {"my-nets/layers.py": f"from .{HELPER} import {NAME}"},
    ),
    Layout(
        "a script beside a package's __init__, which imports both ways",
        {
            "my-nets/__init__.py": "",
            "my-nets/main.py": "try:\n    from .other import ONE\nexcept ImportError:\n    from other import ONE\n"
            + USER
            + '\n\ndef run(q, k, v):\n    return "fast", attend(q, k, v) * ONE\n',
            "my-nets/other.py": "ONE = 1\n",
        },
        [f"my-nets/{COPY}"],
        {"my-nets/main.py": f"from {HELPER} import {NAME}"},
        root="my-nets",
    ),
    Layout(
        "a package without relative imports",
        {"pkg/__init__.py": "", "pkg/layers.py": USER, "main.py": main("from pkg.layers import attend")},
        [f"pkg/{COPY}"],
        {"pkg/layers.py": f"from pkg.{HELPER} import {NAME}"},
    ),
    Layout(
        "a package with relative imports",
        {
            "pkg/__init__.py": "",
            "pkg/layers.py": "from .other import ONE\n" + USER,
            "pkg/other.py": "ONE = 1\n",
            "main.py": main("from pkg.layers import attend"),
        },
        [f"pkg/{COPY}"],
        {"pkg/layers.py": f"from .{HELPER} import {NAME}"},
    ),
    Layout(
        "two files of different depths",
        {
            "pkg/__init__.py": "",
            "pkg/top.py": "from . import models\n" + USER,
            "pkg/models/__init__.py": "from .layers import attend\n",
            "pkg/models/layers.py": "from ..other import ONE\n" + USER,
            "pkg/other.py": "ONE = 1\n",
            "main.py": main("from pkg import models, top", "models.attend(q, k, v) + top.attend(q, k, v)"),
        },
        [f"pkg/{COPY}"],
        {
            "pkg/top.py": f"from .{HELPER} import {NAME}",
            "pkg/models/layers.py": f"from ..{HELPER} import {NAME}",
        },
    ),
    Layout(
        "the nearest package that its users share",
        {
            "pkg/__init__.py": "",
            "pkg/models/__init__.py": "",
            "pkg/models/vision/__init__.py": "",
            "pkg/models/vision/one.py": "from ..common import ONE\n" + USER,
            "pkg/models/vision/two.py": USER,
            "pkg/models/common.py": "ONE = 1\n",
            "main.py": main("from pkg.models.vision import one, two", "one.attend(q, k, v) + two.attend(q, k, v)"),
        },
        [f"pkg/models/vision/{COPY}"],
        {
            "pkg/models/vision/one.py": f"from .{HELPER} import {NAME}",
            "pkg/models/vision/two.py": f"from .{HELPER} import {NAME}",
        },
    ),
    Layout(
        "in sister packages",
        {
            "pkg/__init__.py": "",
            "pkg/a/__init__.py": "",
            "pkg/a/layers.py": USER,
            "pkg/b/__init__.py": "",
            "pkg/b/layers.py": USER,
            "main.py": main(
                "import pkg.a.layers\nimport pkg.b.layers",
                "pkg.a.layers.attend(q, k, v) + pkg.b.layers.attend(q, k, v)",
            ),
        },
        [f"pkg/{COPY}"],
        {f"pkg/{part}/layers.py": f"from pkg.{HELPER} import {NAME}" for part in "ab"},
    ),
    Layout(
        "the package's own __init__",
        {"pkg/__init__.py": USER, "main.py": main("from pkg import attend")},
        [f"pkg/{COPY}"],
        {"pkg/__init__.py": f"from pkg.{HELPER} import {NAME}"},
    ),
    Layout(
        "the package's own __init__, relative",
        {
            "pkg/__init__.py": "from .other import ONE\n" + USER,
            "pkg/other.py": "ONE = 1\n",
            "main.py": main("from pkg import attend"),
        },
        [f"pkg/{COPY}"],
        {"pkg/__init__.py": f"from .{HELPER} import {NAME}"},
    ),
    Layout(
        "below src",
        {"src/pkg/__init__.py": "", "src/pkg/layers.py": USER, "src/main.py": main("from pkg.layers import attend")},
        [f"src/pkg/{COPY}"],
        {"src/pkg/layers.py": f"from pkg.{HELPER} import {NAME}"},
        root="src",
    ),
    Layout(
        "a repository whose name is no identifier",
        {
            "my-repo-2/__init__.py": "",
            "my-repo-2/pkg/__init__.py": "",
            "my-repo-2/pkg/layers.py": USER,
            "my-repo-2/main.py": main("from pkg.layers import attend"),
        },
        [f"my-repo-2/pkg/{COPY}"],
        {"my-repo-2/pkg/layers.py": f"from pkg.{HELPER} import {NAME}"},
        root="my-repo-2",
    ),
    Layout(
        "a folder of nodes whose name is no identifier, with relative imports",
        {
            "custom nodes-1/__init__.py": "",
            "custom nodes-1/layers.py": USER,
            "custom nodes-1/main.py": main("from layers import attend"),
        },
        [f"custom nodes-1/{COPY}"],
        {"custom nodes-1/layers.py": f"from {HELPER} import {NAME}"},
        root="custom nodes-1",
    ),
    Layout(
        "a namespace package",
        {
            "models/vision/layers.py": USER,
            "models/text/layers.py": USER,
            "main.py": main(
                "from models.text import layers as one\nfrom models.vision import layers as two",
                "one.attend(q, k, v) + two.attend(q, k, v)",
            ),
        },
        [f"models/{COPY}"],
        {f"models/{part}/layers.py": f"from models.{HELPER} import {NAME}" for part in ("vision", "text")},
    ),
    Layout(
        "a namespace package with relative imports",
        {
            "models/vision/layers.py": "from ..common import ONE\n" + USER,
            "models/common.py": "ONE = 1\n",
            "main.py": main("from models.vision.layers import attend"),
        },
        [f"models/vision/{COPY}"],
        {"models/vision/layers.py": f"from .{HELPER} import {NAME}"},
    ),
    Layout(
        "several packages with nothing in common",
        {
            "one/pkg_a/__init__.py": "",
            "one/pkg_a/layers.py": USER,
            "two/pkg_b/__init__.py": "",
            "two/pkg_b/layers.py": USER,
            "main.py": main(
                "import sys\nfrom pathlib import Path\n\n"
                'sys.path += [str(Path(__file__).parent / name) for name in ("one", "two")]'
                "\n\nfrom pkg_a.layers import attend\nfrom pkg_b.layers import attend as other",
                "attend(q, k, v) + other(q, k, v)",
            ),
        },
        [f"one/pkg_a/{COPY}", f"two/pkg_b/{COPY}"],
        {
            "one/pkg_a/layers.py": f"from pkg_a.{HELPER} import {NAME}",
            "two/pkg_b/layers.py": f"from pkg_b.{HELPER} import {NAME}",
        },
    ),
    Layout(
        "two packages side by side, one of which imports the other",
        {
            "core/__init__.py": "",
            "core/layers.py": USER,
            "app/__init__.py": "",
            "app/model.py": "from core.layers import attend as below\n" + USER,
            "main.py": main("from app.model import attend, below", "attend(q, k, v) + below(q, k, v)"),
        },
        [f"core/{COPY}"],
        {f"{file}.py": f"from core.{HELPER} import {NAME}" for file in ("core/layers", "app/model")},
    ),
    Layout(
        "a script beside the package",
        {
            "pkg/__init__.py": "",
            "pkg/layers.py": USER,
            "main.py": USER + "\n\ndef run(q, k, v):\n    from pkg import layers\n\n"
            '    return "fast", attend(q, k, v) + layers.attend(q, k, v)\n',
        },
        [f"pkg/{COPY}"],
        {"main.py": f"from pkg.{HELPER} import {NAME}", "pkg/layers.py": f"from pkg.{HELPER} import {NAME}"},
    ),
    Layout(
        "a script in a folder of scripts",
        {
            "pkg/__init__.py": "",
            "pkg/layers.py": "ONE = 1\n",
            "scripts/train.py": USER + '\n\ndef run(q, k, v):\n    return "fast", attend(q, k, v)\n',
        },
        [f"scripts/{COPY}"],
        {"scripts/train.py": f"from {HELPER} import {NAME}"},
        root="scripts",
        entry="train",
    ),
    Layout(
        "an import inside a function",
        {
            "pkg/__init__.py": "",
            "pkg/layers.py": "def attend(q, k, v, bias=None):\n"
            "    from . import other\n    import xformers.ops as xops\n\n    assert other.ONE\n"
            "    return xops.memory_efficient_attention(q, k, v, attn_bias=bias)\n",
            "pkg/other.py": "ONE = 1\n",
            "main.py": main("from pkg.layers import attend"),
        },
        [f"pkg/{COPY}"],
    ),
    Layout(
        "a module after a docstring and future imports",
        {
            "main.py": '"""Attend."""\n\nfrom __future__ import annotations\n\nimport math\n\n'
            + USER
            + '\n\ndef run(q, k, v):\n    return "fast", attend(q, k, v) * math.sqrt(4)\n'
        },
        [COPY],
        {"main.py": f"from {HELPER} import {NAME}"},
    ),
]


@pytest.mark.parametrize("layout", LAYOUTS, ids=[layout.name for layout in LAYOUTS])
def test_layout(layout: Layout, tmp_path: Path) -> None:
    write(tmp_path, layout.files)
    root = tmp_path / layout.root
    before = execute(root, installed, entry=layout.entry)
    assert before.xformers_calls, "the example does not call xformers"
    report = rewrite(tmp_path).output
    after_files = tree(tmp_path)
    assert sorted(name for name in after_files if name.endswith(COPY)) == layout.copies, report
    for name, line in layout.lines.items():
        assert line in after_files[name].splitlines(), after_files[name]
    assert not imports_of_xformers(tmp_path), report
    after = execute(root, oracle.absent, entry=layout.entry)
    assert after.sdpa_calls
    assert_equal(before, after)
    for copy in layout.copies:
        assert f"New {tmp_path / copy}, for " in report
    rewrite(tmp_path)
    assert tree(tmp_path) == after_files


def test_paths_are_spelled_as_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, {"pkg/__init__.py": "", "pkg/layers.py": USER})
    monkeypatch.chdir(tmp_path)
    assert f"New pkg/{COPY}, for 1 file.\n" in rewrite("pkg").output
    assert (tmp_path / "pkg" / COPY).is_file()


def test_from_inside_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, {"pkg/__init__.py": "", "pkg/sub/__init__.py": "", "pkg/sub/a.py": USER, "pkg/b.py": USER})
    monkeypatch.chdir(tmp_path / "pkg" / "sub")
    rewrite("a.py")
    assert tree(tmp_path)["pkg/sub/a.py"].startswith(f"from pkg.sub.{HELPER} import {NAME}\n")
    assert (tmp_path / "pkg" / "sub" / COPY).is_file()


def test_a_link_to_the_project(tmp_path: Path) -> None:
    write(
        tmp_path / "real",
        {"pkg/__init__.py": "", "pkg/layers.py": USER, "main.py": main("from pkg.layers import attend")},
    )
    (tmp_path / "link").symlink_to(tmp_path / "real", target_is_directory=True)
    rewrite(tmp_path / "link")
    assert (tmp_path / "real" / "pkg" / COPY).is_file()
    assert execute(tmp_path / "real", oracle.absent).sdpa_calls


def test_relative_imports_show_packages(tmp_path: Path) -> None:
    write(tmp_path, {"a/b/c.py": "", "a/b/d/e.py": "", "a/g.py": ""})
    importer = tmp_path / "a" / "b" / "c.py"
    folders = packages_of(importer, imports_in("from .d.e import f\nfrom ..g import h\nimport a.z\n"))
    here = importer.resolve().parent
    assert folders == {here, here.parent, here / "d"}
    assert not packages_of(importer, imports_in("import a.z\nfrom a.b import c\n"))
    assert not packages_of(importer, imports_in("from .nothing import f\nfrom . import nothing\nfrom ..d import e\n"))


def test_a_module_that_others_import_relatively_gets_a_relative_import(tmp_path: Path) -> None:
    """Whether the file itself imports relatively, or has an `__init__.py` beside it, says nothing."""
    root = tmp_path / "no-identifier"
    user = root / "deep" / "layer.py"
    user.parent.mkdir(parents=True)
    user.write_text("import torch\n")
    packages = packages_of(root / "nodes.py", imports_in("from .deep.layer import Layer\n"))
    (place,) = places([user], {user: user.read_text()}, Imports(frozenset(), frozenset(packages)), "helper")
    assert place.folder == user.parent
    assert place.modules == {user: ".helper"}
