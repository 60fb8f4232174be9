"""Questions whether xformers is there: those that another file answers, those asked by a name that is handed on."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import oracle
from tests.projects.harness import assert_equal, execute, installed, rewrite, write
from tests.run.test_skips import FREE, MODEL

ENV = """\
import importlib.metadata
import importlib.util
import logging
import sys

logger = logging.getLogger(__name__)
_xformers_available = importlib.util.find_spec("xformers") is not None
try:
    _release = importlib.metadata.version("xformers")
    logger.debug("xformers %s", _release)
except importlib.metadata.PackageNotFoundError:
    _xformers_available = False


def is_xformers_available():
    return _xformers_available
"""
MAIN = """\
from pk.env import is_xformers_available

if is_xformers_available():
    import xformers.ops


def attend(q, k, v, bias=None):
    return xformers.ops.memory_efficient_attention(q, k, v, attn_bias=bias)


def run(q, k, v):
    return ("fast" if is_xformers_available() else "eager"), attend(q, k, v)
"""
STILL = "still needs xformers"


def test_the_answer_of_another_file_is_one(tmp_path: Path) -> None:
    write(tmp_path, {"main.py": MAIN, "pk/__init__.py": "", "pk/env.py": ENV})
    before = execute(tmp_path, installed)
    report = rewrite(tmp_path).output
    assert "XF403" not in report
    assert STILL not in report
    assert_equal(before, execute(tmp_path, oracle.absent))
    text = (tmp_path / "pk" / "env.py").read_text("utf-8")
    assert text.count("_xformers_available = True") == 1
    assert "importlib" not in text
    assert "import sys" in text  # nothing read it before either
    assert "XF403" not in rewrite("--check", tmp_path).output


@pytest.mark.parametrize(
    "env",
    [
        "from other import is_xformers_available\n",
        "def is_xformers_available():\n    return probe()\n",
        "import os\n\n\ndef is_xformers_available():\n    return 'NO_XFORMERS' not in os.environ\n",
    ],
)
def test_no_answer_where_it_is_not_true_for_certain(tmp_path: Path, env: str) -> None:
    write(tmp_path, {"main.py": MAIN, "pk/__init__.py": "", "pk/env.py": env})
    assert "XF403" in rewrite(tmp_path).output


HANDED_ON = [
    "import importlib.util as u\n\nNAMES = ('xformers', 'apex')\nHAVE = {n: bool(u.find_spec(n)) for n in NAMES}\n",
    "from importlib.util import find_spec\n\nHAVE = {n: find_spec(n) for n in ['xformers', 'flash_attn']}\n",
    "from importlib.util import find_spec\n\n\ndef has(n):\n    return find_spec(n) or n\n\n\nOK = has('xformers')\n",
    "import importlib\n\nfor n in ('xformers', 'apex'):\n    try:\n        importlib.import_module(n)\n"
    "    except ImportError:\n        pass\n",
    "from importlib.metadata import version\n\n\ndef there(p):\n    return bool(version(p))\n\n\n"
    "LIBS = {k: there(k) for k in ('torch', 'xformers')}\n",
    "from helpers import is_package_available\n\nOK = is_package_available('xformers')\n",
]


@pytest.mark.parametrize("text", HANDED_ON)
def test_a_name_that_is_handed_on_is_a_question(tmp_path: Path, text: str) -> None:
    write(tmp_path, {"model.py": MODEL, "have.py": text, "requirements.txt": "xformers\n"})
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path)
        report = rewrite(".").output
    assert "XF403 note    this may ask whether xformers is installed" in report
    assert FREE not in report


@pytest.mark.parametrize(
    "text",
    [
        "import argparse\n\nP = argparse.ArgumentParser()\nP.add_argument('--a', choices=['xformers', 'sdpa'])\n",
        "import importlib\n\nKINDS = ('xformers', 'sdpa')\n\n\ndef load(n):\n    return importlib.import_module(n)\n",
        "def configure(model):\n    model.set_backend('xformers')\n",
    ],
)
def test_a_name_that_nobody_looks_up_is_none(tmp_path: Path, text: str) -> None:
    write(tmp_path, {"model.py": MODEL, "have.py": text, "requirements.txt": "xformers\n"})
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path)
        assert FREE in rewrite(".").output


def test_a_module_stays_that_other_code_reads(tmp_path: Path) -> None:
    env = ENV.replace("import sys\n", "") + "\n\nVERSION = importlib.metadata.version('torch')\n"
    write(tmp_path, {"main.py": MAIN, "pk/__init__.py": "", "pk/env.py": env})
    rewrite(tmp_path)
    text = (tmp_path / "pk" / "env.py").read_text("utf-8")
    assert text.startswith("import importlib.metadata\nimport logging\n")
