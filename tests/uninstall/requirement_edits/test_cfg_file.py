"""setup.cfg: what configparser reads before and after."""

from __future__ import annotations

import configparser

import pytest

from tests.uninstall.requirement_edits.common import gone, untouched

FULL = """\
[metadata]
name = pkg
keywords = xformers

[options]
install_requires =
    # fast
    torch>=2.1
    xformers>=0.0.20; sys_platform == "linux"
    numpy
setup_requires = xformers

[options.extras_require]
xformers = xformers
fast =
    xformers
    triton
none = triton

[options.entry_points]
backends =
    xformers = a:b
"""


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_every_key(newline: str) -> None:
    text = FULL.replace("\n", newline)
    new = gone("setup.cfg", text)
    parser = configparser.ConfigParser()
    parser.read_string(new)
    assert parser["options"]["install_requires"].split() == ["torch>=2.1", "numpy"]
    assert parser["options"]["setup_requires"] == ""
    assert dict(parser["options.extras_require"]) == {"xformers": "", "fast": "\ntriton", "none": "triton"}
    assert "xformers = a:b" in parser["options.entry_points"]["backends"]
    lost = [line for line in text.splitlines() if line not in new.splitlines()]
    assert len(lost) == 4
    assert all("xformers" in line for line in lost)
    assert new.count(newline) == text.count(newline) - 2


def test_a_word_is_no_requirement() -> None:
    assert (
        untouched("setup.cfg", "[options.extras_require]\nxformers = torch\n[tool]\ninstall_requires = xformers\n").left
        == []
    )
