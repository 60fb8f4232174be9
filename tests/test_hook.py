"""The hooks, by the real `pre-commit` and `prek`: they rewrite, check or forbid, and never make a file."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.notebooks import book, code, sources
from tests.run.commands import ASSUMED, COMPAT, EXACT, EXACT_AFTER, LEFT, PLAIN

yaml = pytest.importorskip("yaml")

ROOT = Path(__file__).parent.parent
PACKAGED = ("xf2sdpa", "pyproject.toml", "hatch_build.py", "README.md", "LICENSE", ".pre-commit-hooks.yaml")
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
    repository(folder)
    git(folder, "tag", "v0.1.0")  # which the page names
    return folder


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


class Runner:
    """A program that runs hooks, with its caches in a folder of the test's own."""

    def __init__(self, name: str, environment: dict[str, str]) -> None:
        self.command = [sys.executable, "-m", "pre_commit"] if name == "pre-commit" else [shutil.which("prek") or ""]
        if not self.command[0]:
            pytest.skip("prek is not installed")
        place = str(Path(environment["PRE_COMMIT_HOME"]).with_name("prek"))
        self.environment = {**environment, "PREK_HOME": place, "PREK_COLOR": "never"}

    def run(self, folder: Path, *arguments: str) -> tuple[int, str]:
        """What the runner makes of the files that are staged."""
        return self.call(folder, "run", *arguments)

    def call(self, folder: Path, *arguments: str) -> tuple[int, str]:
        """What one of its commands says, and its status."""
        command = [*self.command, *arguments]
        done = subprocess.run(command, cwd=folder, env=self.environment, capture_output=True, text=True, check=False)
        told = done.stdout + done.stderr
        if done.returncode not in (0, 1) and any(words in told for words in (*NO_NETWORK, "download", "dns")):
            pytest.skip("the hook's requirements cannot be installed here")
        assert done.returncode in (0, 1), told
        return done.returncode, told


@pytest.fixture(params=["pre-commit", "prek"])
def runner(request: pytest.FixtureRequest, environment: dict[str, str]) -> Runner:
    return Runner(request.param, environment)


def test_the_hook_rewrites_by_try_repo(project: Path, hooks: Path, runner: Runner) -> None:
    status, told = runner.call(project, "try-repo", str(hooks), "xf2sdpa", "--all-files", "--verbose")
    assert status == 1, told
    assert "model.py:7:12: XF101 exact" in told
    assert contents(project) == {**PROJECT, "model.py": EXACT_AFTER}
    assert git(project, "status", "--short").split("\n") == [" M model.py", ""]


def test_the_hook_takes_notebooks(project: Path, hooks: Path, runner: Runner) -> None:
    notebook = project / "demo.ipynb"
    notebook.write_text(book(code(*EXACT.split("\n"))))
    git(project, "add", "-A")
    status, told = runner.call(project, "try-repo", str(hooks), "xf2sdpa", "--files", "demo.ipynb", "--verbose")
    assert status == 1, told
    assert "demo.ipynb:cell 1:7:12: XF101 exact" in told
    assert sources(notebook) == [EXACT_AFTER]


def test_the_hooks_by_a_configuration(project: Path, hooks: Path, environment: dict[str, str]) -> None:
    revision = git(hooks, "rev-parse", "HEAD").strip()
    written = {"repos": [{"repo": str(hooks), "rev": revision, "hooks": [{"id": "xf2sdpa"}, {"id": "xf2sdpa-check"}]}]}
    (project / ".pre-commit-config.yaml").write_text(yaml.safe_dump(written))
    git(project, "add", "-A")
    before = contents(project)

    status, told = pre_commit(project, environment, "run", "xf2sdpa-check", "--all-files")
    assert (status, contents(project)) == (1, before), told
    assert "1 to rewrite." in told

    status, told = pre_commit(project, environment, "run", "xf2sdpa", "--all-files")
    assert (status, contents(project)) == (1, {**before, "model.py": EXACT_AFTER}), told
    assert "files were modified by this hook" in told

    git(project, "add", "-A")
    for hook in ("xf2sdpa", "xf2sdpa-check"):
        status, told = pre_commit(project, environment, "run", hook, "--all-files")
        assert (status, contents(project)) == (0, {**before, "model.py": EXACT_AFTER}), told


# -- by a commit, as a person makes it, with pre-commit and with prek ---------------------------------


def configured(project: Path, hooks: Path, *ids: str) -> None:
    revision = git(hooks, "rev-parse", "HEAD").strip()
    written = {"repos": [{"repo": str(hooks), "rev": revision, "hooks": [{"id": name} for name in ids]}]}
    (project / ".pre-commit-config.yaml").write_text(yaml.safe_dump(written))


def test_what_is_staged(project: Path, hooks: Path, runner: Runner) -> None:
    configured(project, hooks, "xf2sdpa", "xf2sdpa-forbid")
    git(project, "add", ".pre-commit-config.yaml")
    git(project, "commit", "-q", "-m", "hooks")

    (project / "plain.py").write_text(PLAIN + "# more\n")
    git(project, "add", "plain.py")
    assert runner.run(project)[0] == 0, "a staged non-hit, beside hits that are not staged"

    (project / "-v.py").write_text(EXACT)
    (project / "again.py").write_text(EXACT)
    git(project, "add", "--", "-v.py", "again.py")
    status, told = runner.run(project)
    assert status == 1
    assert (project / "-v.py").read_text() == (project / "again.py").read_text() == EXACT_AFTER, told
    git(project, "add", "--", "-v.py", "again.py")
    assert runner.run(project)[0] == 0

    (project / "new.py").write_text(COMPAT)
    git(project, "add", "new.py")
    status, told = runner.run(project)
    assert (status, (project / "new.py").read_text()) == (1, COMPAT), "it is forbidden, and waits"
    assert "which `xf2sdpa rewrite .` makes" in told
    (project / "new.py").write_text(COMPAT.replace("=mask)", "=mask)  # xf2sdpa: ignore"))
    git(project, "add", "new.py")
    status, told = runner.run(project)
    assert status == 0, f"a comment allows it: {told}"


@pytest.mark.parametrize("far", [True, False])
def test_a_part_of_a_file_is_staged(project: Path, hooks: Path, runner: Runner, far: bool) -> None:
    """The staged part is rewritten; where what is not staged is too near for that, both runners take it back."""
    configured(project, hooks, "xf2sdpa")
    git(project, "add", "-A")
    more = "# A line.\n" * (9 if far else 0)
    (project / "part.py").write_text(EXACT + more)
    git(project, "add", "part.py")
    rest = EXACT + more + "REST = 1\n"
    (project / "part.py").write_text(rest)
    status, told = runner.run(project, "--files", "plain.py")
    assert status == 0, told
    status, told = runner.run(project)
    assert status == 1, told
    assert (project / "part.py").read_text() == (EXACT_AFTER + more + "REST = 1\n" if far else rest), told
    assert git(project, "show", ":part.py") == EXACT + more


def test_a_merge(project: Path, hooks: Path, runner: Runner) -> None:
    """Of a merge, what somebody had to bring together is looked at, and what comes as it was is not."""
    configured(project, hooks, "xf2sdpa")
    git(project, "add", "-A")
    git(project, "commit", "-q", "-m", "hooks")
    git(project, "checkout", "-q", "-b", "side")
    (project / "plain.py").write_text(PLAIN + "# side\n")
    (project / "both.py").write_text("# side\n")
    git(project, "add", "-A")
    git(project, "commit", "-q", "-m", "side")
    git(project, "checkout", "-q", "-")
    (project / "plain.py").write_text(PLAIN + "# main\n")
    (project / "both.py").write_text("# main\n")
    git(project, "add", "-A")
    git(project, "commit", "-q", "-m", "main")
    with pytest.raises(subprocess.CalledProcessError):
        git(project, "merge", "-q", "side")
    (project / "plain.py").write_text(PLAIN + "# both\n")
    (project / "both.py").write_text(EXACT)
    git(project, "add", "-A")
    status, told = runner.run(project)
    assert status == 1, told
    assert (project / "both.py").read_text() == EXACT_AFTER, "a hit in what was brought together"
    assert (project / "plain.py").read_text() == PLAIN + "# both\n"
    assert (project / "model.py").read_text() == EXACT, "what the merge does not change is not looked at"
    git(project, "add", "-A")
    assert runner.run(project)[0] == 0
    git(project, "commit", "-q", "--no-edit")
    assert git(project, "show", "HEAD:both.py") == EXACT_AFTER


# -- what the page shows --------------------------------------------------------------------------------


def shown(word: str) -> str:
    """The configuration of pre-commit that docs/hook.md shows, by a word of it."""
    blocks = re.findall(r"^```yaml\n(repos:.*?^```)", (ROOT / "docs/hook.md").read_text(), re.MULTILINE | re.DOTALL)
    (found,) = (block for block in blocks if word in block)
    return str(found).removesuffix("```")


def test_the_lines_that_the_page_shows(project: Path, hooks: Path, runner: Runner) -> None:
    (project / ".pre-commit-config.yaml").write_text(shown("- id: xf2sdpa\n```").replace("XF2SDPA_URL", str(hooks)))
    git(project, "add", "-A")
    status, told = runner.run(project, "--all-files")
    assert (status, (project / "model.py").read_text()) == (1, EXACT_AFTER), told


def test_the_options_that_the_page_shows(project: Path, hooks: Path, runner: Runner) -> None:
    """They end with `--`, as else a file could be called like one."""
    (project / ".pre-commit-config.yaml").write_text(shown("args:").replace("XF2SDPA_URL", str(hooks)))
    for name, text in {"--check.py": EXACT, "assumed.py": ASSUMED}.items():
        (project / name).write_text(text)
    git(project, "add", "-A")
    status, told = runner.run(project, "--all-files")
    assert status == 1, told
    assert (project / "--check.py").read_text() == EXACT_AFTER
    assert (project / "assumed.py").read_text() == ASSUMED, "--only exact"


def test_what_is_forbidden(project: Path, hooks: Path, runner: Runner) -> None:
    """A call that cannot be rewritten is forbidden as one that can, and the check lets it pass."""
    for name in ("model.py", "needs_helper.py"):
        (project / name).unlink()
    (project / "left.py").write_text(LEFT)
    configured(project, hooks, "xf2sdpa", "xf2sdpa-check", "xf2sdpa-forbid")
    git(project, "add", "-A")
    assert runner.run(project, "xf2sdpa", "--all-files")[0] == 0
    assert runner.run(project, "xf2sdpa-check", "--all-files")[0] == 0
    status, told = runner.run(project, "xf2sdpa-forbid", "--all-files")
    assert status == 1
    assert "left.py:5:12: XF208 left" in told


def test_what_a_hook_installs_is_small(project: Path, hooks: Path, environment: dict[str, str]) -> None:
    status, told = pre_commit(project, environment, "try-repo", str(hooks), "xf2sdpa-check", "--files", "plain.py")
    assert status == 0, told
    folders = list(Path(environment["PRE_COMMIT_HOME"]).glob("repo*/py_env*/lib/python*/site-packages"))
    assert folders
    for folder in folders:
        there = {file.name.partition("-")[0].lower() for file in folder.glob("*.dist-info")}
        assert there - {"pip", "setuptools", "wheel", "tomli"} <= {"xf2sdpa", "click", "libcst", "pyyaml", "pyyaml_ft"}
        pip = folder / "pip"
        size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file() and pip not in file.parents)
        assert size < 60_000_000, "services that run hooks refuse large ones"
