"""Nothing outside of the project is written, whatever leads there; and a file's name is no option."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tests.files.trees import git
from xf2sdpa.cli import cli
from xf2sdpa.helper.text import assemble

EXACT = (
    "from xformers.ops import memory_efficient_attention\n\n\ndef f(q, k, v):\n    b, n, h, d = q.shape\n"
    "    return memory_efficient_attention(q, k, v, attn_bias=None)\n"
)
COMPAT = EXACT.replace("    b, n, h, d = q.shape\n", "")


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    file = tmp_path / "outside" / "theirs.py"
    file.parent.mkdir()
    file.write_text(EXACT)
    return file


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    root = tmp_path / "project"
    root.mkdir()
    (root / "m.py").write_text(EXACT)
    git(root, "init", "-q")
    monkeypatch.chdir(root)
    return root


def run(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ["rewrite", *arguments])


@pytest.mark.parametrize("paths", [["."], ["theirs.py", "m.py"], ["--", "theirs.py", "m.py"]])
def test_a_link_out_of_the_project_is_named_and_not_written(project: Path, outside: Path, paths: list[str]) -> None:
    (project / "theirs.py").symlink_to(outside)
    git(project, "add", ".")
    result = run(*paths)
    assert result.exit_code == 2, result.output
    assert "theirs.py:1:1: XF904 error   is a link that leads out of the project" in result.output
    assert outside.read_text() == EXACT
    assert "xformers" not in (project / "m.py").read_text()


def test_a_link_inside_of_the_project_is_followed(project: Path) -> None:
    (project / "a").mkdir()
    (project / "a" / "real.txt").write_text(EXACT)
    (project / "b.py").symlink_to("a/real.txt")
    assert run(".").exit_code == 0
    assert "xformers" not in (project / "a" / "real.txt").read_text()


def test_a_link_that_nobody_need_touch_is_not_told(project: Path, outside: Path) -> None:
    outside.write_text("x = 1\n")
    (project / "theirs.py").symlink_to(outside)
    result = run(".")
    assert (result.exit_code, "theirs" in result.output) == (0, False)


@pytest.mark.parametrize("key", ["paths", "flags-in"])
@pytest.mark.parametrize("kind", ["up", "absolute", "link"])
def test_a_configuration_names_nothing_outside(project: Path, outside: Path, key: str, kind: str) -> None:
    (project / "link.py").symlink_to(outside)
    name = {"up": "../outside/theirs.py", "absolute": str(outside), "link": "link.py"}[kind]
    (project / "pyproject.toml").write_text(f"[tool.xf2sdpa]\n{key} = ['{name}']\n")
    result = run(*([] if key == "paths" else ["m.py"]))
    assert result.exit_code == 2
    assert f"tool.xf2sdpa.{key}: " in result.output
    assert "outside of the project" in result.output
    assert outside.read_text() == EXACT


def test_a_person_may_name_what_lies_outside(project: Path, outside: Path) -> None:
    assert run("../outside/theirs.py").exit_code == 0
    assert "xformers" not in outside.read_text()


@pytest.mark.parametrize("there", [True, False])
def test_a_helper_that_is_a_link_out_is_not_written(project: Path, outside: Path, there: bool) -> None:
    (project / "m.py").write_text(COMPAT)
    target = outside.parent / "helper.py"
    old = assemble({"LowerTriangularMask"})
    if there:
        target.write_text(old)
    (project / "_attention_compat.py").symlink_to(target)
    result = run("m.py")
    assert result.exit_code == 2, result.output
    assert "xformers" in (project / "m.py").read_text()
    assert target.read_text() == old if there else not target.exists()


@pytest.mark.parametrize("name", ["--check", "-q", "--exclude=*.py", "--ignore=XF", "--strict.py"])
def test_a_name_is_no_option(project: Path, name: str) -> None:
    (project / name).write_text(EXACT)
    result = run(name, "m.py")
    assert result.exit_code == 2
    assert f"xf2sdpa: {name} is the name of a file here" in result.output
    assert run("--", name, "m.py").exit_code == 0
    assert "xformers" not in (project / name).read_text()
