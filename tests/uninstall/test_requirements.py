"""Which lines of requirement files can go after a rewrite, and when none is named."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.projects.harness import write
from tests.run.commands import EXACT, LEFT, PLAIN, rewrite

SAID = "Nothing here needs xformers any more. Lines to drop:"
COMPONENTS = "from xformers.components import build_attention\n\nBUILD = build_attention\n"
CONDA = "channels:\n  - conda-forge\ndependencies:\n  - xformers=0.0.20\n"


def said(folder: Path, *arguments: str) -> str:
    """What a run in a folder prints."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        return rewrite("--jobs", "1", *arguments).output


@pytest.mark.parametrize(
    ("file", "text", "line"),
    [
        ("requirements.txt", "torch\nxformers==0.0.27  # fast\n", "2: xformers==0.0.27"),
        ("requirements-gpu.txt", "xformers>=0.0.20; sys_platform == 'linux'\n", "1: xformers>=0.0.20; sys_platform"),
        ("requirements/train.txt", "torch\n\nxformers\n", "3: xformers"),
        ("requirements.txt", "https://host/xformers-0.0.20-cp310.whl\n", "1: https://host/xformers-0.0.20"),
        ("requirements.txt", "git+https://host/team/xformers.git@main\n", "1: git+https://host/team/xformers.git@main"),
        ("pyproject.toml", '[project]\ndependencies = [\n    "xformers>=0.0.20",\n]\n', '3: "xformers>=0.0.20",'),
        ("pyproject.toml", '[tool.poetry.dependencies]\nxformers = "^0.0.20"\n', '2: xformers = "^0.0.20"'),
        ("setup.cfg", "[options]\ninstall_requires =\n    xformers\n", "3: xformers"),
        ("setup.py", 'from setuptools import setup\n\nsetup(install_requires=["torch", "xformers"])\n', "3: setup("),
        ("setup.py", "FAST = ['xformers>=0.0.20']\n\nsetup(extras_require={'xformers': FAST})\n", "1: FAST = ["),
        ("setup.py", "more = {}\nmore['fast'] = ['xformers']\nsetup(extras_require=more)\n", "2: more['fast']"),
        ("setup.cfg", "[options.extras_require]\nfast = xformers\n", "2: fast = xformers"),
        ("pyproject.toml", '[tool.poetry.dependencies.xformers]\nversion = "^0.0.20"\n', "1: [tool.poetry.dep"),
        ("pyproject.toml", '[tool.poetry.group.fast.dependencies]\nxformers = "*"\n', '2: xformers = "*"'),
        ("pyproject.toml", '[tool.hatch.envs.fast]\nextra-dependencies = ["xformers"]\n', "2: extra-dependencies"),
        ("pyproject.toml", "project.dependencies = [\n  'torch',\n  'xformers',\n]\n", "3: 'xformers',"),
        ("environment.yml", CONDA, "4: - xformers=0.0.20"),
    ],
)
def test_lines_that_can_go_are_named(tmp_path: Path, file: str, text: str, line: str) -> None:
    write(tmp_path, {"model.py": EXACT, file: text})
    output = said(tmp_path, "--check", ".")
    assert f"{SAID}\n    {file}:{line}" in output
    assert (tmp_path / file).read_text() == text


@pytest.mark.parametrize(
    "line",
    [
        "torch",
        "# xformers",
        "torch  # not xformers",
        "xformers-stubs",
        "xformers_extra==1",
        "flash-xformers",
        "xformersx",
    ],
)
def test_other_lines_are_not(tmp_path: Path, line: str) -> None:
    write(tmp_path, {"model.py": EXACT, "requirements.txt": f"{line}\n"})
    assert SAID not in said(tmp_path, "--check", ".")


@pytest.mark.parametrize("line", ['keys = ["xformers.*"]', 'description = "Attention with xformers"'])
def test_a_word_is_no_requirement(tmp_path: Path, line: str) -> None:
    write(tmp_path, {"model.py": EXACT, "pyproject.toml": f"[tool.other]\n{line}\n"})
    assert SAID not in said(tmp_path, "--check", ".")


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("setup.py", "setup(\n"),
        ("setup.py", "setup(extras_require={'xformers': ['torch']}, keywords=['xformers'])\n"),
        ("setup.cfg", "[options.extras_require]\nxformers = torch\n"),
        ("setup.cfg", "[options.entry_points]\nbackends =\n    xformers = a:b\n"),
        ("pyproject.toml", '[project.entry-points."dependencies"]\nother = "xformers:a"\n'),
        ("pyproject.toml", '[tool.pytest]\nmarkers = [\n    "xformers",\n]\n'),
        ("pyproject.toml", '[dependency-groups]\nxformers = [{include-group = "xformers"}]\n'),
        ("pyproject.toml", "[broken\nxformers\n"),
    ],
)
def test_a_name_is_no_requirement(tmp_path: Path, file: str, text: str) -> None:
    write(tmp_path, {"model.py": EXACT, file: text})
    assert SAID not in said(tmp_path, "--check", ".")


@pytest.mark.parametrize(
    ("files", "paths"),
    [
        ({"model.py": EXACT, "left.py": LEFT}, ["."]),
        ({"model.py": EXACT, "other.py": COMPONENTS}, ["."]),
        ({"src/model.py": EXACT, "tools/other.py": COMPONENTS}, ["src"]),
        ({"model.py": EXACT, "lazy.py": "def f():\n    import torch, xformers\n    return xformers\n"}, ["."]),
        ({"model.py": PLAIN}, ["."]),
    ],
    ids=["a call is left", "another part is used", "outside the paths", "imported late", "nothing rewritten"],
)
def test_not_while_something_needs_it(tmp_path: Path, files: dict[str, str], paths: list[str]) -> None:
    write(tmp_path, {**files, "requirements.txt": "xformers\n"})
    assert SAID not in said(tmp_path, *paths)


def test_the_nearest_folder_above_within_the_work_tree(tmp_path: Path) -> None:
    write(tmp_path, {"requirements.txt": "xformers\n", "a/src/model.py": EXACT, "a/requirements.txt": "xformers==1\n"})
    output = said(tmp_path / "a", "--check", "src")
    assert f"{SAID}\n    requirements.txt:1: xformers==1\n" in output
    (tmp_path / "a/requirements.txt").unlink()
    assert f"{SAID}\n    ../requirements.txt:1: xformers\n" in said(tmp_path / "a", "--check", "src")
    (tmp_path / "a/.git").mkdir()
    assert SAID not in said(tmp_path / "a", "--check", "src")
