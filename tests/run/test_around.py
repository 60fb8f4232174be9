"""Files named one by one, as a hook names them: the rest of the project is looked at, and never written."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.projects.harness import write
from tests.run.commands import COMPAT, EXACT, LEFT, PLAIN, rewrite

TAKER = """\
from env import xops


def build(a):
    return xops.SparseCS(a)
"""
CALLER = """\
from env import memory_efficient_attention as attend


def f(x, b, n, h):
    q, k, v = x.view(b, n, 3, h, -1).unbind(2)
    return attend(q, k, v)
"""
FLAG = """\
try:
    import xformers

    HAS_XFORMERS = True
except ImportError:
    HAS_XFORMERS = False
"""
GUARDED = """\
from flag import HAS_XFORMERS

if HAS_XFORMERS:
    from xformers.components import build_attention
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    write(tmp_path, {"pyproject.toml": "", "env.py": EXACT, "plain.py": PLAIN})
    monkeypatch.chdir(tmp_path)
    return tmp_path


def hook(*files: str) -> str:
    return rewrite("--no-new-files", "--flags=keep", "--no-journal", "--", *files).output


def held(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*.py")}


def test_a_name_that_a_file_around_imports_stays(project: Path) -> None:
    write(project, {"sub/taker.py": TAKER})
    before = held(project)
    assert "env.py:7:12: XF101 exact" in hook("env.py")
    assert "import xformers.ops as xops" in held(project)["env.py"]
    assert {**held(project), "env.py": ""} == {**before, "env.py": ""}
    write(project, {"sub/taker.py": PLAIN, "env.py": EXACT})
    hook("env.py")
    assert "xformers" not in held(project)["env.py"], "nobody takes it any more"


def test_without_a_border_there_is_nothing_around(project: Path) -> None:
    write(project, {"sub/taker.py": TAKER})
    (project / "pyproject.toml").unlink()
    hook("env.py")
    assert "xformers" not in held(project)["env.py"]


def test_the_operator_may_come_from_a_file_around(project: Path) -> None:
    write(project, {"env.py": "from xformers.ops import memory_efficient_attention\n", "caller.py": CALLER})
    assert "caller.py:6:12: XF101 assumed" in hook("caller.py")
    assert "attend" not in held(project)["caller.py"]
    assert held(project)["env.py"] == "from xformers.ops import memory_efficient_attention\n"


def test_a_flag_that_guards_a_use_around_stays_true(project: Path) -> None:
    write(project, {"flag.py": FLAG, "guarded.py": GUARDED})
    write(project, {"attention.py": "from flag import HAS_XFORMERS\n" + EXACT})
    hook("flag.py", "attention.py")
    assert held(project)["flag.py"] == FLAG
    (project / "guarded.py").write_text(PLAIN)
    write(project, {"attention.py": "from flag import HAS_XFORMERS\n" + EXACT})
    hook("flag.py", "attention.py")
    assert held(project)["flag.py"] != FLAG, "nothing stands in the way"


def test_a_helper_that_files_around_use_stays_and_serves(project: Path) -> None:
    write(project, {"first.py": COMPAT})
    rewrite("--flags", "off", ".")
    helper = held(project)["_attention_compat.py"]
    write(project, {"second.py": COMPAT.replace("attend", "second"), "_attention_compat.py": helper})
    said = hook("second.py", "_attention_compat.py")
    assert "second.py:5:12: XF161 compat" in said
    assert held(project)["_attention_compat.py"] == helper


def test_a_call_that_waits_for_the_helper_says_so_with_the_command(project: Path) -> None:
    write(project, {"needs.py": COMPAT})
    said = hook("needs.py")
    assert "needs.py:5:12: " in said
    assert "; it waits for the helper module, which `xf2sdpa rewrite .` makes" in said
    assert held(project)["needs.py"] == COMPAT
    write(project, {"needs.py": LEFT})
    assert "waits" not in hook("needs.py"), "no helper would answer this one"
    write(project, {"needs.py": COMPAT})
    assert "waits" not in rewrite("--no-helper", "needs.py").output, "none is wanted"
    rewrite(".")
    assert "memory_efficient_attention" in held(project)["_attention_compat.py"]


NAMES = "import torch\nfrom xformers.ops import SwiGLU, unbind\n\nlayer = SwiGLU(4, 8)\n"


def test_names_that_wait_for_the_helper_say_so_with_the_command(project: Path) -> None:
    write(project, {"needs.py": NAMES})
    said = hook("needs.py")
    assert "needs.py:2" in said
    assert "XF414 SwiGLU waits for the helper module, which `xf2sdpa rewrite .` makes" in said
    assert "SwiGLU" in held(project)["needs.py"]
    assert "XF414" not in rewrite("--no-helper", "needs.py").output, "none is wanted"
    assert "XF414" not in rewrite("--no-new-files", "--ignore", "XF414", "needs.py").output
    write(project, {"needs.py": COMPAT + "\n\n" + NAMES.replace("import torch\n", "").replace(", unbind", "")})
    said = hook("needs.py")
    assert said.count("waits for the helper module") == 1, "its call says so"
    write(project, {"needs.py": NAMES})
    rewrite(".")
    assert "XF414" not in hook("needs.py")
    write(project, {"needs.py": NAMES})
    hook("needs.py")
    assert "xformers" not in held(project)["needs.py"], "it is there"


def test_what_cannot_be_read_around_is_not_this_runs_matter(project: Path) -> None:
    (project / "around.py").write_bytes(b"import xformers\n\x00\xff")
    result = rewrite("--check", "env.py")
    assert result.exit_code == 1
    assert "around.py:1:1: XF9" not in result.output
    assert "1 file scanned" in result.output


def test_files_around_get_no_flags_and_no_line_in_the_report(project: Path) -> None:
    main = "import torch\nfrom env import attend\n\nif __name__ == '__main__':\n    attend(torch.ones(3))\n"
    write(project, {"train.py": main, "other.py": EXACT})
    said = rewrite("env.py").output
    assert held(project)["train.py"] == main
    assert "other.py:7:12: " not in said
    assert "train.py:" not in said
