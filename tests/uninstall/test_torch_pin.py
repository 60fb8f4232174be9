"""torch_pin: the lowest torch that a project admits, and where it says so."""

from __future__ import annotations

import codecs
from pathlib import Path

import pytest

from xf2sdpa.uninstall import torch_pin
from xf2sdpa.uninstall.torch_pin import lowest_admitted, project_torch


@pytest.mark.parametrize(
    ("requirement", "version"),
    [
        ("torch==2.0.1", (2, 0)),
        ("torch===2.0.1", (2, 0)),
        ("torch==2.*", (2, 0)),
        ("torch==2.0.1+cu118", (2, 0)),
        ("torch == v2.10.0rc1", (2, 10)),
        ("Torch >= 2.1, <2.4", (2, 1)),
        ("torch<2.4,>=2.1", (2, 1)),
        ("torch>=2", (2, 0)),
        ("torch>2.0", (2, 0)),
        ("torch~=2.1.0 ; python_version < '3.9'", (2, 1)),
        ("torch[opt-einsum] >=2.2", (2, 2)),
        ("torch (>=2.2)", (2, 2)),
        ("torch>=2.0,>=2.2,!=2.3", (2, 2)),
        ("torch==2.0.1 --hash=sha256:99", (2, 0)),
        ("torch==2.0.1  # not 2.1", (2, 0)),
        ("torch==2.0.1 \\", (2, 0)),
        ("torch ^1.13", (1, 13)),
        ("torch 2.1.0", (2, 1)),
        (
            "torch @ https://download.pytorch.org/whl/cu118/torch-2.0.1%2Bcu118-cp310-cp310-linux_x86_64.whl",
            (2, 0),
        ),
        ("torch @ git+https://github.com/pytorch/pytorch", None),
        ("torch", None),
        ("torch *", None),
        ("torch<2.4", None),
        ("torch<=2.4", None),
        ("torch!=2.1", None),
        ("torch; python_version >= '3.10'", None),
        ("torch>=2.0; python_version in '3.9, 3.10'", (2, 0)),
        ("torchvision==0.15.2", None),
        ("torch2trt==0.4", None),
        ("torch-geometric>=2.3", None),
        ("torch_scatter==2.1", None),
        ("pytorch==2.0", None),
        ("# torch==2.0", None),
        ("", None),
    ],
)
def test_one_requirement(requirement: str, version: tuple[int, int] | None) -> None:
    assert lowest_admitted(requirement) == version


@pytest.mark.parametrize(
    ("name", "text", "pin"),
    [
        (
            "requirements.txt",
            "xtorch==2.0.1\n # torch==2.0.1\ntorch==2.0.1  # why\n",
            ((2, 0), ":3: torch==2.0.1"),
        ),
        ("requirements-gpu.txt", "-r base.txt\r\n\r\ntorch>=2.2\r\n", ((2, 2), ":3: torch>=2.2")),
        ("requirements.txt", "pytorch==1.0\ntorch==1.0.1\ntorch>=1\n", ((1, 0), ":2: torch==1.0.1")),
        (
            "pyproject.toml",
            '[project]\ndependencies = [\n  "numpy",\n  "torch>=2.1,<3; os_name == \'posix\'",\n]\n',
            ((2, 1), ":4: torch>=2.1,<3; os_name == 'posix'"),
        ),
        ("pyproject.toml", '[project]\ndependencies = ["torch \\u003e=2.1"]\n', ((2, 1), ": torch >=2.1")),
        ("pyproject.toml", '[tool.poetry.dependencies]\n\ntorch = "^2.1"\n', ((2, 1), ":3: torch ^2.1")),
        (
            "pyproject.toml",
            '[tool.poetry.dependencies]\ntorch = {version = ">=2.3", extras = ["x"]}\n',
            ((2, 3), ":2: torch >=2.3"),
        ),
        (
            "pyproject.toml",
            '[tool.poetry.dependencies]\ntorch = [{version = "2.3.1", python = "3.9"}, {path = "x"}]\n',
            ((2, 3), ":2: torch 2.3.1"),
        ),
        (
            "setup.cfg",
            "[options]\ninstall_requires =\n    numpy\n    torch>=1.13\n",
            ((1, 13), ":4: torch>=1.13"),
        ),
    ],
)
def test_one_file(tmp_path: Path, name: str, text: str, pin: tuple[tuple[int, int], str]) -> None:
    (tmp_path / name).write_bytes(text.encode())
    version, place = pin
    assert project_torch(tmp_path) == (version, name + place)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("pyproject.toml", "[project\ndependencies = ['torch==2.0']"),
        ("pyproject.toml", "[project]\ndependencies = 'torch==2.0'"),
        ("pyproject.toml", "project = 1\n[tool]\npoetry = 1"),
        ("pyproject.toml", "[project]\ndependencies = [1]\n[tool.poetry.dependencies]\ntorch = {path = 'x'}"),
        ("setup.cfg", "torch==2.0"),
        ("setup.cfg", "[metadata]\nname = x"),
        ("constraints.txt", "torch==2.0"),
    ],
)
def test_files_that_say_nothing(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / ".git").mkdir()
    (tmp_path / name).write_text(text)
    assert project_torch(tmp_path) is None


def test_the_lowest_of_several_files_counts(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text('[project]\ndependencies = ["torch>=2.2"]\n')
    (tmp_path / "requirements.txt").write_text("torch==2.1.0\n")
    (tmp_path / "requirements-old.txt").write_text("torch==2.1.2\n")
    (tmp_path / "setup.cfg").write_text("[options]\ninstall_requires = torch>=2.4\n")
    assert project_torch(tmp_path) == ((2, 1), "requirements-old.txt:1: torch==2.1.2")


def test_versions_are_compared_as_numbers(tmp_path: Path) -> None:
    (tmp_path / "requirements.txt").write_text("torch==2.10\n")
    (tmp_path / "requirements2.txt").write_text("torch==2.9\n")
    assert project_torch(tmp_path) == ((2, 9), "requirements2.txt:1: torch==2.9")


def test_a_file_in_utf_16(tmp_path: Path) -> None:
    (tmp_path / "requirements.txt").write_bytes(codecs.BOM_UTF16_LE + "torch==2.0.1\r\n".encode("utf-16-le"))
    assert project_torch(tmp_path) == ((2, 0), "requirements.txt:1: torch==2.0.1")


def test_the_nearest_folder_counts_up_to_the_top_of_the_repository(tmp_path: Path) -> None:
    (tmp_path / "requirements.txt").write_text("torch==2.0\n")
    repository = tmp_path / "repository"
    package = repository / "package"
    package.mkdir(parents=True)
    (package / "a.py").write_text("")
    assert project_torch(package / "a.py") == ((2, 0), "requirements.txt:1: torch==2.0")
    (repository / ".git").mkdir()
    assert project_torch(package / "a.py") is None
    (repository / "requirements.txt").write_text("torch==2.2\n")
    (package / "pyproject.toml").write_text("[project]\n")
    assert project_torch(package / "a.py") == ((2, 2), "requirements.txt:1: torch==2.2")
    (package / "requirements.txt").write_text("torch==2.3\n")
    assert project_torch(package) == ((2, 3), "requirements.txt:1: torch==2.3")


def test_no_file_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch_pin, "_pins", lambda _: [])  # whatever lies above tmp_path
    assert project_torch(tmp_path) is None


@pytest.mark.parametrize(
    ("requirement", "version"),
    [
        ("torch==2.0.1", (2, 0)),
        ("torch==2.4", (2, 4)),
        ("torch<2.11", (2, 10)),
        ("torch<2.11.1", (2, 11)),
        ("torch<=2.10", (2, 10)),
        ("torch>=2.0,<3", (2, 10**6)),
        ("torch~=2.4", (2, 10**6)),
        ("torch~=2.4.1", (2, 4)),
        ("torch ^2.4", (2, 10**6)),
        ("torch ~2.4", (2, 4)),
        ("torch==2.*", (2, 10**6)),
        ("torch>=2.0", None),
        ("torch", None),
        ("torch!=2.12", None),
        ("torchvision<0.2", None),
        ("torch @ https://host/torch-2.0.1%2Bcu118-cp310-linux_x86_64.whl", (2, 0)),
    ],
)
def test_the_upper_end_of_one_requirement(requirement: str, version: tuple[int, int] | None) -> None:
    assert torch_pin.highest_admitted(requirement) == version


@pytest.mark.parametrize(
    ("files", "out"),
    [
        ({}, False),
        ({"requirements.txt": "numpy\n"}, False),
        ({"requirements.txt": "torch\n"}, False),
        ({"requirements.txt": "torch>=2.15\n"}, True),
        ({"requirements.txt": "torch>=2.14\n"}, False),
        ({"requirements.txt": "torch==2.10.0\n"}, True),
        ({"requirements.txt": "torch>=2.0,<2.11\n"}, True),
        ({"requirements.txt": "torch>=2.0,<=2.11\n"}, False),
        ({"requirements.txt": "torch==2.4\n", "requirements-dev.txt": "torch\n"}, False),
        ({"requirements.txt": "torch==2.4\n", "setup.cfg": "[options]\ninstall_requires =\n  torch>=2.15\n"}, True),
        ({"pyproject.toml": '[project]\ndependencies = ["torch>=2.15"]\n'}, True),
        ({"pyproject.toml": '[tool.poetry.dependencies]\ntorch = "^2.3"\n'}, False),
    ],
)
def test_versions_that_every_file_excludes(files: dict[str, str], out: bool, tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    assert torch_pin.excluded(tmp_path, (2, 11), (2, 14)) == out


@pytest.mark.parametrize(
    ("said", "out"),
    [
        ("==2.4.1", False),
        ("==2.5.1", True),
        ("===2.4", False),
        (">=2.0,<2.6", True),
        (">=2.15", True),
        ("~=2.4.0", False),
    ],
)
def test_a_release_that_may_be_given_up_excludes_nothing(said: str, out: bool, tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    (tmp_path / "requirements.txt").write_text(f"torch{said}\n")
    assert torch_pin.excluded(tmp_path, (2, 11), (2, 14), kept_from=(2, 5)) == out
