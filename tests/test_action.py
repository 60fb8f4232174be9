"""The GitHub action: its steps, run by bash as a runner does, with the runner's variables and files."""

from __future__ import annotations

import gzip
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from tests.bot.host import TOKEN, Host, serving
from tests.bot.repositories import Pull, commit
from tests.report.forms import checked
from tests.run.commands import COMPAT, EXACT, LEFT, PLAIN
from xf2sdpa.bot.model import BRANCH

yaml = pytest.importorskip("yaml")

ROOT = Path(__file__).parent.parent
PROJECT = {"model.py": EXACT, "plain.py": PLAIN, "needs_helper.py": COMPAT, "left.py": LEFT}
SLUG = "owner/name"
PACKAGED = ("xf2sdpa", "pyproject.toml", "hatch_build.py", "README.md", "LICENSE")
NO_NETWORK = ("Could not find a version", "No matching distribution", "Connection", "name resolution", "Max retries")
UPLOAD_TAKES = {"checkout_path", "sarif_file", "ref", "sha", "token", "matrix", "category", "wait-for-processing"}
"""The inputs of github/codeql-action/upload-sarif@v4, as its action.yml has them."""

pytestmark = [
    pytest.mark.skipif(shutil.which("git") is None, reason="needs git"),
    pytest.mark.skipif(sys.platform == "win32", reason="runs bash"),
]


def action() -> dict[str, Any]:
    read: dict[str, Any] = yaml.safe_load((ROOT / "action.yml").read_text())
    return read


class Runner:
    """Runs steps of the action, and keeps what they hand on, as GitHub's runner does."""

    def __init__(self, folder: Path, project: Path) -> None:
        self.folder, self.project, self.action = folder, project, ROOT
        wrapper = folder / "as-if-installed"
        wrapper.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m xf2sdpa "$@"\n')
        wrapper.chmod(0o755)
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("GITHUB_", "GIT_", "INPUT_"))},
            "PYTHONPATH": str(ROOT),
            "HOME": str(folder),
            "RUNNER_TEMP": str(folder),
            "GITHUB_ACTIONS": "true",
            "GITHUB_OUTPUT": str(folder / "output"),
            "GITHUB_STEP_SUMMARY": str(folder / "summary"),
            "GITHUB_ENV": str(folder / "env"),
            "XF2SDPA": str(wrapper),
        }

    def run(self, name: str, **inputs: str) -> subprocess.CompletedProcess[str]:
        """The step of this name; inputs that are not given have their default."""
        (step,) = (step for step in action()["runs"]["steps"] if step["name"] == name)
        known = {key: str(value.get("default", "")) for key, value in action()["inputs"].items()}
        known |= {key.replace("_", "-"): value for key, value in inputs.items()}
        given = {}
        for variable, value in step["env"].items():
            word = value.removeprefix("${{ ").removesuffix(" }}")
            given[variable] = known[word.removeprefix("inputs.")] if word.startswith("inputs.") else str(self.action)
        return subprocess.run(
            ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]],
            cwd=self.project,
            env={**self.environment, **given},
            capture_output=True,
            text=True,
            check=False,
        )

    @property
    def outputs(self) -> dict[str, str]:
        lines = (self.folder / "output").read_text().splitlines()
        return dict(line.split("=", 1) for line in lines)

    @property
    def summary(self) -> str:
        file = self.folder / "summary"
        return file.read_text() if file.exists() else ""


@pytest.fixture
def runner(tmp_path: Path) -> Runner:
    project = tmp_path / "project"
    project.mkdir()
    for name, text in PROJECT.items():
        (project / name).write_text(text)
    subprocess.run(["git", "init", "-q"], cwd=project, check=True)
    return Runner(tmp_path, project)


def contents(folder: Path) -> dict[str, str]:
    return {file.name: file.read_text() for file in sorted(folder.iterdir()) if file.is_file()}


# -- the file itself ----------------------------------------------------------------------------------


def test_every_step_has_a_shell_and_takes_inputs_from_its_environment() -> None:
    for step in (step for step in action()["runs"]["steps"] if "run" in step):
        assert step["shell"] == "bash"
        assert "${{" not in step["run"], "an input in a script is code: hand it on by env"


def test_every_input_is_used_and_every_output_is_made() -> None:
    read = action()
    text = (ROOT / "action.yml").read_text()
    for name in read["inputs"]:
        assert f"inputs.{name}" in text, name
    scripts = {step.get("id"): step.get("run", "") for step in read["runs"]["steps"]}
    for name, about in read["outputs"].items():
        steps = [word.split(".")[1] for word in about["value"].split() if word.startswith("steps.")]
        assert steps
        assert all(f"{name}=" in scripts[step] for step in steps), name


def test_what_is_installed(runner: Runner) -> None:
    done = runner.run("Install xf2sdpa", mode="neither")
    assert done.returncode == 2
    assert "mode is check or fix" in done.stdout
    assert not (runner.folder / "env").exists()


def test_it_is_installed_and_the_check_runs_it(runner: Runner, tmp_path: Path) -> None:
    """From the revision of the action, into an environment of its own, which the next step finds by the job's."""
    runner.action = tmp_path / "action"
    for name in PACKAGED:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        runner.action.mkdir(exist_ok=True)
        copy(ROOT / name, runner.action / name)
    del runner.environment["PYTHONPATH"], runner.environment["XF2SDPA"]
    done = runner.run("Install xf2sdpa")
    if done.returncode and any(words in done.stderr for words in NO_NETWORK):
        pytest.skip("pip cannot install what the tool requires here")
    assert done.returncode == 0, done.stdout + done.stderr
    handed_on = dict(line.split("=", 1) for line in (runner.folder / "env").read_text().splitlines())
    assert handed_on == {"XF2SDPA": str(runner.folder / "xf2sdpa" / "bin" / "xf2sdpa")}
    runner.environment |= handed_on
    done = runner.run("Check", paths="model.py")
    assert (done.returncode, runner.outputs["exit-status"]) == (1, "1"), done.stdout + done.stderr
    assert "::warning title=xf2sdpa (XF101),file=model.py,line=7," in done.stdout


def holds(condition: str, inputs: dict[str, str], outputs: dict[str, str]) -> bool:
    """Whether a step's `if` holds, in a job that is not cancelled."""
    said = condition.removeprefix("${{ ").removesuffix(" }}").replace("!cancelled()", "True").replace("&&", "and")
    said = re.sub(r"inputs\.([\w-]+)", lambda word: repr(inputs[word[1]]), said)
    said = re.sub(r"steps\.check\.outputs\.([\w-]+)", lambda word: repr(outputs.get(word[1], "")), said)
    return bool(eval(said, {"__builtins__": {}}))


def test_what_is_uploaded(runner: Runner) -> None:
    """The step is GitHub's own; what it is given is what it takes, and within what code scanning accepts."""
    (step,) = (step for step in action()["runs"]["steps"] if step["name"] == "Upload to code scanning")
    asked = {"upload-sarif": "true"}
    runner.run("Check", args="--no-such-option")
    assert not holds(step["if"], asked, runner.outputs), "a check that could not begin has nothing to upload"
    (runner.folder / "output").unlink()
    assert runner.run("Check").returncode == 1
    assert holds(step["if"], asked, runner.outputs)
    assert not holds(step["if"], {"upload-sarif": "false"}, runner.outputs)
    assert step["with"].keys() <= UPLOAD_TAKES
    file = Path(runner.outputs[step["with"]["sarif_file"].removeprefix("${{ steps.check.outputs.").removesuffix(" }}")])
    data = file.read_bytes()
    checked("sarif", data.decode())
    (run,) = json.loads(data)["runs"]
    assert run["results"]
    assert len(run["results"]) <= 25_000
    assert len(gzip.compress(data)) <= 10_000_000
    assert all("partialFingerprints" in result for result in run["results"]), "else its own step must make them"


def workflows(file: str = "docs/hook.md") -> list[dict[Any, Any]]:
    """The workflows that a page shows."""
    blocks = re.findall(r"^```yaml\n(.*?)^```", (ROOT / file).read_text(), re.MULTILINE | re.DOTALL)
    return [read for read in map(yaml.safe_load, blocks) if "jobs" in read]


def ours(mode: str, file: str = "docs/hook.md") -> dict[str, str]:
    """What a page tells to paste for our step, by its mode."""
    (step,) = (
        step
        for flow in workflows(file)
        for job in flow["jobs"].values()
        for step in job["steps"]
        if step.get("uses", "").startswith("OWNER/NAME@") and step.get("with", {}).get("mode", "check") == mode
    )
    return {key.replace("-", "_"): value for key, value in step.get("with", {}).items()}


def test_the_check_that_the_page_shows(runner: Runner) -> None:
    (runner.project / "src").mkdir()
    (runner.project / "src" / "left.py").write_text(LEFT)
    done = runner.run("Check", **ours("check"))
    assert done.returncode == 1, done.stdout
    assert "::warning title=xf2sdpa (XF208),file=src/left.py,line=5," in done.stdout, "--strict"
    assert "file=model.py" not in done.stdout, "only src"


def test_the_fix_that_the_page_shows(runner: Runner, forge: Host) -> None:
    repo = forge.seed(SLUG, {"src/model.py": EXACT})
    done = runner.run("Open a pull request", token=TOKEN, **ours("fix"))
    assert done.returncode == 0, done.stdout
    (pull,) = repo.pulls
    assert (pull.draft, pull.labels) == (True, ["torch"])


def test_the_check_that_readme_shows(runner: Runner) -> None:
    done = runner.run("Check", **ours("check", "README.md"))
    assert done.returncode == 1, done.stdout
    assert "::warning title=xf2sdpa (XF101),file=model.py,line=7," in done.stdout
    assert runner.summary.startswith("### xf2sdpa\n\n")
    (flow,) = workflows("README.md")
    assert flow["permissions"] == {"contents": "read"}
    assert flow[True] == "pull_request", "what YAML makes of `on`"


def test_what_the_page_shows_fits_the_action() -> None:
    uses = [step for flow in workflows() for job in flow["jobs"].values() for step in job["steps"]]
    shown = [step for step in uses if step["uses"].startswith("OWNER/NAME@")]
    assert [step["with"]["mode"] for step in shown] == ["check", "fix"]
    assert all(step["with"].keys() <= action()["inputs"].keys() for step in shown)
    permissions = [flow["permissions"] for flow in workflows()]
    assert permissions[0]["security-events"] == "write"
    assert permissions[1] == {"contents": "write", "pull-requests": "write"}


# -- a check ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("args", "status"), [("", 1), ("--ignore XF1", 0), ("--ignore XF1 --strict", 0)])
def test_a_check(runner: Runner, args: str, status: int) -> None:
    before = contents(runner.project)
    done = runner.run("Check", args=args, paths="model.py plain.py")
    assert done.returncode == status, done.stdout + done.stderr
    assert contents(runner.project) == before
    assert runner.outputs["exit-status"] == str(status)
    report = json.loads(Path(runner.outputs["report"]).read_text())
    schema = json.loads((ROOT / "xf2sdpa/report/schema.json").read_text())
    jsonschema.validate(report, schema, cls=jsonschema.Draft202012Validator)
    checked("sarif", Path(runner.outputs["sarif"]).read_text())
    assert ("::warning title=xf2sdpa (XF101),file=model.py,line=7," in done.stdout) == (status == 1)
    assert runner.summary.startswith("### xf2sdpa\n\n1 call site: ")
    assert "<code>model.py:7</code>" in runner.summary


def test_a_check_that_cannot_begin(runner: Runner) -> None:
    done = runner.run("Check", args="--no-such-option")
    assert done.returncode == 2
    assert runner.outputs == {"exit-status": "2"}
    assert "No such option" in done.stdout


def test_a_check_that_cannot_begin_shows_nothing_of_the_one_before(runner: Runner) -> None:
    assert runner.run("Check").returncode == 1
    for file in ("output", "summary"):
        (runner.folder / file).unlink()
    done = runner.run("Check", args="--no-such-option")
    assert (done.returncode, runner.outputs, runner.summary) == (2, {"exit-status": "2"}, "")
    assert "::warning" not in done.stdout


def test_options_for_another_report_do_not_mix_ours_up(runner: Runner) -> None:
    done = runner.run("Check", args="--output-format diff")
    assert done.returncode == 1, done.stdout
    assert "--- a/model.py" in done.stdout
    checked("sarif", Path(runner.outputs["sarif"]).read_text())
    assert runner.summary.startswith("### xf2sdpa\n\n")
    assert "::warning title=xf2sdpa (XF101),file=model.py,line=7," in done.stdout


@pytest.mark.parametrize("step", ["Check", "Open a pull request"])
def test_no_paths_are_those_of_the_configuration(runner: Runner, forge: Host, step: str) -> None:
    table = '[tool.xf2sdpa]\npaths = ["src"]\n'
    repo = forge.seed(SLUG, {"src/m.py": EXACT, "model.py": EXACT, "pyproject.toml": table})
    (runner.project / "src").mkdir()
    (runner.project / "src" / "m.py").write_text(EXACT)
    (runner.project / "pyproject.toml").write_text(table)
    done = runner.run(step, paths="", token=TOKEN)
    if step == "Check":
        assert "::warning title=xf2sdpa (XF101),file=src/m.py,line=7," in done.stdout
        assert "file=model.py" not in done.stdout
    else:
        assert done.returncode == 0, done.stdout
        assert repo.git("diff", "--name-only", "main", BRANCH) == "src/m.py"


def test_a_check_that_forbids(runner: Runner) -> None:
    done = runner.run("Check", args="--strict", paths="left.py")
    assert done.returncode == 1
    assert "::warning title=xf2sdpa (XF208),file=left.py,line=5," in done.stdout


def test_what_is_not_wanted_is_not_made(runner: Runner) -> None:
    done = runner.run("Check", annotations="false", summary="false")
    assert done.returncode == 1
    assert "::warning" not in done.stdout
    assert "model.py:7:12: XF101 exact" in done.stdout
    assert runner.summary == ""


def test_what_a_check_shows_is_not_obeyed(runner: Runner) -> None:
    (runner.project / "::warning ::all is well.py").write_text(EXACT)
    (runner.project / "::error::x.py").write_text("import xformers.ops\n(\n")
    shown = runner.run("Check", paths=".").stdout.splitlines()
    word = shown[0].removeprefix("::stop-commands::")
    assert len(word) > 10
    end = shown.index(f"::{word}::")
    assert any("all is well" in line for line in shown[:end])
    obeyed = [line for line in shown[end + 1 :] if line.lstrip().startswith("::")]
    assert obeyed
    assert all(
        line.startswith(("::error title=xf2sdpa", "::warning title=xf2sdpa", "::notice title=xf2sdpa"))
        for line in obeyed
    )


def test_a_pattern_is_not_expanded_and_a_name_is_no_option(runner: Runner) -> None:
    (runner.project / "--verbose").write_text("")
    done = runner.run("Check", paths="--verbose model.py", args="--exclude *.txt")
    assert done.returncode == 1, done.stdout
    assert "model.py:7:12: XF101" in done.stdout


# -- a fix --------------------------------------------------------------------------------------------


@pytest.fixture
def forge(runner: Runner) -> Iterator[Host]:
    """A forge on loopback, which the runner's variables name as theirs."""
    with serving(runner.folder / "forge") as host:
        runner.environment |= {
            "GITHUB_SERVER_URL": host.base,
            "GITHUB_API_URL": f"{host.base}/api/v3",
            "GITHUB_REPOSITORY": SLUG,
            "GIT_CONFIG_NOSYSTEM": "1",
        }
        yield host
    assert host.violations == []


def test_a_fix_opens_a_pull_request_and_then_leaves_it(runner: Runner, forge: Host) -> None:
    repo = forge.seed(SLUG, {"src/model.py": EXACT, "plain.py": PLAIN})
    inputs = {"token": TOKEN, "paths": "src", "labels": "torch attention", "draft": "true", "args": "--flags off"}
    done = runner.run("Open a pull request", **inputs)
    assert done.returncode == 0, done.stdout + done.stderr
    (pull,) = repo.pulls
    assert (pull.base, pull.draft, pull.labels) == ("main", True, ["torch", "attention"])
    assert runner.outputs["operation"] == "created"
    assert runner.outputs["pull-request-url"].endswith("/pull/1")
    assert f"Pull request: created {runner.outputs['pull-request-url']}" in runner.summary
    assert TOKEN not in done.stdout + done.stderr + runner.summary
    assert contents(runner.project).keys() == PROJECT.keys(), "the working copy is not touched"

    (runner.folder / "output").unlink()
    done = runner.run("Open a pull request", **inputs)
    assert (done.returncode, runner.outputs["operation"], len(repo.pulls)) == (0, "unchanged", 1)


@pytest.mark.parametrize("name", ["GITEA_ACTIONS", "FORGEJO_ACTIONS"])
def test_a_fix_on_the_runner_of_another_forge(runner: Runner, forge: Host, name: str) -> None:
    """Gitea's and Forgejo's runners set GitHub's variables, and one of their own."""
    repo = forge.seed(SLUG, {"src/model.py": EXACT})
    runner.environment |= {name: "true", "GITHUB_API_URL": f"{forge.base}/api/v1"}
    done = runner.run("Open a pull request", token=TOKEN)
    assert (done.returncode, len(repo.pulls)) == (0, 1), done.stdout
    assert all(path.startswith("/api/v1/") for path in forge.asked("POST"))


def test_a_dry_run_opens_nothing(runner: Runner, forge: Host) -> None:
    repo = forge.seed(SLUG, {"src/model.py": EXACT})
    done = runner.run("Open a pull request", token=TOKEN, dry_run="true")
    assert done.returncode == 0, done.stdout + done.stderr
    assert repo.pulls == []
    assert runner.outputs["operation"] == "planned"


@pytest.mark.parametrize(
    ("files", "state", "operation"),
    [({"plain.py": PLAIN}, "open", "nothing to do"), ({"model.py": EXACT}, "closed", "declined")],
)
def test_a_fix_that_need_not_be_says_which_it_was(
    runner: Runner, forge: Host, files: dict[str, str], state: str, operation: str
) -> None:
    repo = forge.seed(SLUG, files)
    if state == "closed":
        repo.pulls.append(Pull(1, BRANCH, "main", "old", "", state=state))
    done = runner.run("Open a pull request", token=TOKEN)
    assert done.returncode == 0, done.stdout + done.stderr
    assert runner.outputs["operation"] == operation
    assert f"Pull request: {operation}" in runner.summary


def test_a_fix_that_leaves_a_persons_branch_alone_says_so(runner: Runner, forge: Host) -> None:
    repo = forge.seed(SLUG, {"model.py": EXACT})
    commit(repo, BRANCH, {"mine.py": PLAIN})
    done = runner.run("Open a pull request", token=TOKEN)
    assert (done.returncode, runner.outputs["operation"]) == (0, "left alone"), done.stdout
    assert "failed" not in runner.summary


def test_a_fix_that_fails_says_so(runner: Runner, forge: Host) -> None:
    forge.seed(SLUG, {"src/model.py": EXACT})
    done = runner.run("Open a pull request", token="wrong")
    assert done.returncode == 2
    assert (runner.outputs["exit-status"], runner.outputs["operation"]) == ("2", "")
    assert "Pull request: failed" in runner.summary
    assert "wrong" not in done.stdout + done.stderr
