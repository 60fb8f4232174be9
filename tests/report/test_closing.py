"""The end of a rewrite's report: short enough that the result above it is seen; `status` and JSON tell all."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import pytest

from tests.projects.harness import write
from tests.run.commands import EXACT, call, rewrite

NEEDS = "import xformers.profiler\n\nxformers.profiler.step()\nfrom xformers.components import build_attention\n"
OTHERS = {f"tests/part{number:02}.py": NEEDS for number in range(12)}


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def needing(output: str) -> list[str]:
    """The lines below `Needs xformers:`."""
    lines = output.splitlines()
    start = lines.index("Needs xformers:") + 1
    return [line.strip() for line in itertools.takewhile(lambda line: line.startswith("    "), lines[start:])]


def test_elsewhere_one_line_a_file_and_ten_files(tmp_path: Path) -> None:
    write(tmp_path, {"pyproject.toml": "", "src/model.py": EXACT, **OTHERS})
    told = needing(rewrite("--jobs", "1", "--check", "src").output)
    assert [line.partition(":")[0] for line in told[:-1]] == [f"tests/part{number:02}.py" for number in range(10)]
    assert all(line.endswith("and 1 more line") for line in told[:-1])
    assert told[-1] == "and 2 more files: `xf2sdpa status` lists them"


def test_one_file_too_many(tmp_path: Path) -> None:
    write(tmp_path, {"pyproject.toml": "", "src/model.py": EXACT, **dict(list(OTHERS.items())[:11])})
    told = needing(rewrite("--jobs", "1", "--check", "src").output)
    assert told[-1] == "and 1 more file: `xf2sdpa status` lists it"


def test_all_files_that_were_given(tmp_path: Path) -> None:
    """What the run itself tells of a file stands above; here it looks at Python alone, and text is left to the end."""
    notes = {f"src/run{number:02}.sh": "python -c 'import xformers'\npython -m xformers.info\n" for number in range(12)}
    write(tmp_path, {"pyproject.toml": "", "src/model.py": EXACT, **notes, **OTHERS})
    output = rewrite("--jobs", "1", "--check", "src").output
    told = needing(output)
    assert [line.partition(":")[0] for line in told if line.startswith("src")] == sorted(notes)
    assert sum(line.startswith("tests/") for line in told) == 10


def places(report: str) -> set[str]:
    mentions = json.loads(report)["closing"]["mentions"]
    return {f"{m['path']}:{m['line']}" for m in mentions if m["bearing"] == "needs"}


def test_verbose_status_and_json_tell_every_place(tmp_path: Path) -> None:
    write(tmp_path, {"pyproject.toml": "", "src/model.py": "x = 1\n", **OTHERS})
    for command in ("rewrite --verbose src", "status"):
        output = call(*command.split(), "--jobs", "1").output
        report = call(*command.replace("--verbose ", "").split(), "--jobs", "1", "--output-format", "json").output
        told = [":".join(line.split(":")[:2]) for line in needing(output)]
        assert set(told) == places(report)
        assert len(told) >= 2 * len(OTHERS)
