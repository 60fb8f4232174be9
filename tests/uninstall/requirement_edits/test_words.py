"""What one requirement says, and torch's with a higher lower bound; held against `packaging`."""

from __future__ import annotations

import pytest
from packaging.requirements import Requirement

from xf2sdpa.uninstall.requirement_edits.words import package, raised


@pytest.mark.parametrize(
    ("said", "name"),
    [
        ("xformers", "xformers"),
        ("conda-forge::xformers=0.0.18", "xformers"),
        ("git+https://host/a/xformers.git@v1", "xformers"),
        ("https://host/xformers-0.0.20-cp310.whl", "xformers"),
        ("git+https://host/a/tiny/#subdirectory=bindings/torch", "tiny"),
        ("git+https://host/xformers/other.git", "other"),
        ("torch[opt]>=2", "torch"),
        ("Flash_Attn", "flash-attn"),
        ("", ""),
    ],
)
def test_package(said: str, name: str) -> None:
    assert package(said) == name


@pytest.mark.parametrize(
    ("said", "made"),
    [
        ("torch", "torch>=2.2"),
        ("torch ; python_version < '3.12'", "torch>=2.2 ; python_version < '3.12'"),
        ("torch>=1.13", "torch>=2.2"),
        ("torch >= 1.13, <3", "torch >= 2.2, <3"),
        ("torch[opt]>2.0,!=2.3.0", "torch[opt]>=2.2,!=2.3.0"),
        ("torch (>=2.0)", "torch (>=2.2)"),
        ("torch<3", "torch>=2.2,<3"),
        ("torch~=2.0", "torch~=2.2"),
        ("torch!=2.0.1", "torch>=2.2,!=2.0.1"),
        ("torch>=2.2.0", "torch>=2.2.0"),
        ("torch==2.4.1", "torch==2.4.1"),
        ("torch>=2.10", "torch>=2.10"),
    ],
)
def test_raised(said: str, made: str) -> None:
    assert raised(said, (2, 2), "pip") == made
    specifier = Requirement(made).specifier
    assert "2.1.2" not in specifier
    assert "2.4.1" in specifier or "2.10" in made
    assert str(Requirement(made).marker) == str(Requirement(said).marker)


@pytest.mark.parametrize(
    "said",
    ["torch==2.0.1", "torch<2.1", "torch<=2.1.0", "torch~=2.0.1", "torch==1.13.1+cu117", "torch @ https://h/t.whl"],
)
def test_not_by_itself(said: str) -> None:
    assert raised(said, (2, 2), "pip") is None


@pytest.mark.parametrize(
    ("said", "style", "made"),
    [
        ("torch ^2.0", "poetry", "torch ^2.2"),
        ("torch ^1.13", "poetry", None),
        ("torch *", "poetry", "torch>=2.2"),
        ("pytorch >= 1.13", "conda", "pytorch >= 2.2"),
        ("pytorch::pytorch", "conda", "pytorch::pytorch>=2.2"),
        ("pytorch=2.0", "conda", None),
        ("pytorch=2.4", "conda", "pytorch=2.4"),
    ],
)
def test_other_ways_to_write_versions(said: str, style: str, made: str | None) -> None:
    assert raised(said, (2, 2), style) == made
