"""Programs of several processes, of other forms, rewritten ones, and wrong ones."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from tests.verify.plans import ROOT, run, verify
from xf2sdpa.cli import cli
from xf2sdpa.verify.options import Options
from xf2sdpa.verify.shadow import launch
from xf2sdpa.verify.shadow.handover import Handover

FELT = Path(__file__).parents[1] / "felt"
SITE = """\
import xformers.ops as xops


def attend(q, k, v):
    q, k, v = (x.reshape(2, 5, 2, 8) for x in (q, k, v))
    q = q.view(2, 5, 2, 8)
    return xops.memory_efficient_attention(q, k, v, attn_bias=xops.LowerTriangularMask())
"""
CALL = """\
import sys
import torch
from site_file import attend


def work(number=0):
    torch.manual_seed(number)
    inputs = [torch.randn(2, 5, 2, 8, requires_grad=True) for _ in range(3)]
    out = attend(*inputs)
    out.sum().backward()
    return out.sum().item()
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "site_file.py").write_text(SITE)
    (tmp_path / "call.py").write_text(CALL)
    return tmp_path


@contextlib.contextmanager
def in_folder(folder: Path) -> Iterator[None]:
    here = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(here)


def one(report: dict[str, Any]) -> dict[str, Any]:
    (site,) = report["sites"]
    return dict(site)


def test_sub_processes_of_all_kinds_report(project: Path) -> None:
    """A sub-process, and workers of multiprocessing, forked and spawned; each one's calls are counted once."""
    (project / "main.py").write_text(
        "import multiprocessing, subprocess, sys\n"
        "from call import work\n"
        "if __name__ == '__main__':\n"
        "    print(work())\n"
        "    subprocess.run([sys.executable, '-c', 'from call import work; work(1); work(2)'], check=True)\n"
        "    for method in ('fork', 'spawn'):\n"
        "        worker = multiprocessing.get_context(method).Process(target=work, args=(3,))\n"
        "        worker.start(); worker.join(); assert worker.exitcode == 0\n"
    )
    done, report = verify(project, ".", "--", sys.executable, "main.py")
    assert done.returncode == 3, done.stderr
    assert one(report)["calls"] == 5
    assert len(one(report)["cases"]) == 5
    assert all(case["gradients"] for case in one(report)["cases"])
    assert one(report)["status"] == "agrees"


def test_torchrun_and_ddp(project: Path) -> None:
    shutil.copy(FELT / "ddp.py", project)
    shutil.copy(FELT / "attention.py", project)
    launcher = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2")
    plain = run(project, sys.executable, *launcher, str(FELT / "baseline.py"), "ddp.py")
    assert plain.returncode == 0, plain.stderr
    done, report = verify(project, "attention.py", "--", sys.executable, *launcher, "ddp.py")
    assert done.returncode == 3, done.stderr
    assert sorted(done.stdout.splitlines()) == sorted(plain.stdout.splitlines())
    assert len(plain.stdout.splitlines()) == 2
    site = next(site for site in report["sites"] if "SelfAttention" in site["id"])
    assert site["calls"] == 2 * 4
    assert len(site["cases"]) == 2 * 3
    assert site["status"] == "agrees"


def test_a_script_that_holds_a_site_itself(project: Path) -> None:
    """Under its own name, with what Python gives a script; and as a module."""
    head = '"""A script."""\nfrom __future__ import annotations\nimport json, os, sys\n'
    body = SITE + CALL.replace("from site_file import attend\n", "")
    (project / "script.py").write_text(
        head + body + "\n\nif __name__ == '__main__':\n"
        "    told = [__name__, __doc__, __spec__ is None, bool(__package__), os.path.basename(__file__), sys.argv]\n"
        "    told += [os.path.realpath(sys.path[0]) == os.path.dirname(os.path.realpath(__file__)), work()]\n"
        "    print(json.dumps(told)); sys.exit(7)\n"
    )  # fmt: skip
    done, report = verify(project, "script.py", "--", sys.executable, "script.py", "--flag")
    assert done.returncode == 7, done.stderr
    told = ["__main__", "A script.", True, False, "script.py", ["script.py", "--flag"], True]
    assert json.loads(done.stdout)[:-1] == told
    assert one(report)["status"] == "agrees"
    done, report = verify(project, "script.py", "--", sys.executable, "-m", "script")
    assert done.returncode == 7, done.stderr
    assert one(report)["status"] == "agrees"


def test_pytest_as_the_program(project: Path) -> None:
    (project / "test_it.py").write_text("from call import work\n\n\ndef test_it():\n    assert work() < 1000\n")
    done, report = verify(project, "site_file.py", "--", sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider")
    assert "1 passed" in done.stdout
    assert one(report)["status"] == "agrees"


def test_a_rewritten_tree_runs_its_old_text(project: Path) -> None:
    """…and what is wrong in the new text is found, at its site, and not felt; by the rewrite's report, without git."""
    files = {
        "good.py": "is_causal=True",
        "site_file.py": "is_causal=False",
        "raises.py": "is_causal=True, scale='much'",
    }
    for name in files:
        (project / name).write_text(SITE)
    (project / "main.py").write_text(
        "import call, good, raises\nprint(call.work())\n"
        "for module in (good, raises):\n    call.attend = module.attend\n    print(call.work())\n"
    )
    with in_folder(project):
        rewritten = CliRunner().invoke(cli, ["rewrite", ".", "--output-format", "json", "--torch", "2.1"])
    (project / "rewrite.json").write_text(rewritten.stdout)
    for name, argument in files.items():
        text = (project / name).read_text()
        assert "is_causal=True" in text
        (project / name).write_text(text.replace("is_causal=True", argument))
    before = {path.name: path.read_bytes() for path in project.glob("*.*")}
    done, report = verify(
        project, ".", "--before", "rewrite.json", "--", sys.executable, "main.py", PYTHONDONTWRITEBYTECODE="1"
    )
    assert {path.name: path.read_bytes() for path in project.glob("*.*") if path.name != "report.json"} == before
    assert done.returncode == 1
    assert len(done.stdout.splitlines()) == 3
    assert len(set(done.stdout.splitlines())) == 1, "all three modules give the old result"
    found = {site["path"]: site for site in report["sites"]}
    assert {path: site["status"] for path, site in found.items()} == {
        "good.py": "agrees", "site_file.py": "differs", "raises.py": "differs"
    }  # fmt: skip
    assert "is_causal=False" in found["site_file.py"]["after"]
    assert "output" in failed_checks(found["site_file.py"])
    assert failed_checks(found["raises.py"])
    assert not failed_checks(found["good.py"])


def test_tracebacks_of_the_old_text_are_explained(project: Path) -> None:
    with in_folder(project):
        done = CliRunner().invoke(cli, ["rewrite", "site_file.py", "--output-format", "json", "--torch", "2.1"])
    (project / "rewrite.json").write_text(done.stdout)
    told = "line numbers in the program's tracebacks are those of the old text, which ran"
    for status in (0, 4):
        program = [sys.executable, "-c", f"raise SystemExit({status})"]
        _, report = verify(project, "site_file.py", "--before", "rewrite.json", "--", *program)
        assert (told in report["notes"]) == (status == 4)
        assert (f"the program ended with status {status}, and so does verify" in report["notes"]) == (status == 4)


DOTTED = """\
import sys
import torch
import xformers.ops
import xformers.ops.fmha


def attend(x):
    b, n, h, d = x.shape
    return xformers.ops.memory_efficient_attention(x, x * 2, x * 3)
"""
BLOCK = """\
import sys


class Missing:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name.partition(".")[0] == "xformers":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


sys.meta_path.insert(len(sys.meta_path) - 1, Missing)  # the hook comes first
"""


@pytest.mark.parametrize("rewritten", [False, True])
def test_xformers_by_its_dotted_name_where_there_is_none(project: Path, rewritten: bool) -> None:
    """The package that the program gets is the one that stands in, with its sub-modules."""
    (project / "site_file.py").write_text(DOTTED)
    (project / "call.py").write_text(
        "import sys, torch, importlib.util, site_file, xformers.ops\n"
        "print(tuple(site_file.attend(torch.randn(1, 8, 2, 16)).shape))\n"
        "import xformers.ops.fmha.attn_bias as masks\n"
        "print(sys.modules['xformers'].ops is sys.modules['xformers.ops'], masks is xformers.ops.fmha.attn_bias)\n"
        "print(importlib.util.find_spec('xformers').name, 'compat' in (xformers.ops.__doc__ or ''))\n"
    )
    (project / "own").mkdir()
    (project / "own" / "sitecustomize.py").write_text(BLOCK)
    arguments = ["site_file.py"]
    if rewritten:
        with in_folder(project):
            done = CliRunner().invoke(cli, ["rewrite", "site_file.py", "--output-format", "json", "--torch", "2.1"])
        (project / "rewrite.json").write_text(done.stdout)
        assert "xformers" not in (project / "site_file.py").read_text().partition("def attend")[2]
        arguments += ["--before", "rewrite.json"]
    own = f"{ROOT}{os.pathsep}{project / 'own'}"
    done, report = verify(project, *arguments, "--", sys.executable, "call.py", PYTHONPATH=own)
    assert done.stdout == "(1, 8, 2, 16)\nTrue True\nxformers True\n", done.stderr
    assert one(report)["status"] == "agrees"


MASKED = (
    DOTTED
    + """

def packed(x):
    mask = xformers.ops.fmha.BlockDiagonalMask.from_seqlens([3, 5])
    return xformers.ops.memory_efficient_attention(x, x, x, attn_bias=mask)


def deep(x):
    mask = xformers.ops.fmha.attn_bias.LowerTriangularMask()
    return xformers.ops.fmha.memory_efficient_attention(x, x, x, attn_bias=mask)
"""
)


@pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")
@pytest.mark.parametrize("installed", [False, True])
def test_dotted_names_and_masks_of_a_tree_that_was_rewritten_in_git(project: Path, installed: bool) -> None:
    (project / "site_file.py").write_text(MASKED)
    (project / "call.py").write_text(
        "import torch, site_file\n"
        "x = torch.randn(1, 8, 2, 16, requires_grad=True)\n"
        "sum(f(x).sum() for f in (site_file.attend, site_file.packed, site_file.deep)).backward()\n"
        "print(x.grad.shape)\n"
    )
    for command in (["init", "-q"], ["add", "."], ["-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "1"]):
        subprocess.run(["git", *command], cwd=project, check=True)
    with in_folder(project):
        CliRunner().invoke(cli, ["rewrite", ".", "--torch", "2.1"])
    assert "xformers" not in (project / "site_file.py").read_text()
    (project / "own").mkdir()
    (project / "own" / "sitecustomize.py").write_text("" if installed else BLOCK)
    own = f"{ROOT}{os.pathsep}{project / 'own'}"
    done, report = verify(project, ".", "--", sys.executable, "call.py", PYTHONPATH=own)
    assert done.stdout == "torch.Size([1, 8, 2, 16])\n", done.stderr
    assert [(site["class"], site["status"], len(site["cases"])) for site in report["sites"]] == [
        ("assumed", "agrees", 1), ("compat", "agrees", 1), ("assumed", "agrees", 1)
    ]  # fmt: skip


@pytest.mark.parametrize(
    "first", ["import xformers", "from xformers import ops", "import importlib.util as u; u.find_spec('xformers')"]
)
def test_whatever_asks_for_xformers_first(project: Path, first: str) -> None:
    (project / "site_file.py").write_text(f"{first}\n{DOTTED}print(attend(torch.ones(1, 8, 2, 16)).shape)\n")
    done, report = verify(project, ".", "--", sys.executable, "site_file.py")
    assert "[1, 8, 2, 16]" in done.stdout, done.stderr
    assert one(report)["status"] == "agrees"


def failed_checks(site: dict[str, Any]) -> set[str]:
    return {
        check["name"] for case in site["cases"] for check in case["checks"] if not check["ok"] and check["available"]
    }


def test_a_program_that_ends_badly(project: Path) -> None:
    """What was seen before is kept, and the status is the program's."""
    (project / "main.py").write_text(
        "import os\nfrom call import work\nwork()\nprint('there', flush=True)\nos._exit(9)\n"
    )
    done, report = verify(project, ".", "--", sys.executable, "main.py")
    assert (done.returncode, done.stdout) == (9, "there\n")
    assert one(report)["status"] == "agrees"


def test_signals_are_handed_on(project: Path) -> None:
    (project / "main.py").write_text(
        "import signal, sys, time\n"
        "signal.signal(signal.SIGTERM, lambda *_: sys.exit(5))\n"
        "print('ready', flush=True)\n"
        "time.sleep(60)\n"
    )
    command = [sys.executable, "-m", "xf2sdpa", "verify", "site_file.py", "--", sys.executable, "main.py"]
    with subprocess.Popen(
        command, cwd=project, env=os.environ | {"PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        process.send_signal(signal.SIGTERM)
        before = time.monotonic()
        process.communicate(timeout=60)
        assert time.monotonic() - before < 50
    assert process.returncode == 5


def test_a_signal_before_the_program_has_begun_waits_for_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As one that comes while the process is being made, whose program may say already that it is there."""
    begin = subprocess.Popen

    def slowly(*arguments: Any, **options: Any) -> Any:
        child = begin(*arguments, stdout=subprocess.PIPE, **options)
        assert child.stdout is not None
        assert child.stdout.readline() == b"ready\n"
        os.kill(os.getpid(), signal.SIGTERM)
        return child

    program = "import signal, sys, time; signal.signal(signal.SIGTERM, lambda *_: sys.exit(5)); "
    program += "print('ready', flush=True); time.sleep(60)"
    monkeypatch.setattr(launch.subprocess, "Popen", slowly)
    given = Handover({}, [], Options(), "")
    assert launch.run([sys.executable, "-c", program], given, tmp_path) == 5


def test_a_program_that_is_not_there(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    done, report = verify(project, ".", "--", "no-such-program")
    assert done.returncode == 2
    assert "no-such-program" in capsys.readouterr().err
    assert not report


def test_a_sitecustomize_of_the_users_own_runs_too(project: Path) -> None:
    (project / "own").mkdir()
    (project / "own" / "sitecustomize.py").write_text("import builtins\nbuiltins.own = 41\n")
    (project / "main.py").write_text("import sys\nprint(own + 1, [p for p in sys.path if 'bootstrap' in p])\n")
    done, report = verify(
        project, ".", "--", sys.executable, "main.py", PYTHONPATH=f"{ROOT}{os.pathsep}{project / 'own'}"
    )
    assert done.stdout == "42 []\n"
    assert one(report)["reason"] == "the program did not load its file"


def test_where_xf2sdpa_is_not_installed_the_hook_is_found_beside_its_bootstrap() -> None:
    """As in a program's own environment: nothing of site-packages is on the path."""
    bootstrap = ROOT / "xf2sdpa" / "verify" / "shadow" / "bootstrap" / "sitecustomize.py"
    done = subprocess.run(
        [sys.executable, "-I", "-S", str(bootstrap)],
        env=os.environ | {"XF2SDPA_SHADOW": "no-such-folder"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "FileNotFoundError" in done.stderr  # of the plan: the hook itself was there
