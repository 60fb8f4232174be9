"""Install lines lose xformers and nothing else, and stay lines that a shell takes."""

from __future__ import annotations

import shlex

import pytest

from xf2sdpa.uninstall.install_lines import brings_code, names_ours, without_ours

WHEEL = "https://host/releases/0.0.20/xformers-0.0.20+1d635e1.d20230519-cp310-cp310-linux_x86_64.whl"
REPOSITORY = "git+https://host/facebookresearch/xformers.git@main#egg=xformers"

GONE = [
    "!pip install xformers",
    "%pip install xformers",
    "%conda install -y xformers -c xformers",
    "!pip install -q xformers==0.0.20 --index-url https://host/whl/cu121",
    "!pip3 install 'xformers<0.0.27'",
    "!pip install xformers>=0.0.20",
    "!python -m pip install -U xformers",
    "!{sys.executable} -m pip install xformers",
    "!sudo pip install xformers",
    "!MAX_JOBS=4 pip install -v -U xformers",
    "!uv pip install --system xformers",
    f"!pip install {WHEEL}",
    f"!pip install -U '{REPOSITORY}'",
    f"!pip install -e {REPOSITORY}",
    "!pip install xformers -q > /dev/null 2>&1",
    "!pip install xformers | tail -n 1",
    "!pip install xformers  # for speed",
    "!pip install \\\n    -q \\\n    xformers",
    "!pip -q install xformers",
    "!pip install mslk",
]
LESS = {
    "!pip install -q xformers==0.0.20 triton==2.0.0 gradio -U": "!pip install -q triton==2.0.0 gradio -U",
    "! pip install diffusers xformers triton": "! pip install diffusers triton",
    "%pip install torch xformers": "%pip install torch",
    "!pip install 'torch' 'xformers'": "!pip install 'torch'",
    "!pip install torch xformers[all]==0.1 -q;": "!pip install torch -q;",
    "!pip install -r requirements.txt xformers": "!pip install -r requirements.txt",
    "!pip install -e . xformers": "!pip install -e .",
    f"!pip install {WHEEL} triton": "!pip install triton",
    f"!pip install -e {REPOSITORY} triton": "!pip install triton",
    "!pip install 'xformers @ https://host/x.whl' triton": "!pip install triton",
    "!pip install torch \\\n    xformers==0.0.20 \\\n    triton": "!pip install torch \\\n    triton",
    "!pip install \\\n  xformers \\\n  triton": "!pip install \\\n  triton",
    "!apt update && pip install xformers && ls": "!apt update && ls",
    "!pip install xformers && ls": "!ls",
    "!pip install xformers; ls -l": "!ls -l",
    "!cd /content && pip install xformers": "!cd /content",
    "!pip install a xformers && pip install xformers && pip install b": "!pip install a && pip install b",
    "!pip uninstall -y xformers && pip install xformers": "!pip uninstall -y xformers",
    "!pip install a xformers -q &> /dev/null": "!pip install a -q &> /dev/null",
    "!pip install a xformers  # both": "!pip install a  # both",
    "!conda install -y xformers -c xformers/label/dev a -c b": "!conda install -y a -c b",
    "!mamba install xformers::xformers=0.0.18 a": "!mamba install a",
}
STAYS = [
    "!pip install torch",
    "!pip install xformers-tools",
    "!pip install {xformers_wheel}",
    "!pip install -r requirements-xformers.txt",
    "!pip install xformers || echo no",
    "!pip install --no-binary xformers xformers torch",
    "!pip install $(cat x) xformers",
    "!pip uninstall -y xformers",
    "!pip show xformers",
    "!python launch.py --xformers",
    "!git clone https://host/facebookresearch/xformers",
    "!cd xformers && pip install -e .",
    "!echo pip install xformers",
]


@pytest.mark.parametrize("line", GONE)
def test_a_line_for_nothing_else_goes(line: str) -> None:
    assert without_ours(line) == ""


@pytest.mark.parametrize(("line", "less"), LESS.items())
def test_a_line_loses_only_that(line: str, less: str) -> None:
    assert without_ours(line) == less
    assert without_ours(less) is None
    left, had = (shlex.split(text.lstrip("!% ").replace("\\\n", " ")) for text in (less, line))
    rest = iter(had)
    assert all(word.rstrip(";") in (other.rstrip(";") for other in rest) for word in left), (
        "the same words in their order"
    )


@pytest.mark.parametrize("line", STAYS)
def test_other_lines_stay(line: str) -> None:
    assert without_ours(line) is None


@pytest.mark.parametrize(
    ("line", "named"),
    [
        ("!python launch.py --xformers", True),
        ("!pip install {xformers_wheel}", True),
        ("!pip uninstall -y xformers", False),
        ("!pip uninstall -y xformers && echo xformers", True),
        ("!ls  # xformers", False),
        ("!ls", False),
        ("!echo `which xformers`", True),
    ],
)
def test_what_names_it(line: str, named: bool) -> None:
    assert names_ours(line) is named


@pytest.mark.parametrize(
    ("line", "brought"),
    [
        ("!python train.py", True),
        ("!cd a && python3 train.py", True),
        ("!accelerate launch train.py", True),
        ("!/usr/bin/python train.py", True),
        ("!./run.sh", True),
        ("!python -m a.train", True),
        ("%run train.py", True),
        ("!git clone https://host/a", True),
        ("!python -m pip install a", False),
        ("!python -c 'print(1)'", False),
        ("!python --version", False),
        ("!pip install a", False),
        ("!nvidia-smi", False),
        ("!wget https://host/python", False),
    ],
)
def test_what_starts_a_program(line: str, brought: bool) -> None:
    assert brings_code(line) is brought
