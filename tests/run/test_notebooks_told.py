"""What a run tells of notebooks: which cell, in every format; and what a broken one costs."""

from __future__ import annotations

import json
from pathlib import Path
from unittest import mock

import jsonschema
import pytest

from tests.notebooks import INLINE, book, printed, saved
from tests.projects.harness import write
from tests.run.commands import EXACT, rewrite
from xf2sdpa.report import json as json_report

pytestmark = pytest.mark.usefixtures("inside")


def test_an_error_of_ours_costs_one_notebook(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("xf2sdpa.run.rewrite_files.set_flags_apart", mock.Mock(side_effect=KeyError("x")))
    write(Path(), {"a.py": EXACT, "b.ipynb": book(*INLINE)})
    result = rewrite(".")
    assert result.exit_code == 2
    assert "b.ipynb:cell 2:1:1: XF910 error   the work on it broke off: KeyError" in result.output
    assert "xformers" not in Path("a.py").read_text()


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('{"cells": [ xformers', "is no JSON"),
        (json.dumps({"nbformat": 3, "worksheets": [{"cells": []}], "a": "xformers"}), "is in format 3"),
        (json.dumps({"nbformat": 4, "metadata": {"a": "xformers"}}), "has no list of cells"),
    ],
)
def test_a_broken_notebook_costs_itself(text: str, why: str) -> None:
    write(Path(), {"a.ipynb": text, "b.py": EXACT})
    result = rewrite(".")
    assert result.exit_code == 2
    assert "a.ipynb:1:1: XF911 error" in result.output
    assert why in result.output
    assert Path("a.ipynb").read_text() == text
    assert "xformers" not in Path("b.py").read_text()


def test_check_and_diff_tell_cells() -> None:
    path = saved(*INLINE)
    before = path.read_text("utf-8")
    assert rewrite("--check", ".").exit_code == 1
    shown = rewrite("--diff", ".").output
    assert "--- a/demo.ipynb:cell 3\n+++ b/demo.ipynb:cell 3\n" in shown
    assert "-import xformers.ops as xops" in shown
    assert "source" not in shown
    assert path.read_text("utf-8") == before


def test_the_json_report_has_cells() -> None:
    saved(*INLINE)
    report = json.loads(rewrite("--check", "--output-format", "json", ".").output)
    jsonschema.validate(report, json.loads((Path(json_report.__file__).parent / "schema.json").read_text()))
    (file,) = report["files"]
    assert [(site["cell"], site["line"], site["column"]) for site in file["sites"]] == [(5, 2, 7)]
    assert [cell["cell"] for cell in file["cells"]] == [2, 3, 5]
    assert file["cells"][0] == {"cell": 2, "old": "!pip install xformers", "new": ""}
    assert file["old"] == Path("demo.ipynb").read_text("utf-8")
    assert {"XF149", "XF140", "XF308"} <= {finding["code"] for finding in file["findings"]}


def test_outputs_of_edited_cells_are_kept_and_told() -> None:
    path = saved(*INLINE)
    assert "cell 3:1:1: XF308 note    the outputs kept with cell 3 are" in rewrite("-v", path).output
    assert json.loads(path.read_text("utf-8"))["cells"][2]["outputs"] == printed("old\n")


def test_services_get_lines_of_the_file() -> None:
    path = saved(*INLINE)
    lines = path.read_text("utf-8").split("\n")
    told = rewrite("--check", "--output-format", "github", ".").output
    number = next(n for n, line in enumerate(lines, 1) if "out = xops" in line)
    assert f"line={number}" in told
    assert "cell 5, line 2: " in told


def test_a_diff_to_apply_is_of_the_json(tmp_path: Path) -> None:
    path = saved(*INLINE)
    before = path.read_text("utf-8")
    shown = rewrite("--check", "--output-format", "diff", ".").output
    rewrite(path)
    after = path.read_text("utf-8")
    removed = [line[1:] for line in shown.split("\n") if line.startswith("-") and not line.startswith("---")]
    added = [line[1:] for line in shown.split("\n") if line.startswith("+") and not line.startswith("+++")]
    assert removed
    assert all(line in before.split("\n") for line in removed)
    assert all(line in after.split("\n") for line in added)
