"""The table of flags, its page, and what the statements of flags that are set by name do."""

from __future__ import annotations

import json
import re
import types
from collections.abc import Mapping
from pathlib import Path

import pytest
from click.testing import CliRunner

from xf2sdpa.cli import cli
from xf2sdpa.flags import block, table

ROOT = Path(__file__).parents[2]


def test_the_page_is_the_table() -> None:
    page = CliRunner().invoke(cli, ["explain", "flags"]).output
    for flag in (*table.FLAGS, *table.NOT_SET):
        assert all(line in page for line in flag.code.format(torch="torch").split("\n"))
        assert flag.source
        assert f"Since torch {'.'.join(map(str, flag.since))}" in page
    for code in table.CODES:
        assert CliRunner().invoke(cli, ["explain", code]).output.startswith(f"{code}: ")


def test_safe_leaves_out_what_lowers_precision() -> None:
    assert {flag.name for flag in table.chosen(["h200"])} - {flag.name for flag in table.chosen(["safe"])} == {
        flag.name for flag in table.FLAGS if flag.by_default and flag.lowers_precision
    }


def test_every_figure_in_the_table_was_measured() -> None:
    """The figures are those of the stored run of `xf2sdpa bench`: none is made up here."""
    stored = json.loads((ROOT / "benchmarks" / "results" / "h200_bench.json").read_text("utf-8"))
    times = {module["name"]: module["forward"]["forward_paced"] for module in stored["modules"] if module["forward"]}
    without, with_tf32 = times["encoder fp32"], times["encoder tf32"]
    told = " ".join(f"{flag.effect} {flag.comment}" for flag in table.FLAGS)
    told = re.sub(r"(?:torch|cuDNN before) \d+\.\d+(?: to \d+\.\d+)?", "", told)
    assert set(re.findall(r"\d+\.\d+", told)) == {
        f"{with_tf32:.1f}",
        f"{without:.1f}",
        f"{without / with_tf32:.2f}",
        f"{without / with_tf32:.1f}",
    }


class Version(str):
    """As much of torch's version as a statement asks of it."""

    __slots__ = ()

    def __ge__(self, other: object) -> bool:
        assert isinstance(other, tuple)
        return tuple(map(int, self.split("."))) >= other


def run(flag: table.Flag, version: str, cudnn: int | None, *, installed: bool) -> list[str]:
    """What the lines of a flag do with this torch, as a program that has imported nothing but torch."""
    done: list[str] = []

    def activate(name: str) -> None:
        if not installed:
            raise ModuleNotFoundError("No module named 'flash_attn'")
        done.append(f"activate {name}")

    cuda = types.SimpleNamespace(enable_cudnn_sdp=lambda on: done.append(f"cudnn {on}"))
    backends = types.SimpleNamespace(cudnn=types.SimpleNamespace(version=lambda: cudnn), cuda=cuda)
    attention = types.SimpleNamespace(activate_flash_attention_impl=activate)
    nn = types.SimpleNamespace(attention=attention)
    torch = types.SimpleNamespace(__version__=Version(version), backends=backends, nn=nn)
    (text,) = ["\n".join(line for line in block.pasted([flag]) if line != "import torch")]
    names: Mapping[str, object] = {"torch": torch}
    exec(compile(text, "<flags>", "exec"), dict(names))
    return done


@pytest.mark.parametrize(
    ("version", "cudnn", "does"),
    [
        ("2.10.0", 91002, []),
        ("2.11.0", 91900, ["cudnn False"]),
        ("2.14.1", 92400, ["cudnn False"]),
        ("2.11.0", 92600, []),
        ("2.15.0", 92600, []),
        ("2.13.0", None, []),
    ],
)
def test_nan_guard_keeps_sdpa_off_cudnn_before_9_26_alone(version: str, cudnn: int | None, does: list[str]) -> None:
    assert run(table.NAN_GUARD, version, cudnn, installed=False) == does


@pytest.mark.parametrize(
    ("version", "installed", "does"),
    [
        ("2.15.0", True, ["activate FA4", "cudnn False"]),
        ("2.15.0", False, []),
        ("2.14.1", True, []),
        ("2.1.2", False, []),
    ],
)
def test_fa4_is_activated_where_it_is_installed_and_nothing_is_done_elsewhere(
    version: str, installed: bool, does: list[str]
) -> None:
    assert run(table.FA4, version, 92600, installed=installed) == does


def test_flags_of_several_lines_are_put_in_and_taken_out_again() -> None:
    text = "import torch\n\nx = 1\n"
    new = block.with_flags(text, [table.NAN_GUARD, table.FA4])
    assert "import contextlib\n" in new
    exec(compile(new, "<flags>", "exec"), {})
    assert block.without(new) == text
