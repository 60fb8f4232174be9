"""A flag that keeps code off xformers goes on telling whether it is installed, while such code is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.projects.harness import rewrite, write

ATTENTION = """\
from pkg.env import HAS_XFORMERS

if HAS_XFORMERS:
    from xformers.ops import memory_efficient_attention


def attend(q, k, v):
    b, n, h, d = q.shape
    if HAS_XFORMERS:
        return memory_efficient_attention(q, k, v)
    return None
"""
GUARD = """\
try:
    import xformers

    HAS_XFORMERS = True
except ImportError:
    HAS_XFORMERS = False
"""
LOOKUP = 'from importlib.util import find_spec\n\nHAS_XFORMERS = find_spec("xformers") is not None\n'
FUNCTION = 'from importlib.util import find_spec\n\n\ndef has():\n    return find_spec("xformers") is not None\n'
VERSION = "from importlib.metadata import version\n"
BY_IF = "    if HAS_XFORMERS:\n        return {}\n    return None\n"
BY_RETURN = "    if not HAS_XFORMERS:\n        return None\n    return {}\n"
BY_AND = "    return HAS_XFORMERS and {}\n"


def project(folder: Path, env: str, **files: str) -> Path:
    texts = {"__init__": "", "attention": ATTENTION, "env": env, **files}
    return write(folder, {f"pkg/{name}.py": text for name, text in texts.items()})


def env(folder: Path) -> str:
    return (folder / "pkg/env.py").read_text()


def run(folder: Path, text: str, monkeypatch: pytest.MonkeyPatch) -> object:
    """The value of `answer` after a text has run in the project, without xformers."""
    import importlib.metadata  # noqa: PLC0415 - what the text asks is answered for it here
    import importlib.util  # noqa: PLC0415
    import sys  # noqa: PLC0415

    def missing(name: str) -> str:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setitem(sys.modules, "xformers", None)
    monkeypatch.setattr(importlib.metadata, "version", missing)
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    monkeypatch.syspath_prepend(str(folder))
    space: dict[str, object] = {}
    exec(text, space)
    for name in [name for name in sys.modules if name.partition(".")[0] == "pkg"]:
        del sys.modules[name]
    return space["answer"]


@pytest.mark.parametrize("flag", [GUARD, LOOKUP], ids=["guard", "lookup"])
@pytest.mark.parametrize("way", [BY_IF, BY_RETURN, BY_AND], ids=["if", "return", "and"])
@pytest.mark.parametrize("place", ["env", "info"])
def test_a_flag_stays_that_protects_a_use(
    tmp_path: Path, flag: str, way: str, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    use = VERSION + "\n\ndef describe():\n" + way.format('{"release": version("xformers")}')
    if place == "env":
        folder = project(tmp_path, f"{flag}\n{use}")
    else:
        folder = project(tmp_path, flag, info=f"from .env import HAS_XFORMERS\n{use}")
    before = env(folder)
    output = rewrite("--flags", "off", folder).output
    assert env(folder) == before
    if flag == LOOKUP and place == "env":  # a file that asks for the release keeps all its questions
        assert re.search(rf"{folder}/pkg/env.py:\d+:\d+: XF403 note", output)
        return
    assert f"{folder}/pkg/env.py:1:1: XF408 note" in output
    assert f'`version("xformers")` in {folder}/pkg/{place}.py'.replace('"', "'") in output
    assert not run(folder, f"from pkg.{place} import describe\nanswer = describe()", monkeypatch)
    text = {path.name: path.read_text() for path in folder.rglob("*.py")}
    assert "scaled_dot_product_attention" in text["attention.py"]
    rewrite("--flags", "off", folder)
    assert {path.name: path.read_text() for path in folder.rglob("*.py")} == text


def test_a_function_that_tells_is_followed(tmp_path: Path) -> None:
    use = "from .env import has\n\nif has():\n    from xformers.components import build_attention\n"
    folder = project(tmp_path, FUNCTION, info=f"{use}    BUILD = build_attention\n")
    write(folder, {"pkg/attention.py": ATTENTION.replace("HAS_XFORMERS:", "has():").replace("HAS_XFORMERS", "has")})
    assert "XF408" in rewrite(folder).output
    assert env(folder) == FUNCTION


@pytest.mark.parametrize("flag", [GUARD, LOOKUP], ids=["guard", "lookup"])
def test_a_flag_that_protects_nothing_is_set(tmp_path: Path, flag: str) -> None:
    other = "from importlib.metadata import version\n\n\ndef describe(SHOWN):\n    return SHOWN and version('torch')\n"
    folder = project(tmp_path, flag, info=other)
    assert "XF408" not in rewrite(folder).output
    assert env(folder).endswith("HAS_XFORMERS = True\n")


def test_a_flag_of_the_same_name_elsewhere_is_another_one(tmp_path: Path) -> None:
    use = f"{GUARD}\n{VERSION}\n\ndef describe():\n" + BY_IF.format('{"release": version("xformers")}')
    folder = project(tmp_path, GUARD, info=use)
    rewrite(folder)
    assert env(folder) == "HAS_XFORMERS = True\n"


def test_a_release_that_is_only_shown_is_shown_as_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = 'def describe():\n    return "xformers " + version("xformers") if HAS_XFORMERS else "no xformers"\n'
    folder = project(tmp_path, f"{VERSION}\n{GUARD}\n\n{shown}")
    output = rewrite(folder).output
    assert 'return "no xformers"\n' in env(folder)
    assert "HAS_XFORMERS = True\n" in env(folder)
    assert "xformers:" not in output
    assert run(folder, "from pkg.env import describe\nanswer = describe()", monkeypatch) == "no xformers"


LIBRARY = """\
import importlib.metadata
import importlib.util

_xformers_available = importlib.util.find_spec("xformers") is not None
try:
    _version = importlib.metadata.version("xformers")
    {more}
except {error}:
    _xformers_available = False


def is_xformers_available():
    return _xformers_available
"""
USER = """\
from pkg.env import is_xformers_available


def choose(net):
    if not is_xformers_available():
        raise ImportError("no xformers")
    return net.fast()
"""
MISSING = "importlib.metadata.PackageNotFoundError"


@pytest.mark.parametrize(
    ("more", "error", "told"),
    [
        ("_torch = importlib.metadata.version('torch')", MISSING, False),
        ("_triton = importlib.metadata.version('triton')", MISSING, True),
        ("_torch = importlib.metadata.version('torch')", "Exception", True),
        ("_torch = importlib.metadata.version('torch')\n    _xformers_available = look()", MISSING, True),
    ],
)
def test_a_flag_that_only_a_missing_torch_lowers_says_true(more: str, error: str, told: bool, tmp_path: Path) -> None:
    text = LIBRARY.format(more=more, error=error)
    attention = (
        ATTENTION.replace("HAS_XFORMERS:", "is_xformers_available():")
        .replace("HAS_X", "is_x")
        .replace("import is_xFORMERS", "import is_xformers_available")
    )
    texts = {"__init__": "", "env": text, "user": USER, "attention": attention}
    write(tmp_path, {f"pkg/{name}.py": text for name, text in texts.items()})
    output = rewrite("--flags", "off", tmp_path).output
    assert "_xformers_available = True" in env(tmp_path)
    assert (re.search(r"user.py:5\S*: XF403", output) is not None) is told, output
