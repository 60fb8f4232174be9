"""What a comment, an option or pyproject.toml asks the command for."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.run.commands import EXACT, configured, rewrite, run, write
from xf2sdpa.rewrite.pages import retired_codes


@pytest.mark.parametrize(
    ("comment", "kind"),
    [
        ("# xf2sdpa: ignore", "XF906 left"),
        ("# xf2sdpa: ignore[XF101]", "XF906 left"),
        ("# xf2sdpa: ignore[XF999, xf101] later", "XF906 left"),
        ("# xf2sdpa: ignore[XF1]", "XF906 left"),
        ("# xf2sdpa: ignore[XF102]", "XF101 exact"),
        ("# ignore", "XF101 exact"),
    ],
)
def test_suppression_comment(tmp_path: Path, comment: str, kind: str) -> None:
    old = EXACT.replace(".reshape(b, n, -1)", f".reshape(b, n, -1)  {comment}")
    write(tmp_path, model=old)
    result = rewrite(tmp_path)
    assert result.exit_code == 0
    assert kind in result.output
    assert ((tmp_path / "model.py").read_text() == old) == ("left" in kind)


def test_a_suppression_comment_of_another_code_is_told(tmp_path: Path) -> None:
    write(tmp_path, model=EXACT.replace(".reshape(b, n, -1)", ".reshape(b, n, -1)  # xf2sdpa: ignore[XF102]"))
    assert "the comment here ignores XF102: this is XF101" in rewrite(tmp_path, "-v").output


@pytest.mark.parametrize(
    ("option", "code", "kind"),
    [
        ("--select", "XF102", "XF907 left"),
        ("--select", "XF1", "XF101 exact"),
        ("--ignore", "XF101", "XF907 left"),
        ("--ignore", "XF2,XF102", "XF101 exact"),
    ],
)
def test_rule_selection(file: Path, option: str, code: str, kind: str) -> None:
    assert kind in rewrite("--check", option, code, file).output


@pytest.mark.parametrize("code", retired_codes())
def test_a_retired_code_is_accepted_and_said_to_do_nothing(code: str, tmp_path: Path) -> None:
    warning = f"warning: {code} is retired and does nothing here; `xf2sdpa explain {code}` says why\n"
    write(tmp_path, model=EXACT)
    result = rewrite("--check", "--ignore", code, tmp_path)
    assert warning in result.output
    assert "XF101 exact" in result.output
    configured(tmp_path, f'ignore = ["{code}"]')
    assert warning in rewrite("--check", tmp_path).output
    assert "is retired" not in rewrite("--check", "--ignore", "XF102", tmp_path).output


def test_a_beginning_that_no_code_has_names_those_there_are(file: Path) -> None:
    result = rewrite("--select", "XF999", file)
    assert "select: no code begins with 'XF999'. There are XF1 (what was done), XF2 (why" in result.output
    assert file.read_text() == EXACT


def test_flags_that_say_nothing_name_the_choices(file: Path) -> None:
    assert "flags: must name at least one of h200, safe, off, keep, tf32" in rewrite("--flags", "", file).output
    assert "flags: 'bogus' is unknown. Allowed: h200, safe" in rewrite("--flags", "bogus", file).output


def test_paths_and_exclude_from_pyproject(tmp_path: Path) -> None:
    configured(tmp_path, 'paths = ["src"]\nexclude = ["old"]')
    (tmp_path / "src" / "old").mkdir(parents=True)
    for place in ("src/model.py", "src/old/model.py", "model.py"):
        (tmp_path / place).write_text(EXACT)
    result = run("rewrite", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    changed = [
        place.relative_to(tmp_path).as_posix() for place in tmp_path.rglob("*.py") if "xops" not in place.read_text()
    ]
    assert changed == ["src/model.py"]


def test_options_override_pyproject(tmp_path: Path) -> None:
    write(configured(tmp_path, 'ignore = ["XF101"]'), model=EXACT)
    assert "XF907 left" in rewrite("--check", tmp_path).output
    assert "XF101 exact" in rewrite("--check", "--ignore", "XF102", tmp_path).output


@pytest.mark.parametrize(
    ("table", "told"),
    [
        ('exclud = ["a"]', "did you mean 'exclude'"),
        ("paths = 3", "must be a list of strings"),
        ("torch = 2.1", "must be a version in quotes"),
        ('select = ["E501"]', "must hold codes"),
        ("paths = [", "is not valid TOML"),
    ],
)
def test_bad_configuration(tmp_path: Path, table: str, told: str) -> None:
    write(configured(tmp_path, table), model=EXACT)
    result = rewrite(tmp_path)
    assert result.exit_code == 2
    assert told in result.output
    assert (tmp_path / "model.py").read_text() == EXACT


def test_a_pin_that_is_too_old_is_told(tmp_path: Path) -> None:
    scaled = EXACT.replace("(q, k, v)", "(q, k, v, scale=0.5)")
    write(tmp_path, model=scaled)
    (tmp_path / "requirements.txt").write_text("torch==2.0.1\n")
    told = "the new code needs torch >= 2.1, and the project allows only older ones (requirements.txt:1: torch==2.0.1)."
    assert told in rewrite("--check", "--requirements", "keep", tmp_path).output
    assert "Needs torch >= 2.1." in rewrite("--check", "--torch", "2.4", tmp_path).output
