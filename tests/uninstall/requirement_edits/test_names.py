"""Which files list requirements."""

from __future__ import annotations

from pathlib import PurePath

import pytest

from xf2sdpa.uninstall.requirement_edits.names import Format, format_of, is_lock


@pytest.mark.parametrize(
    ("file", "format_"),
    [
        ("requirements.txt", Format.PIP),
        ("requirements++.txt", Format.PIP),
        ("a/requirements-dev.in", Format.PIP),
        ("requirements/gpu.txt", Format.PIP),
        ("dev_requirements.txt", Format.PIP),
        ("constraints.txt", Format.PIP),
        ("pyproject.toml", Format.TOML),
        ("Pipfile", Format.TOML),
        ("setup.cfg", Format.CFG),
        ("setup.py", Format.SETUP),
        ("environment-gpu.yaml", Format.YAML),
        ("conda.yaml", Format.YAML),
        ("recipe/meta.yaml", Format.YAML),
        ("notes.txt", None),
        ("config.yaml", None),
        ("uv.lock", None),
        ("conda-lock.yml", None),
    ],
)
def test_formats(file: str, format_: Format | None) -> None:
    assert format_of(PurePath(file)) is format_


def test_locks() -> None:
    assert all(
        is_lock(PurePath(f)) for f in ("uv.lock", "poetry.lock", "Pipfile.lock", "pylock.toml", "conda-lock.yml")
    )
    assert not is_lock(PurePath("requirements.txt"))
