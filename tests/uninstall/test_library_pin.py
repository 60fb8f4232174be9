"""The newest release of a package that a project admits."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.projects.harness import write
from xf2sdpa.uninstall.library_pin import newest_admitted


@pytest.mark.parametrize(
    ("files", "newest"),
    [
        ({"requirements.txt": "diffusers==0.15.1\n"}, (0, 15)),
        ({"requirements.txt": "diffusers<0.20\n"}, (0, 19)),
        ({"requirements.txt": "diffusers<1.0\n"}, (0, 999)),
        ({"requirements.txt": "diffusers>=0.24.0,<=0.27.2\n"}, (0, 27)),
        ({"requirements.txt": "diffusers>=0.11\n"}, None),
        ({"requirements.txt": "diffusers\n", "setup.py": "setup(install_requires=['diffusers==0.9'])\n"}, (0, 9)),
        ({"environment.yml": "dependencies:\n  - diffusers=0.26.3\n"}, (0, 26)),
        ({"pyproject.toml": '[tool.poetry.dependencies]\ndiffusers = "0.24.0"\n'}, None),
        ({"pyproject.toml": "[broken\n", "requirements.txt": "torch\n"}, None),
    ],
)
def test_newest(tmp_path: Path, files: dict[str, str], newest: tuple[int, int] | None) -> None:
    write(tmp_path, {**files, "src/a.py": ""})
    assert newest_admitted("diffusers", tmp_path / "src/a.py") == newest
