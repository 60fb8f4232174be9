"""Formats and files given together, and what is counted beside the report."""

from __future__ import annotations

import json
import re
from pathlib import Path

from tests.report.forms import checked
from tests.run.commands import EXACT, rewrite


def test_formats_and_files_come_in_pairs(folder: Path) -> None:
    pairs = [
        "--output-format",
        "sarif",
        "--output-file",
        "a.sarif",
        "--output-format",
        "junit",
        "--output-file",
        "j.xml",
    ]
    result = rewrite("--check", *pairs, "--output-format", "github", "exact.py")
    assert result.stdout.startswith("::warning ")
    checked("sarif", (folder / "a.sarif").read_text())
    checked("junit", (folder / "j.xml").read_text())
    result = rewrite("--check", "--output-format", "gitlab", "--output-file", "q.json", "exact.py")
    assert "exact.py:7:12: XF101 exact" in result.stdout, "a person reads what is printed"
    checked("gitlab", (folder / "q.json").read_text())
    rewrite("--check", "--output-file", "report.txt", "exact.py")
    assert "exact.py:7:12: XF101 exact" in (folder / "report.txt").read_text()


def test_formats_without_a_file_are_refused_before_anything_is_written(folder: Path) -> None:
    result = rewrite("--output-format", "sarif", "--output-format", "junit", "exact.py")
    assert result.exit_code == 2
    assert "every --output-file takes one --output-format" in result.output
    assert (folder / "exact.py").read_text() == EXACT
    result = rewrite("--check", "--output-format", "sarif", "--output-file", "no/such/folder.sarif", "exact.py")
    assert result.exit_code == 2
    assert "--output-file: no/such/folder.sarif cannot be written" in result.output


def test_statistics(folder: Path) -> None:
    (folder / "more.py").write_text(EXACT)
    lines = rewrite("--check", "--statistics", "--flags", "off", ".").output.splitlines()
    assert any(line.startswith("     3  XF101  ") for line in lines)
    assert not any(line.startswith(("exact.py", "left.py")) for line in lines)
    assert any(line.startswith("broken.py:3") for line in lines), "what failed is always named"
    codes = json.loads(rewrite("--check", "--output-format", "json", "--flags", "off", ".").stdout)["codes"]
    assert codes["XF101"] == 3
    told = [match for line in lines if (match := re.match(r" *(\d+)  (XF\d+)  ", line))]
    assert {match[2]: int(match[1]) for match in told} == codes


def test_show_files(folder: Path) -> None:
    (folder / "x\x1b.py").write_text(EXACT)
    result = rewrite("--show-files", "--exclude", "left.py", ".")
    assert result.output.splitlines() == ["assumed.py", "broken.py", "exact.py", "helped.py", "plain.py", "x\\x1b.py"]
    assert result.exit_code == 0
    assert (folder / "exact.py").read_text() == EXACT


def test_the_number_of_files_looked_at(folder: Path) -> None:
    assert "\n6 files scanned, 5 looked into, 3 to rewrite.\n" in rewrite("--check", ".").output
    assert "\n1 file scanned.\n" in rewrite("plain.py").output
    assert json.loads(rewrite("--output-format", "json", "--check", ".").stdout)["totals"]["files_scanned"] == 6
