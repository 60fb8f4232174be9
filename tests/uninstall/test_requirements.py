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


def test_keep_leaves_them_and_lists_their_lines(tmp_path: Path) -> None:
    write(tmp_path, {"model.py": EXACT, "requirements.txt": "torch\nxformers\n"})
    output = said(tmp_path, "--requirements", "keep", ".")
    assert f"{SAID}\n    requirements.txt:2: xformers\n" in output
    assert output.endswith("xformers can be uninstalled: yes\n")
    assert (tmp_path / "requirements.txt").read_text() == "torch\nxformers\n"


def test_edit_is_the_default_and_diff_shows_it(tmp_path: Path) -> None:
    write(tmp_path, {"model.py": EXACT, "requirements.txt": "torch>=1.9  # t\nxformers\n"})
    diff = said(tmp_path, "--diff", ".")
    assert "-torch>=1.9  # t\n-xformers\n+torch>=2.0  # t\n" in diff
    output = said(tmp_path, ".")
    assert "Lines dropped:\n    requirements.txt:2: xformers\n" in output
    assert "    requirements.txt:1: torch>=1.9 is now torch>=2.0\n" in output
    assert (tmp_path / "requirements.txt").read_text() == "torch>=2.0  # t\n"


def test_pyproject_can_say_keep(tmp_path: Path) -> None:
    text = '[project]\ndependencies = ["xformers"]\n\n[tool.xf2sdpa]\nrequirements = "keep"\n'
    write(tmp_path, {"model.py": EXACT, "pyproject.toml": text})
    said(tmp_path, ".")
    assert (tmp_path / "pyproject.toml").read_text() == text


def test_nothing_goes_where_uses_are_left(tmp_path: Path) -> None:
    write(tmp_path, {"model.py": EXACT, "left.py": LEFT, "requirements.txt": "torch>=1.9\nxformers\n"})
    output = said(tmp_path, ".")
    assert (tmp_path / "requirements.txt").read_text() == "torch>=1.9\nxformers\n"
    assert output.endswith("xformers can be uninstalled: no, because left.py needs it\n")


def test_only_files_that_speak_for_rewritten_code(tmp_path: Path) -> None:
    """A folder without rewritten code may list xformers for what is not in the tree at all."""
    lists = {
        "requirements.txt": "xformers\n",
        "a/requirements/gpu.txt": "xformers\n",
        "b/requirements.txt": "xformers\n",
    }
    write(tmp_path, {"a/model.py": EXACT, "b/run.py": "import torch\n", **lists})
    output = said(tmp_path, ".")
    assert {name: (tmp_path / name).read_text() for name in lists} == {
        "requirements.txt": "torch>=2.0\n",
        "a/requirements/gpu.txt": "torch>=2.0\n",
        "b/requirements.txt": "xformers\n",
    }
    assert "requirements: 1 line in 1 file, such as b/requirements.txt:1" in output


def test_torch_stays_required_where_xformers_brought_it(tmp_path: Path) -> None:
    write(tmp_path, {"model.py": EXACT, "requirements.txt": "xformers==0.0.20  # fast\neinops\n"})
    said(tmp_path, ".")
    assert (tmp_path / "requirements.txt").read_text() == "torch>=2.0  # fast\neinops\n"
    write(
        tmp_path,
        {"model.py": EXACT, "requirements.txt": "xformers\n", "setup.py": "setup(install_requires=['torch'])\n"},
    )
    said(tmp_path, ".")
    assert (tmp_path / "requirements.txt").read_text() == ""


def test_an_extra_keeps_its_name(tmp_path: Path) -> None:
    text = (
        '[project]\ndependencies = ["torch>=2.1"]\noptional-dependencies = {fast = ["xformers"], all = ["pk[fast]"]}\n'
    )
    write(tmp_path, {"model.py": EXACT, "pyproject.toml": text})
    output = said(tmp_path, ".")
    assert (tmp_path / "pyproject.toml").read_text() == text.replace('["xformers"]', "[]")
    assert "The extra fast holds nothing any more; it stays, as people install by its name.\n" in output


def test_what_cannot_be_edited_is_named(tmp_path: Path) -> None:
    write(tmp_path, {"model.py": EXACT, "setup.cfg": "[options\nxformers\n", "Pipfile": "[packages\nxformers = 1\n"})
    output = said(tmp_path, ".")
    assert "Left to you in requirement files:\n    Pipfile:1: the file stays: does not parse" in output
    assert (tmp_path / "Pipfile").read_text() == "[packages\nxformers = 1\n"


def test_a_file_in_utf_16_stays(tmp_path: Path) -> None:
    write(tmp_path, {"model.py": EXACT})
    (tmp_path / "requirements.txt").write_bytes("torch\nxformers\n".encode("utf-16"))
    assert "requirements.txt:1: the file stays: is UTF-16" in said(tmp_path, ".")


def test_a_bare_torch_stays_where_another_file_keeps_it_new_enough(tmp_path: Path) -> None:
    pyproject = '[project]\nname = "p"\nversion = "1"\ndependencies = ["torch>=2.5.1"]\n'
    write(tmp_path, {"model.py": EXACT, "requirements.txt": "torch\nxformers\n", "pyproject.toml": pyproject})
    said(tmp_path, ".")
    assert (tmp_path / "requirements.txt").read_text() == "torch\n"
    assert (tmp_path / "pyproject.toml").read_text() == pyproject
