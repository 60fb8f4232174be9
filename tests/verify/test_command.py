"""The command line of verify: what it refuses, and what it prints where."""

from __future__ import annotations

import importlib.util
import json
import os
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from click.testing import CliRunner, Result

from xf2sdpa.cli import cli
from xf2sdpa.judging.model import Case, Check
from xf2sdpa.timing.model import Environment
from xf2sdpa.verify import run
from xf2sdpa.verify.model import Report, SiteReport, Status
from xf2sdpa.verify.options import Options

ON_GPU = Environment("verify", "", 0, "3", "2", "13", "9", "H200", "9.0", "5", "0.0.34", "xformers 0.0.34", "")
SITE = "import xformers.ops as xops\n\n\ndef f(q, k, v):\n    return xops.memory_efficient_attention(q, k, v)\n"


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "site_file.py").write_text(SITE)
    (tmp_path / "none.py").write_text("x = 1\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def verify(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ["verify", *arguments])


class Ran:
    """What stands for a run without a program: says what it was asked, and reports what it is told to."""

    def __init__(self, site: Status = Status.AGREES, speedup: float | None = None) -> None:
        check = Check("output", ok=site is not Status.DIFFERS, new_error=0.0, limit=1.0, message="told")
        case = Case("q", "float16", checks=(check,))
        reported = SiteReport("a.py::f#0", "a.py", 1, "exact", "old", "new", site, cases=[case], speedup=speedup)
        self.report = Report(ON_GPU, [reported])
        self.options: Options | None = None
        self.given: dict[str, Any] = {}

    def __call__(self, plan: Any, options: Options, **given: Any) -> Report:
        self.options, self.given = options, given
        return self.report


@pytest.mark.parametrize(
    ("ran", "arguments", "status"),
    [
        (Ran(), (), 0),
        (Ran(Status.DIFFERS), (), 1),
        (Ran(speedup=0.8), (), 0),
        (Ran(speedup=0.8), ("--min-speedup", "0.9"), 1),
        (Ran(speedup=0.95), ("--min-speedup", "0.9"), 0),
    ],
)
def test_exit_status(ran: Ran, arguments: tuple[str, ...], status: int) -> None:
    with mock.patch.object(run, "run", ran):
        result = verify("site_file.py", *arguments)
    assert result.exit_code == status, result.output


def test_options_reach_the_run() -> None:
    ran = Ran()
    given = ["--samples", "0", "--seed", "7", "--device", "cpu", "--no-exact", "--no-timing", "--quiet"]
    given += ["--max-memory", "1.5G", "--budget", "9"]
    with mock.patch.object(run, "run", ran):
        assert verify("site_file.py", *given).exit_code == 0
    assert ran.options == Options(0, 7, "cpu", exact=False, timing=False, max_memory=3 << 29)
    assert ran.given["budget"] == 9


def test_formats_and_files(project: Path) -> None:
    with mock.patch.object(run, "run", Ran()):
        result = verify("site_file.py", "--output-format", "json", "--json", "again.json", "--html", "page.html")
        markdown = verify("site_file.py", "--output-format", "markdown").stdout
    assert json.loads(result.stdout) == json.loads((project / "again.json").read_text())
    assert (project / "page.html").read_text().startswith("<!DOCTYPE html>")
    assert "xf2sdpa verify" in markdown


def test_a_baseline_that_is_none_is_refused_before_the_work(project: Path) -> None:
    ran = Ran()
    for text in ("{}", "no JSON", "[]"):
        (project / "earlier.json").write_text(text)
        with mock.patch.object(run, "run", ran):
            result = verify("site_file.py", "--baseline", "earlier.json")
        assert result.exit_code == 2
        assert result.stderr.startswith("xf2sdpa: earlier.json: ")
    assert ran.options is None


@pytest.mark.parametrize("option", ["--html", "--json"])
def test_files_that_cannot_be_written_are_refused_before_the_work(project: Path, option: str) -> None:
    ran = Ran()
    with mock.patch.object(run, "run", ran):
        result = verify("site_file.py", option, "nowhere/report")
        assert result.exit_code == 2
        assert result.stderr == "xf2sdpa: nowhere/report: cannot be written: there is no folder nowhere\n"
        with mock.patch("os.access", lambda _, mode: mode != os.W_OK):
            result = verify("site_file.py", option, "report")
        assert result.exit_code == 2
        assert result.stderr == "xf2sdpa: report: cannot be written: no permission\n"
    assert ran.options is None


def test_a_file_that_fails_late_is_told_and_the_rest_still_there(project: Path) -> None:
    def fill_the_disk(file: Path, *_: Any) -> None:
        raise OSError(28, "No space left on device", str(file))

    with mock.patch.object(run, "run", Ran()), mock.patch.object(Path, "write_text", fill_the_disk):
        result = verify("site_file.py", "--json", "a.json", "--html", "a.html")
    assert result.exit_code == 2
    assert "a.py:1" in result.stdout
    assert result.stderr.splitlines() == [
        f"xf2sdpa: {name}: cannot be written: No space left on device" for name in ("a.json", "a.html")
    ]


@pytest.mark.parametrize("program", [(), ("--", "python", "-c", "1")])
def test_cuda_where_there_is_none_is_refused(program: tuple[str, ...]) -> None:
    with mock.patch("torch.cuda.is_available", return_value=False):
        result = verify("site_file.py", "--device", "cuda", *program)
    assert result.exit_code == 2
    assert result.stderr == "xf2sdpa: there is no CUDA device\n    help: --device cpu runs small shapes\n"


def test_ctrl_c_ends_with_the_status_of_a_shell_and_what_was_done() -> None:
    with mock.patch.object(run, "run", side_effect=run.Interrupted(Ran().report)):
        result = verify("site_file.py")
    assert result.exit_code == 130
    assert "a.py:1" in result.stdout
    with mock.patch.object(run, "run", side_effect=KeyboardInterrupt):
        result = verify("site_file.py")
    assert result.exit_code == 130
    assert result.stderr == "xf2sdpa: interrupted\n"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("none.py",), "no call of xformers' attention"),
        (("nowhere.py",), "nowhere.py"),
        ((), "Missing argument"),
        (("site_file.py", "--"), "no program behind --"),
        (("site_file.py", "--max-memory", "much"), "no size"),
        (("site_file.py", "--budget", "-1"), "'--budget'"),
        (("site_file.py", "--budget", "0"), "'--budget'"),
        (("site_file.py", "--rev", "HEAD"), "in no git repository\n    help: Without git"),
        (("site_file.py", "--before", "nowhere.json"), "cannot be read"),
    ],
)
def test_what_cannot_be_done_is_refused(arguments: tuple[str, ...], told: str) -> None:
    result = verify(*arguments)
    assert result.exit_code == 2
    assert told in result.output


def test_without_torch_it_says_what_to_install() -> None:
    with mock.patch.object(importlib.util, "find_spec", return_value=None):
        result = verify("site_file.py")
    assert result.exit_code == 2
    assert "pip install 'torch>=2.1' jinja2" in result.output


def test_the_help_says_that_it_runs_code() -> None:
    assert "VERIFY RUNS YOUR CODE" in verify("--help").output
