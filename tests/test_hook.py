"""The pre-commit hooks, by the real `pre-commit`: they rewrite or check, and never make a file.

And the GitHub action: its steps, run by bash as a runner would, without the runner.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.run.commands import COMPAT, EXACT, EXACT_AFTER, PLAIN

yaml = pytest.importorskip("yaml")

ROOT = Path(__file__).parent.parent
PACKAGED = ("xf2sdpa", "pyproject.toml", "README.md", "LICENSE", ".pre-commit-hooks.yaml")
NO_NETWORK = ("Could not find a version", "No matching distribution", "Connection", "name resolution", "Max retries")
PROJECT = {"model.py": EXACT, "plain.py": PLAIN, "needs_helper.py": COMPAT, "notes.txt": "We use xformers.\n"}

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="needs git")


def git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=t", "-c", "user.email=t@t", "-c", "commit.gpgsign=false", "-c", "core.hooksPath="]
    command = ["git", "-C", str(folder), *identity, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def repository(folder: Path) -> Path:
    git(folder, "init", "-q")
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "-m", "as it was")
    return folder


@pytest.fixture(scope="module")
def hooks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A git repository of this tool as it is now, committed or not."""
    folder = tmp_path_factory.mktemp("hooks")
    for name in PACKAGED:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, folder / name)
    return repository(folder)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    for name, text in PROJECT.items():
        (folder / name).write_text(text)
    return repository(folder)


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("GIT_", "PRE_COMMIT"))}
    return {**kept, "PRE_COMMIT_HOME": str(tmp_path_factory.mktemp("pre-commit")), "PRE_COMMIT_COLOR": "never"}


def pre_commit(folder: Path, environment: dict[str, str], *arguments: str) -> tuple[int, str]:
    command = [sys.executable, "-m", "pre_commit", *arguments]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    told = done.stdout + done.stderr
    if "CalledProcessError" in told and any(words in told for words in NO_NETWORK):
        pytest.skip("pip cannot install the hook's requirements here")
    assert done.returncode in (0, 1), told
    return done.returncode, told


def contents(folder: Path) -> dict[str, str]:
    return {file.name: file.read_text() for file in sorted(folder.iterdir()) if file.is_file()}


def test_the_hook_rewrites_by_try_repo(project: Path, hooks: Path, environment: dict[str, str]) -> None:
    status, told = pre_commit(project, environment, "try-repo", str(hooks), "xf2sdpa", "--all-files", "--verbose")
    assert status == 1, told
    assert "model.py:7:12: XF101 exact" in told
    assert contents(project) == {**PROJECT, "model.py": EXACT_AFTER}
    assert git(project, "status", "--short").split("\n") == [" M model.py", ""]


def test_the_hooks_by_a_configuration(project: Path, hooks: Path, environment: dict[str, str]) -> None:
    revision = git(hooks, "rev-parse", "HEAD").strip()
    written = {"repos": [{"repo": str(hooks), "rev": revision, "hooks": [{"id": "xf2sdpa"}, {"id": "xf2sdpa-check"}]}]}
    (project / ".pre-commit-config.yaml").write_text(yaml.safe_dump(written))
    git(project, "add", "-A")
    before = contents(project)

    status, told = pre_commit(project, environment, "run", "xf2sdpa-check", "--all-files")
    assert (status, contents(project)) == (1, before), told
    assert "1 file would be rewritten." in told

    status, told = pre_commit(project, environment, "run", "xf2sdpa", "--all-files")
    assert (status, contents(project)) == (1, {**before, "model.py": EXACT_AFTER}), told
    assert "files were modified by this hook" in told

    git(project, "add", "-A")
    for hook in ("xf2sdpa", "xf2sdpa-check"):
        status, told = pre_commit(project, environment, "run", hook, "--all-files")
        assert (status, contents(project)) == (0, {**before, "model.py": EXACT_AFTER}), told


# -- the action --------------------------------------------------------------------------------------


def action() -> dict[str, Any]:
    read: dict[str, Any] = yaml.safe_load((ROOT / "action.yml").read_text())
    return read


def test_every_step_of_the_action_has_a_shell_and_takes_inputs_from_its_environment() -> None:
    for step in action()["runs"]["steps"]:
        assert step["shell"] == "bash"
        assert "${{" not in step["run"], "an input in a script is code: hand it on by env"


def checked(tmp_path: Path, project: Path, **inputs: str) -> subprocess.CompletedProcess[str]:
    """The check step, run as a runner does."""
    (step,) = (step for step in action()["runs"]["steps"] if step.get("id") == "check")
    defaults = {name: str(value.get("default", "")) for name, value in action()["inputs"].items()}
    wrapper = tmp_path / "xf2sdpa"
    wrapper.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m xf2sdpa "$@"\n')
    wrapper.chmod(0o755)
    given = {name: defaults[name[6:].lower().replace("_", "-")] for name in step["env"] if name.startswith("INPUT_")}
    runner = {
        "RUNNER_TEMP": str(tmp_path),
        "GITHUB_OUTPUT": str(tmp_path / "output"),
        "GITHUB_STEP_SUMMARY": str(tmp_path / "summary"),
        "XF2SDPA": str(wrapper),
        "INPUT_PATHS": "model.py plain.py",
    }
    return subprocess.run(
        ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]],
        cwd=project,
        env={**os.environ, **given, **runner, **{f"INPUT_{name.upper()}": value for name, value in inputs.items()}},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.skipif(sys.platform == "win32", reason="runs bash")
@pytest.mark.parametrize(("args", "status"), [("", 1), ("--ignore XF1", 0), ("--no-such-option", 2)])
def test_the_check_of_the_action(tmp_path: Path, project: Path, args: str, status: int) -> None:
    done = checked(tmp_path, project, args=args)
    assert done.returncode == status, done.stderr
    assert f"exit-status={status}" in (tmp_path / "output").read_text()
    assert ("    model.py:7:12: XF101 exact" in (tmp_path / "summary").read_text()) == (status == 1)
    assert contents(project) == PROJECT


@pytest.mark.skipif(sys.platform == "win32", reason="runs bash")
def test_what_the_action_shows_is_not_obeyed(tmp_path: Path, project: Path) -> None:
    (project / "::warning ::all is well.py").write_text((project / "model.py").read_text())
    shown = checked(tmp_path, project, paths=".").stdout.splitlines()
    word = shown[0].removeprefix("::stop-commands::")
    assert len(word) > 10
    assert shown.index(f"::{word}::") > max(number for number, line in enumerate(shown) if "warning" in line) > 0


@pytest.mark.skipif(sys.platform == "win32", reason="runs bash")
def test_the_action_knows_two_formats(tmp_path: Path, project: Path) -> None:
    done = checked(tmp_path, project, output_format="../../x")
    assert done.returncode == 2
    assert "output-format is text or json" in done.stdout
