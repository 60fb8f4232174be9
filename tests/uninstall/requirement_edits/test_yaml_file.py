"""environment.yml, conda recipes and cog.yaml: what PyYAML reads before and after."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from tests.uninstall.requirement_edits.common import gone, raised, untouched

CONDA = """\
name: env
channels:
  - defaults
  - xformers
  - xformers/label/dev
dependencies:
  # fast
  - python >= 3.8
  - xformers::xformers=0.0.18
  - pytorch>=2.1  # torch
  - pip:
    - "xformers==0.0.20"
    - einops
"""


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_packages_and_channels(newline: str) -> None:
    text = CONDA.replace("\n", newline)
    new = gone("environment.yml", text)
    wanted: dict[str, Any] = yaml.safe_load(text)
    wanted["channels"] = ["defaults"]
    wanted["dependencies"] = ["python >= 3.8", "pytorch>=2.1", {"pip": ["einops"]}]
    assert yaml.safe_load(new) == wanted
    assert [line for line in text.splitlines() if line not in new.splitlines()] == [
        line for line in text.splitlines() if "xformers" in line
    ]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("dependencies:\n- pip\n- pip:\n  - xformers\nname: a\n", "dependencies:\n- pip\nname: a\n"),
        ("dependencies:\n- pip:\n  - xformers\nname: a\n", "dependencies: []\nname: a\n"),
        ("channels:  # c\n  - xformers\ndependencies:\n  - a\n", "channels: []  # c\ndependencies:\n  - a\n"),
        ("dependencies:\n  - 'xformers >=0.0.20'  # x\n  - b\n", "dependencies:\n  - b\n"),
        (
            'build:\n  python_packages:\n    - "xformers==0.0.16"\n    - torch\n',
            "build:\n  python_packages:\n    - torch\n",
        ),
    ],
)
def test_one_place(before: str, after: str) -> None:
    file = "cog.yaml" if "python_packages" in before else "conda-dev.yaml"
    assert gone(file, before) == after
    assert yaml.safe_load(after)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("dependencies: [python=3.10, xformers]\n", "dependencies: [python=3.10]\n"),
        ("dependencies: [xformers >=0.0.20, 'b']  # c\n", "dependencies: ['b']  # c\n"),
        ("dependencies: [ a, 'xformers', \"b#\" ]\n", 'dependencies: [ a, "b#" ]\n'),
        ("channels: [xformers]\nname: a\n", "channels: []\nname: a\n"),
        ("channels: [xformers/label/dev, conda-forge]\n", "channels: [conda-forge]\n"),
        ("dependencies: [\n  a,  # x, [y\n  xformers,  # z\n  b\n]\n", "dependencies: [\n  a,  # x, [y\n  b\n]\n"),
        ("dependencies: [\n  a,\n  xformers\n]\n", "dependencies: [\n  a,\n]\n"),
        ("dependencies: [a, {pip: [xformers==0.0.20, b]}]\n", "dependencies: [a, {pip: [b]}]\n"),
        ("dependencies:\n  - a\n  - pip: [xformers, b]\n", "dependencies:\n  - a\n  - pip: [b]\n"),
        ("dependencies:\n  - a\n  - pip: [xformers]\nname: b\n", "dependencies:\n  - a\nname: b\n"),
        ("{name: a, dependencies: [b, xformers]}\n", "{name: a, dependencies: [b]}\n"),
    ],
)
def test_lists_in_brackets(before: str, after: str) -> None:
    """As the lines of a block, and nothing else differs to the parser."""
    assert yaml.safe_load(before)
    assert gone("environment.yml", before) == after
    assert yaml.safe_load(after)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("dependencies: [a, {pip: [xformers]}]\n", "cannot be taken out"),  # conda would ask pip for nothing
        ("requirements:\n  run: [xformers, {{ pin }}]\n", "would not be read"),  # a template, read by no parser
    ],
)
def test_brackets_that_stay_are_named(text: str, why: str) -> None:
    (left,) = untouched("recipe/meta.yaml", text).left
    assert why in left.why


def test_torch_in_brackets() -> None:
    assert raised("environment.yml", "dependencies: [a, pytorch>=2.0, b]\n") == "dependencies: [a, pytorch>=2.2, b]\n"


def test_a_recipe() -> None:
    text = (
        "{% set version = '1' %}\npackage:\n  name: a\nrequirements:\n  run:\n    - xformers >=0.0.20  # [linux]\n"
        "    - pytorch\n  host:\n    - python\nabout:\n  summary: xformers\n"
    )
    assert gone("recipe/meta.yaml", text) == text.replace("    - xformers >=0.0.20  # [linux]\n", "")


@pytest.mark.parametrize(
    "text",
    [
        "dependencies:\n  - xformers-stubs\n",
        "models:\n  - xformers\n",
        "channels:\n  - xformers-mirror\n",
        "attention: xformers\n",
        "models: [xformers]\n",
        "a: 1  # dependencies: [xformers]\n",
        "dependencies: [a, xformers\n",
    ],
)
def test_a_word_is_no_requirement(text: str) -> None:
    assert untouched("environment.yaml", text).left == []
