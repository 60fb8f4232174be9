"""Files in which nothing is rewritten, and files that get no helper: what makes a file one of them."""

from __future__ import annotations

import pytest

from tests.rules.common import HELPER, attend, mea
from xf2sdpa.rewrite.engine import rewrite_text

INLINE = attend(mea())
DYNAMIC = attend(mea("attn_bias=bias"))


def code(text: str, path: str = "model.py") -> str:
    """What a file's only call is listed under."""
    result = rewrite_text(text, path, compat=HELPER)
    assert not result.failed, result.findings
    (site,) = result.sites
    return site.code


@pytest.mark.parametrize(
    "other",
    ["scaled_dot_product_attention", "flash_attn_func", "flash_attn_qkvpacked_func", "flash_attn_varlen_func",
     "allclose", "assert_close", "assert_allclose", "do_bench", "Timer", "benchmark_forward", "time_fwd_bwd"],
)  # fmt: skip
def test_a_test_that_calls_it_compares(other: str) -> None:
    assert code(f"{INLINE}\n\nx.{other}(attend)\n", "tests/test_attention.py") == "XF214"
    assert code(f"{INLINE}\n\n{other}(attend)\n", "bench.py") == "XF214"
    assert code(f"{INLINE}\n\nprint({other})\n", "tests/test_attention.py") == "XF101"
    assert code(f"{INLINE}\n\n{other}(attend)\n", "attention.py") == "XF101"


@pytest.mark.parametrize(
    ("path", "is_one"),
    [
        ("test/a.py", True),
        ("a/tests/b/c.py", True),
        ("bench/a.py", True),
        ("benchmarks/a.py", True),
        ("a/test_b.py", True),
        ("testing.py", True),
        ("a/bench_b.py", True),
        ("b_test.py", True),
        ("b_bench.py", True),
        ("b_benchmark.py", True),
        ("contest/a.py", False),
        ("a/latest.py", False),
        ("workbench/a.py", False),
        ("a/b.py", False),
    ],
)
def test_what_place_is_one_of_tests_and_benchmarks(path: str, is_one: bool) -> None:
    assert (code(f"{INLINE}\n\nallclose(attend)\n", path) == "XF214") == is_one


@pytest.mark.parametrize(
    "line",
    [
        "xops.memory_efficient_attention = mine",
        "xops.fmha.cutlass.FwOp.apply = mine",
        "del xops.memory_efficient_attention",
        "xops.fmha.SIZE += 1",
        "for xops.fmha.SIZE in (1, 2): pass",
    ],
)
def test_a_file_that_assigns_into_xformers_is_left(line: str) -> None:
    assert code(f"{INLINE}\n\n{line}\n") == "XF216"


@pytest.mark.parametrize("line", ["q.x = xops", "x = xops.fmha", "q[xops] = 1", "xops.fmha.SIZE == 1"])
def test_a_file_that_only_reads_is_not(line: str) -> None:
    assert code(f"{INLINE}\n\n{line}\n") == "XF101"


@pytest.mark.parametrize(
    "line",
    [
        "from xformers.ops.fmha import _memory_efficient_attention",
        "from xformers.ops.fmha.common import Inputs",
        "from xformers.ops.fmha.common import Context",
        "x = xops.fmha.cutlass.FwOp.OPERATOR",
        "x = torch.ops.xformers.f",
        "x = torch.ops.mslk_flash.f",
    ],
)
def test_a_file_with_private_parts_gets_no_helper(line: str) -> None:
    assert code(f"{line}\n{DYNAMIC}" if line.startswith("from") else f"{DYNAMIC}\n\n{line}\n") == "XF211"


@pytest.mark.parametrize(
    "line",
    [
        "from another.ops.fmha import _memory_efficient_attention",
        "from another.common import Inputs",
        "from xformers.ops.fmha.common import Inputs2",
        "x = torch.ops.aten.f",
        "x = ops.xformers",
    ],
)
def test_what_is_no_private_part(line: str) -> None:
    assert code(f"{line}\n{DYNAMIC}" if line.startswith("from") else f"{DYNAMIC}\n\n{line}\n") == "XF161"
