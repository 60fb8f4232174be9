"""`xf2sdpa status`: what the closing report says, without a rewrite."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import Result

from tests.projects.harness import write
from tests.run.commands import EXACT, call, rewrite


def status(*arguments: str) -> Result:
    return call("status", "--jobs", "1", *arguments)


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_before_and_after_a_rewrite(tmp_path: Path) -> None:
    write(tmp_path, {"model.py": EXACT, "requirements.txt": "xformers\n", "README.md": "with xformers\n"})
    before = status()
    assert before.exit_code == 1
    assert "model.py:2: code: is not rewritten yet (Run `xf2sdpa rewrite`)" in before.output
    assert before.output.splitlines()[-1] == "xformers can be uninstalled: no, because model.py needs it"
    assert (tmp_path / "model.py").read_text() == EXACT
    rewrite("--jobs", "1", ".")
    after = status()
    assert after.exit_code == 0
    assert after.output == (
        "1 file scanned.\n"
        "Only named:\n    docs: 1 line in 1 file, such as README.md:1\n"
        "xformers can be uninstalled: yes\n"
    )


@pytest.mark.parametrize(
    ("files", "code"),
    [
        ({"a.py": "import torch\n"}, 0),
        ({"a.py": "import xformers\nxformers.x()\n"}, 1),
        ({"a.py": "import xformers\nprint 'x'\n"}, 2),
        ({"run.sh": "python other.py --xformers\n"}, 2),
    ],
)
def test_exit_status(tmp_path: Path, files: dict[str, str], code: int) -> None:
    write(tmp_path, files)
    assert status(".").exit_code == code


FIND = "from importlib.util import find_spec\n\n"
AVAILABLE = "from diffusers.utils.import_utils import is_xformers_available\n\n\n"
MAIN = f"{AVAILABLE}def main(cfg, net):\n    "


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        (f"{MAIN}if not is_xformers_available():\n        raise ValueError('none')\n", "5 to 6"),
        (
            f"{MAIN}if is_xformers_available():\n        net.go()\n    else:\n        raise ImportError('none')\n",
            "5 to 8",
        ),
        (f"{MAIN}if cfg.fast and not is_xformers_available():\n        raise ImportError\n", "5 to 6"),
        (
            f"{MAIN}if cfg:\n        if is_xformers_available():\n            return net.fast()\n    return net()\n",
            "6 to 7",
        ),
        (
            f"{FIND}if find_spec('xformers') is None:\n    raise ImportError\n",
            "3 to 4",
        ),
        (f"{MAIN}fast = is_xformers_available()\n    return net.fast() if fast else net.slow()\n", ""),
        (
            f"{FIND}HAS = find_spec('xformers') is not None\nkind = 'a' if HAS else 'b'\n",
            "",
        ),
        ("from importlib.metadata import version\n\nNEW = version('xformers') > '0.0.20'\nprint(NEW)\n", ""),
    ],
)
def test_a_question_that_stands_needs_it(tmp_path: Path, text: str, lines: str) -> None:
    write(tmp_path, {"train.py": text})
    told = status("--verbose")
    assert (told.exit_code, told.output.splitlines()[-1]) == (
        1, "xformers can be uninstalled: no, because train.py needs it"
    )  # fmt: skip
    assert (f"Lines {lines} hang on it" if lines else "Say what the code should do without xformers") in told.output
    again = rewrite("--check", "train.py")
    assert again.output.splitlines()[-1] == told.output.splitlines()[-1]


@pytest.mark.parametrize(
    "text",
    [
        f"{MAIN}print('xformers:', is_xformers_available())\n",
        f"{MAIN}net.note = f'xformers {{is_xformers_available()}}'\n",
        f"{FIND}\ndef has_xformers():\n    return find_spec('xformers') is not None\n",
        "import importlib.util\n\nHAS = importlib.util.find_spec('xformers') is not None\n",
    ],
)
def test_a_question_that_decides_nothing_does_not(tmp_path: Path, text: str) -> None:
    write(tmp_path, {"train.py": text})
    assert status().exit_code == 0


def test_an_empty_folder_is_no_answer() -> None:
    told = status()
    assert (told.exit_code, "no Python file or notebook in ." in told.output) == (2, True)
    assert rewrite(".").output == told.output


def test_the_whole_tree_counts(tmp_path: Path) -> None:
    write(tmp_path, {"pyproject.toml": "", "src/a.py": "x = 1\n", "tests/b.py": "import xformers\n"})
    assert status("src").exit_code == 1


def test_json_and_errors(tmp_path: Path) -> None:
    write(tmp_path, {"a.py": "import xformers.profiler\nxformers.profiler.step()\n"})
    report = json.loads(status("--output-format", "json").output)
    assert report["closing"]["can_be_uninstalled"] is False
    assert status("missing").exit_code == 2
