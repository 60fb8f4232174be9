"""What a process of the program is like with the hook in it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.verify.plans import KNOWN, ROOT
from xf2sdpa.verify.shadow.handover import FOLDER, File, Handover

BOOTSTRAP = ROOT / "xf2sdpa" / "verify" / "shadow" / "bootstrap"
OLD = """\
import sys


def fails(kind):
    try:
        raise LookupError(
            "first")
    except LookupError as error:
        raise (KeyError if kind == "key" else KeyboardInterrupt)("second") from error


assert sys.excepthook is sys.__excepthook__
if __name__ == "__main__":
    fails(sys.argv[1])
"""


@pytest.fixture
def program(tmp_path: Path) -> Path:
    """A script whose old text runs, while the file holds another."""
    file = tmp_path / "program.py"
    file.write_text("# new\n" * 30)
    (tmp_path / "plan").mkdir()
    Handover({os.path.realpath(file): File(OLD, rewritten=True)}).write(tmp_path / "plan")
    return file


def run(program: Path, *arguments: str, shadowed: bool) -> subprocess.CompletedProcess[str]:
    environment = os.environ | KNOWN
    if shadowed:
        path = f"{BOOTSTRAP}{os.pathsep}{ROOT}"
        environment |= {"PYTHONPATH": path, FOLDER: str(program.parent / "plan")}
    command = [sys.executable, *arguments]
    return subprocess.run(
        command, cwd=program.parent, env=environment, capture_output=True, text=True, check=False, timeout=60
    )


@pytest.mark.parametrize("kind", ["key", "interrupt"])
@pytest.mark.parametrize("form", [("program.py",), ("-c", "import sys, program; program.fails(sys.argv[1])")])
def test_an_uncaught_exception_is_printed_with_the_lines_that_ran(
    program: Path, form: tuple[str, ...], kind: str
) -> None:
    """As Python prints it where the old text is on disk, but for the frames of `runpy` around a script; same status."""
    shadowed = run(program, *form, kind, shadowed=True)
    program.write_text(OLD)
    plain = run(program, *form, kind, shadowed=False)
    assert shadowed.returncode == plain.returncode != 0
    lines = [line for line in shadowed.stderr.splitlines() if "runpy" not in line]
    if sys.version_info >= (3, 11):  # before, the lines of `runpy` are shown, too
        assert lines == plain.stderr.splitlines()
    assert lines[-1] == plain.stderr.splitlines()[-1]
    assert "# new" not in shadowed.stderr
    assert "    raise LookupError(" in shadowed.stderr
