"""setup.py: what `setup` would be called with, before and after."""

from __future__ import annotations

from typing import Any

import pytest

from tests.uninstall.requirement_edits.common import gone, raised, untouched


def called(text: str) -> dict[str, Any]:
    """What `setup` is called with."""
    given: dict[str, Any] = {}
    program = text.replace("from setuptools import setup\n", "")
    exec(compile(program, "setup.py", "exec"), {"setup": given.update})
    return given


@pytest.mark.parametrize(
    ("text", "given"),
    [
        ('setup(install_requires=["torch", "xformers"])\n', {"install_requires": ["torch"]}),
        ('setup(install_requires=["xformers>=1", "torch"])\n', {"install_requires": ["torch"]}),
        ('setup(install_requires=("torch", "xformers"))\n', {"install_requires": ("torch",)}),
        (
            "setup(\n    install_requires=[\n        'torch',  # t\n        'xformers',  # x\n    ],\n)\n",
            {"install_requires": ["torch"]},
        ),
        ("setup(install_requires=[\n 'torch',\n 'xformers'])\n", {"install_requires": ["torch"]}),
        (
            "FAST = ['xformers>=0']\nsetup(extras_require={'xformers': FAST, 'é': ['é']})\n",
            {"extras_require": {"xformers": [], "é": ["é"]}},
        ),
        (
            "more = {}\nmore['fast'] = ['xformers', 'triton']\nsetup(extras_require=more)\n",
            {"extras_require": {"fast": ["triton"]}},
        ),
        ("setup(extras_require={'xformers': 'xformers'})\n", {"extras_require": {"xformers": []}}),
        ("setup(install_requires=['torch'] + ['xformers'])\n", {"install_requires": ["torch"]}),
        (
            "needs = ['xformers', 'torch']\nall_of = {'install_requires': needs}\nsetup(**all_of)\n",
            {"install_requires": ["torch"]},
        ),
    ],
)
def test_a_literal_goes(text: str, given: dict[str, Any]) -> None:
    new = gone("setup.py", f"from setuptools import setup\n{text}")
    assert called(new) == given
    assert "# x" not in new


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize(
    ("literal", "after"),
    [
        ('"""\ntorch\nxformers\n"""', '"""\ntorch\n"""'),
        ('"""\n    torch\n    xformers>=1  # x\n    einops"""', '"""\n    torch\n    einops"""'),
        ('"""xformers\ntorch"""', '"""torch"""'),
        ("'''torch\nxformers'''", "'''torch'''"),
        ('"""\\\ntorch\nxformers\n"""', '"""\\\ntorch\n"""'),
        ('"""\nxformers\n"""', '"""\n"""'),
        ('"""\n# é\nxformers\nxformers-stubs\n"""', '"""\n# é\nxformers-stubs\n"""'),
    ],
)
def test_a_line_of_a_literal_goes(literal: str, after: str, newline: str) -> None:
    program = "NEEDS = {}\nsetup(install_requires=NEEDS, extras_require={'é': [x for x in NEEDS.split()]})\n"
    old, new = (program.replace("{}", text).replace("\n", newline) for text in (literal, after))
    assert gone("setup.py", old) == new
    wanted = [line for line in called(old)["install_requires"].split("\n") if not line.strip().startswith("xformers>")]
    wanted = [line for line in wanted if line.strip() != "xformers"]
    assert called(new)["install_requires"].split("\n") == wanted


def test_torch_in_a_line_of_a_literal() -> None:
    text = 'setup(install_requires="""\n  torch>=2.0\n  einops\n""")\n'
    assert raised("setup.py", text) == text.replace("2.0", "2.2")


@pytest.mark.parametrize(
    "text",
    [
        'setup(install_requires="torch\\nxformers")\n',
        'setup(install_requires=("xformers",))\n',
        'setup(install_requires="""torch\n\\x78formers""")\n',
        'setup(install_requires="xformers")\n',
    ],
)
def test_what_no_splice_takes_out_is_named(text: str) -> None:
    (left,) = untouched("setup.py", text).left
    assert "cannot be taken out" in left.why


@pytest.mark.parametrize(
    "text",
    [
        "setup(keywords=['xformers'], extras_require={'xformers': ['torch']})\n",
        "setup(install_requires=read())\nx = ['xformers']\n",
    ],
)
def test_a_word_is_no_requirement(text: str) -> None:
    assert untouched("setup.py", text).left == []
