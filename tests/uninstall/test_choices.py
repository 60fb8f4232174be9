"""What a line that is no Python says of xformers, and what to do about it."""

from __future__ import annotations

from pathlib import PurePath

import pytest

from xf2sdpa.model import Bearing
from xf2sdpa.uninstall.choices import entry_points, kind_of, said_in

OPTION = "enable_xformers_memory_efficient_attention"


@pytest.mark.parametrize(
    ("file", "kind"),
    [
        ("a/model.py", "code"),
        ("setup.py", "requirements"),
        ("demo.ipynb", "notebook"),
        ("requirements.txt", "requirements"),
        ("poetry.lock", "lock"),
        ("docker/Dockerfile.gpu", "Docker"),
        ("docker-compose.yml", "Docker"),
        (".github/workflows/test.yml", "CI"),
        (".gitlab-ci.yml", "CI"),
        ("train.sh", "script"),
        ("Makefile", "script"),
        ("configs/train.yaml", "config"),
        ("README.md", "docs"),
        ("docs/toc.yml", "docs"),
        ("kernel.cu", "other"),
    ],
)
def test_kinds(file: str, kind: str) -> None:
    assert kind_of(PurePath(file)) == kind


@pytest.mark.parametrize(
    ("line", "advice"),
    [
        ("pipe.enable_xformers_memory_efficient_attention()", "delete the line: without xformers it raises"),
        ("unet.set_use_memory_efficient_attention_xformers(True)", "delete the line: without xformers it raises"),
        ("unet.set_use_memory_efficient_attention_xformers(False)", ""),
        ("$ pip install torch xformers", "write: $ pip install torch"),
        ("pip install xformers", "delete the line"),
        ("accelerate launch train_network.py --xformers", "--xformers: write --sdpa"),
        ("To install xformers, run pip install -U xformers first.", ""),
        ("It is as fast as xformers.", ""),
    ],
)
def test_documentation_that_a_reader_may_paste(line: str, advice: str) -> None:
    (said,) = said_in("docs", f"# Title\n{line}\n")
    assert (said.line, said.bearing) == (2, Bearing.NAMES)
    assert said.advice.startswith(advice)
    assert bool(said.advice) == bool(advice)


@pytest.mark.parametrize(
    ("kind", "line", "advice"),
    [
        ("script", "pip install xformers", "delete the line"),
        ("script", "pip install torch==2.7.0 xformers", "write: pip install torch==2.7.0"),
        ("script", "pip install -q 'xformers<0.0.27' triton", "write: pip install -q triton"),
        ("Docker", "RUN pip install xformers==0.0.27.post2 --index-url https://host/cu118", "delete the line"),
        ("CI", "- run: python -m pip install git+https://host/a/xformers.git@main", "delete the line"),
        ("script", "pip install -r requirements.txt xformers", "write: pip install -r requirements.txt"),
        ("script", "conda install -c conda-forge xformers=0.0.18 einops", "write: conda install -c conda-forge einops"),
        ("script", "uv add xformers", "delete the line"),
        ("config", "  - pip install -U xformers", "delete the line"),
        ("script", "pip install '.[xformers]'", "drop xformers from it"),
    ],
)
def test_installs(kind: str, line: str, advice: str) -> None:
    (said,) = said_in(kind, f"first\n{line}\n")
    assert (said.line, said.bearing, said.advice) == (2, Bearing.NAMES, advice)


@pytest.mark.parametrize(
    ("kind", "line", "token", "advice"),
    [
        ("script", f"  --{OPTION} \\", f"--{OPTION}", "delete it"),
        ("script", "python launch.py --xformers", "--xformers", "write --opt-sdp-attention"),
        ("script", 'export COMMANDLINE_ARGS="--xformers"', "--xformers", "write --opt-sdp-attention"),
        ("script", "accelerate launch train_network.py --xformers", "--xformers", "write --sdpa"),
        ("script", "python some.py --xformers", "--xformers", "write what the program calls SDPA"),
        ("Docker", "ENV ATTN_BACKEND=xformers", "xformers", "ATTN_BACKEND: write sdpa in place of xformers"),
        ("script", "DIFFUSERS_ATTN_BACKEND=xformers python a.py", "xformers", "write native in place of xformers"),
        ("config", f"{OPTION}: true", OPTION, "delete it"),
        ("config", '"enable_xformers": 1,', "enable_xformers", "delete it"),
        ("config", "xformers_attention: true", "xformers_attention", "write sdp_attention"),
        ("config", "  attn_type: softmax-xformers  # fast", "softmax-xformers", "write softmax in place"),
        ("config", 'attn_type = "vanilla-xformers"', "vanilla-xformers", "write vanilla in place"),
        ("config", 'attn_impl: "xformers"', "xformers", "write sdpa in place of xformers"),
    ],
)  # fmt: skip
def test_choices(kind: str, line: str, token: str, advice: str) -> None:
    (said,) = said_in(kind, line)
    assert (said.bearing, said.token) == (Bearing.CHOICE, token)
    assert advice in said.advice


@pytest.mark.parametrize(
    ("kind", "line"),
    [
        ("config", "use_xformers: false"),
        ("config", "enable_xformers_memory_efficient_attention = 0"),
        ("config", "title: xFormers"),
        ("config", "local: optimization/xformers"),
        ("config", "[mypy-xformers.*]"),
        ("config", "# attn_type: vanilla-xformers"),
        ("script", "# pip install xformers"),
        ("CI", "name: Install xformers"),
        ("docs", "pip install xformers"),
        ("other", '"xformers",'),
    ],
)
def test_only_named(kind: str, line: str) -> None:
    (said,) = said_in(kind, line)
    assert said.bearing is Bearing.NAMES


@pytest.mark.parametrize(
    ("kind", "line"),
    [
        ("script", "python -m xformers.info"),
        ("CI", "run: python -c 'import xformers'"),
        ("config", "_target_: xformers.ops.SwiGLU"),
    ],
)
def test_what_needs_it(kind: str, line: str) -> None:
    (said,) = said_in(kind, line)
    assert said.bearing is Bearing.NEEDS


@pytest.mark.parametrize(
    ("line", "bearing"),
    [
        ("ATTENTION=xformers python train.py", Bearing.CHOICE),
        ("pytest -k xformers --reports=tests_of_xformers tests", Bearing.NAMES),
    ],
)
def test_a_variable_is_a_choice_and_the_name_of_a_report_is_none(line: str, bearing: Bearing) -> None:
    (said,) = said_in("CI", f"{line}\n")
    assert said.bearing is bearing


def test_entry_points_are_names_of_the_projects_own() -> None:
    text = (
        '[project]\nname = "xformers-tools"\n[project.entry-points."pk.backends"]\nxformers = "pk.backend"\n'
        '[project.entry-points]\n"pk.more" = { xformers = "pk.backend:attend" }\n[project.scripts]\n'
        'xformers-bench = "pk:main"\n[tool.poetry.plugins."pk.backends"]\n'
        'xformers = "pk.backend"\n[tool.poetry.dependencies]\nxformers = "*"\n'
    )
    assert entry_points(text) == {4, 6, 8, 10}
