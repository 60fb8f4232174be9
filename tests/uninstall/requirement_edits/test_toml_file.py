"""pyproject.toml and Pipfile: what tomllib reads before and after."""

from __future__ import annotations

import pytest

from tests.uninstall.requirement_edits.common import gone, untouched
from xf2sdpa.files.pyproject import parse_toml

POETRY = "[tool.poetry.dependencies]\n"
EXTRA = "[tool.poetry.extras]\n"
FULL = """\
# top
[build-system]
requires = ["setuptools", "xformers"]  # build

[project]
name = "pkg"
dependencies = [
    # first
    "torch>=2.1",  # torch
    "xformers>=0.0.20; sys_platform == 'linux'",  # fast
    "numpy",
]

[project.optional-dependencies]
xformers = ["xformers"]
all = ["pkg[xformers]", 'other']
fast = [ "xformers==0.0.22", "triton" ]
last = [
  "triton",
  "xformers"
]

[dependency-groups]
dev = [{include-group = "xformers"}, "xformers", "pytest"]
xformers = []

[tool.pdm.dev-dependencies]
gpu = ["xformers"]

[tool.hatch.envs.gpu]
extra-dependencies = [
  "xformers",
]

[tool.uv]
no-build-isolation-package = ["xformers"]
dev-dependencies = ["ruff", "xformers"]

[tool.uv.sources]
torch = { index = "cu121" }
xformers = { git = "https://host/xformers.git" }
"""


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_every_list_and_table(newline: str) -> None:
    text = FULL.replace("\n", newline)
    new = gone("pyproject.toml", text)
    data = parse_toml(new)
    assert data["build-system"]["requires"] == ["setuptools"]
    assert data["project"]["dependencies"] == ["torch>=2.1", "numpy"]
    assert data["project"]["optional-dependencies"] == {
        "xformers": [],
        "all": ["pkg[xformers]", "other"],
        "fast": ["triton"],
        "last": ["triton"],
    }
    assert data["dependency-groups"] == {"dev": [{"include-group": "xformers"}, "pytest"], "xformers": []}
    assert data["tool"]["pdm"]["dev-dependencies"] == {"gpu": []}
    assert data["tool"]["hatch"]["envs"]["gpu"] == {"extra-dependencies": []}
    assert data["tool"]["uv"]["no-build-isolation-package"] == []
    assert data["tool"]["uv"]["dev-dependencies"] == ["ruff"]
    assert data["tool"]["uv"]["sources"] == {"torch": {"index": "cu121"}}
    for kept in ("# top", "# build", "# first", "# torch", '[ "triton" ]'):
        assert kept in new
    lost = [line for line in text.splitlines() if line not in new.splitlines()]
    assert all("xformers" in line for line in lost)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (f'a.b = 1\n{POETRY}xformers = "^0.0.20"  # x\ntorch = "^2"\n', f'a.b = 1\n{POETRY}torch = "^2"\n'),
        (f'{POETRY}xformers = {{optional = true}}\n{EXTRA}a = ["xformers", "b"]\n', f'{POETRY}{EXTRA}a = ["b"]\n'),
        ('[tool.poetry.dependencies.xformers]\nversion = "1"\n\n# next\n[a]\nx = 1\n', "\n# next\n[a]\nx = 1\n"),
        (f'{POETRY}xformers = [\n  {{version = "1"}},\n  {{version = "2"}},\n]\ny = "1"\n', f'{POETRY}y = "1"\n'),
        ('tool.poetry.dependencies = {xformers = "1", a = "2"}\n', 'tool.poetry.dependencies = {a = "2"}\n'),
        ('tool.poetry.dependencies = {a = "2", xformers = "1"}\n', 'tool.poetry.dependencies = {a = "2"}\n'),
        (f'{POETRY}xformers.version = "1"\nxformers.optional = true\ny = "1"\n', f'{POETRY}y = "1"\n'),
        ('[tool.pdm.dev-dependencies]\nxformers = ["xformers"]\n', "[tool.pdm.dev-dependencies]\nxformers = []\n"),
        ('project.dependencies = [\n  "torch",\n  "xformers",\n]\n', 'project.dependencies = [\n  "torch",\n]\n'),
        ('project.dependencies = ["xformers", "torch"]\n', 'project.dependencies = ["torch"]\n'),
        ('project.dependencies = ["torch", "xformers"]', 'project.dependencies = ["torch"]'),
        ('project.dependencies = ["torch", "xformers==1", "xformers==2"]', 'project.dependencies = ["torch"]'),
        ('project.dependencies = ["torch",\n  "xformers"]', 'project.dependencies = ["torch"]'),
        ('[tool.pixi.pypi-dependencies]\nxformers = ">=0"\n', "[tool.pixi.pypi-dependencies]\n"),
        ('["tool"."poetry".dependencies]\n"xformers" = "1"\n', '["tool"."poetry".dependencies]\n'),
    ],
)  # fmt: skip
def test_one_place(before: str, after: str) -> None:
    assert gone("pyproject.toml", before) == after
    parse_toml(after)


def test_a_pipfile() -> None:
    text = (
        '[[source]]\nurl = "https://host/xformers"\n\n[packages]\ntorch = "*"\nxformers = "==0.0.20"\n\n'
        '[dev-packages]\nxformers = "*"\n'
    )
    assert gone("Pipfile", text) == text.replace('xformers = "==0.0.20"\n', "").replace('xformers = "*"\n', "")


@pytest.mark.parametrize(
    "text",
    [
        '[project]\nname = "xformers"\nkeywords = ["xformers"]\n',
        '[project.entry-points."dependencies"]\nother = "xformers:a"\n',
        '[tool.pytest]\nmarkers = ["xformers"]\n',
        '[tool.other]\nkeys = ["xformers.*"]\n# dependencies = ["xformers"]\n',
        '[project]\ndescription = """\ndependencies = ["xformers"]\n"""\n',
        '[[tool.mypy.overrides]]\nmodule = ["xformers.*"]\n',
    ],
)
def test_a_word_is_no_requirement(text: str) -> None:
    assert untouched("pyproject.toml", text).left == []


def test_a_broken_file_is_named() -> None:
    with pytest.raises(ValueError, match="array"):
        untouched("pyproject.toml", '[project]\ndependencies = ["xformers"\n')
