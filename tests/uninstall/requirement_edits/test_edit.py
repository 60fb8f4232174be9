"""One file without xformers, and with a torch that is new enough."""

from __future__ import annotations

from dataclasses import replace
from pathlib import PurePath

import pytest

from tests.uninstall.requirement_edits.common import not_raised, raised
from xf2sdpa.uninstall.requirement_edits import edit, pip_file
from xf2sdpa.uninstall.requirement_edits.edit import listing, names_torch, without_xformers
from xf2sdpa.uninstall.requirement_edits.names import Format
from xf2sdpa.uninstall.requirement_edits.splice import Requirement, Splice

POETRY = "[tool.poetry.dependencies]\n"
OPTIONS = "[options]\ninstall_requires =\n    "


@pytest.mark.parametrize(
    ("file", "before", "after"),
    [
        ("requirements.txt", "torch  # t\n", "torch>=2.2  # t\n"),
        ("requirements.txt", "torch==2.0.1\ntorchvision\n", "torch>=2.2\ntorchvision\n"),
        ("requirements.txt", "torch>=2.0 ; sys_platform == 'linux'\n", "torch>=2.2 ; sys_platform == 'linux'\n"),
        ("requirements.txt", "torch==2.3.0+cu118\ntorchvision==0.18\n", "torch==2.3.0+cu118\ntorchvision==0.18\n"),
        ("pyproject.toml", 'build-system.requires = ["torch>=1.9"]\n', 'build-system.requires = ["torch>=2.2"]\n'),
        ("pyproject.toml", f'{POETRY}torch = "^2.0"\n', f'{POETRY}torch = "^2.2"\n'),
        ("pyproject.toml", f'{POETRY}torch = {{version = ">=2.0"}}\n', f'{POETRY}torch = {{version = ">=2.2"}}\n'),
        ("pyproject.toml", '[tool.uv.sources]\ntorch = {index = "x"}\n', '[tool.uv.sources]\ntorch = {index = "x"}\n'),
        ("setup.cfg", f"{OPTIONS}torch>=1.9\n", f"{OPTIONS}torch>=2.2\n"),
        ("setup.py", "setup(install_requires=['torch >= 2.0'])\n", "setup(install_requires=['torch >= 2.2'])\n"),
        ("environment.yml", "dependencies:\n  - pytorch>=1.9  # p\n", "dependencies:\n  - pytorch>=2.2  # p\n"),
        ("Pipfile", '[packages]\ntorch = "*"\n', '[packages]\ntorch = ">=2.2"\n'),
    ],
)  # fmt: skip
def test_torch_is_raised_where_it_admits_less(file: str, before: str, after: str) -> None:
    assert raised(file, before) == after


@pytest.mark.parametrize(
    ("file", "text", "why"),
    [
        (
            "requirements.txt",
            "torch==2.0.1\ntorchvision==0.15.2\n",
            "it goes with torchvision==0.15.2, and {needed}: raise both",
        ),
        ("requirements.txt", "torch==2.0.1 \\\n  --hash=sha256:aa\n", "a hash holds it to its release, and {needed}"),
        ("requirements.txt", "torch>=2.0 --hash=sha256:aa\n", "a hash holds it"),
        ("requirements.txt", "torch<2.1\n", "it names a release or an upper bound, and {needed}"),
        ("requirements.txt", "torch==2.0.1+cu118\n", "it names a release or an upper bound, and {needed}"),
        ("environment.yml", "dependencies:\n  - pytorch=2.0\n", "it names a release or an upper bound, and {needed}"),
    ],
)
def test_torch_that_is_held_is_named(file: str, text: str, why: str) -> None:
    (said,) = not_raised(file, text)
    assert why.format(needed="the new code needs torch>=2.2") in said


def test_torch_in_place_of_what_brought_it() -> None:
    outcome = without_xformers(PurePath("requirements.txt"), "einops\nxformers==0.0.20  # x\n", "torch>=2.1")
    assert outcome.text == "einops\ntorch>=2.1  # x\n"
    text = '[project]\ndependencies = ["einops", "xformers"]\noptional-dependencies.x = ["xformers"]\n'
    assert without_xformers(PurePath("pyproject.toml"), text, "torch>=2.1").text == (
        '[project]\ndependencies = ["einops", "torch>=2.1"]\noptional-dependencies.x = []\n'
    )
    assert names_torch(PurePath("requirements.txt"), "torchvision\n")
    assert not names_torch(PurePath("requirements.txt"), "timm\n")


def test_an_extra_that_is_empty_is_told() -> None:
    text = '[project]\noptional-dependencies = {xformers = ["xformers"], b = ["xformers", "a"]}\n'
    done = without_xformers(PurePath("pyproject.toml"), text).done
    assert [change.place for change in done] == ["xformers", ""]


def test_a_file_that_would_not_be_read_as_before_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """Were a splice to take too much, the format's parser would see it."""

    def find(text: str) -> list[Requirement]:
        return [replace(one, going=(Splice(0, len(text)),)) for one in pip_file.find(text)]

    monkeypatch.setitem(edit._READERS, Format.PIP, (find, pip_file.same))
    outcome = without_xformers(PurePath("requirements.txt"), "numpy\nxformers\n")
    assert outcome.text == "numpy\nxformers\n"
    assert [change.why for change in outcome.left] == ["would not be read as before"]


def test_listing() -> None:
    text = "[project]\ndependencies = [\n  'xformers',  # x\n]\n"
    assert listing(PurePath("pyproject.toml"), text) == [(3, "'xformers',")]
    assert listing(PurePath("pyproject.toml"), "[broken\nxformers\n") == []
    assert listing(PurePath("notes.txt"), "xformers\n") == []
