"""`compat.use_flex`: windows by `flex_attention`, against a mask; compiled on the CPU, as no test here has a GPU."""

import shutil
import subprocess
import sys
import textwrap

import pytest
import torch
import torch.nn.functional as F

from xf2sdpa import compat
from xf2sdpa.compat import kernels
from xf2sdpa.helper.pruning import Uses
from xf2sdpa.helper.text import assemble

flex = pytest.importorskip("torch.nn.attention.flex_attention")
pytestmark = pytest.mark.skipif(kernels._TORCH < (2, 7), reason="use_flex needs torch 2.7")
BANDS = [kernels._Band(*limits) for limits in ((256, 256), (100, 0), (-1, 37), (5, -1), (0, 0), (127, 128), (5000, 1))]
LENGTHS = [1024, 1027, 1500, 130]


def by_hand(q, k, v, band, scale=None):
    mask = kernels._band_mask(q.shape[2], k.shape[2], band, q.dtype)
    return F.scaled_dot_product_attention(q, k, v, mask, scale=scale, enable_gqa=k.shape[1] != q.shape[1])


def blocks(count, indices):
    """The blocks that are listed for each row of blocks, as a table of yes and no."""
    table = torch.zeros(indices.shape[-2:], dtype=torch.bool)
    for row, many in enumerate(count[0, 0]):
        table[row, indices[0, 0, row, :many].long()] = True
    return table


@pytest.mark.parametrize("band", BANDS, ids=str)
@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("side", [64, 128])
def test_the_blocks_hold_the_band(length, side, band):
    made = kernels._block_mask(length, side, band, torch.device("cpu"))
    seen = kernels._band_mask(length, length, band, torch.float32) == 0
    padded = F.pad(seen, (0, -length % side) * 2, value=False)
    tiles = padded.unflatten(0, (-1, side)).unflatten(2, (-1, side)).movedim(1, 2).flatten(2)
    whole = blocks(made.full_kv_num_blocks, made.full_kv_indices)
    part = blocks(made.kv_num_blocks, made.kv_indices)
    assert torch.equal(whole, tiles.all(-1)), "whole blocks are not looked into"
    assert torch.equal(part | whole, tiles.any(-1))
    assert not (part & whole).any()
    assert made.seq_lengths == (length, length)
    assert tuple(made.BLOCK_SIZE) == (side, side)


@pytest.mark.parametrize("band", BANDS, ids=str)
@pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile")
def test_it_computes_the_window(band, monkeypatch):
    monkeypatch.setattr(kernels, "_FLEX", flex.flex_attention)
    q, k, v = (torch.randn(2, heads, 130, 16, dtype=torch.float64) for heads in (4, 2, 2))
    for scale in (None, 0.3):
        torch.testing.assert_close(kernels._flex(q, k, v, band, scale), by_hand(q, k, v, band, scale))


@pytest.mark.skipif(shutil.which("g++") is None, reason="needs a compiler")
def test_compiled_for_lengths_that_change():
    """In a process of its own, which counts what is compiled: at most twice for five lengths."""
    program = """
        import torch
        from torch._dynamo.utils import counters
        from xf2sdpa.compat import kernels
        from test_compat_flex import by_hand

        torch.manual_seed(0)
        kernels._FLEX = torch.compile(torch.nn.attention.flex_attention.flex_attention)
        band = kernels._Band(100, 30)
        for length in (1024, 1300, 1027, 2048, 1500):
            q, k, v = torch.randn(3, 1, 2, length, 32)
            with torch.no_grad():
                torch.testing.assert_close(kernels._flex(q, k, v, band, None), by_hand(q, k, v, band))
        assert counters["aot_autograd"]["ok"] <= 2, counters
    """
    subprocess.run(
        [sys.executable, "-c", "import torch.nn.attention.flex_attention\n" + textwrap.dedent(program)],
        check=True,
        cwd=__file__.rpartition("/")[0],
    )


class _OnCuda(torch.Tensor):
    """A tensor that says it is on CUDA."""

    is_cuda = True


GIVEN = {
    "a window": ({}, True),
    "float32": ({"dtype": torch.float32}, False),
    "training": ({"requires_grad": True}, False),
    "short": ({"length": 1000}, False),
    "a head size without a kernel": ({"size": 72}, False),
    "dropout": ({"p": 0.1}, False),
    "fewer queries": ({"queries": 1024}, False),
    "no batch": ({"batch": 0}, False),
}


@pytest.mark.parametrize("given", GIVEN)
@pytest.mark.parametrize("asked_for", [True, False])
def test_when_it_is_taken(given, asked_for, monkeypatch):
    monkeypatch.setattr(kernels, "_FLEX", object() if asked_for else None)
    wanted, taken = GIVEN[given]
    options = {"length": 2048, "size": 64, "dtype": torch.bfloat16, "requires_grad": False, "p": 0.0, "batch": 1}
    options |= {"queries": wanted.get("length", 2048)} | wanted
    q, k, v = (
        torch.zeros(options["batch"], 2, n, options["size"], dtype=options["dtype"])
        .as_subclass(_OnCuda)
        .requires_grad_(options["requires_grad"])
        for n in (options["queries"], options["length"], options["length"])
    )
    assert kernels._takes_flex(q, k, v, options["p"]) is (taken and asked_for)
    with torch.no_grad():
        trains = options["requires_grad"]
        assert kernels._takes_flex(q, k, v, options["p"]) is ((taken or trains) and asked_for)


@pytest.mark.parametrize(
    ("there", "says"),
    [({"cuda": False}, "no CUDA device"), ({"triton": False}, "triton"), ({"torch": (2, 6)}, "needs torch 2.7")],
)
def test_it_says_why_it_cannot_run(there, says, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: there.get("cuda", True))
    monkeypatch.setattr(
        kernels.importlib.util, "find_spec", lambda name: object() if there.get("triton", True) else None
    )
    monkeypatch.setattr(kernels, "_TORCH", there.get("torch", (2, 13)))
    monkeypatch.setattr(kernels, "_FLEX", None)
    with pytest.raises(RuntimeError, match=says):
        compat.use_flex()
    assert kernels._FLEX is None


def test_it_is_compiled_when_it_can_run(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(kernels.importlib.util, "find_spec", lambda name: object())
    monkeypatch.setattr(torch, "compile", lambda function: ("compiled", function.__name__))
    monkeypatch.setattr(kernels, "_FLEX", None)
    compat.use_flex()
    assert kernels._FLEX == ("compiled", "flex_attention")


def test_a_copy_has_it_only_where_it_is_asked_for():
    window = {"memory_efficient_attention", "LocalAttentionFromBottomRightMask"}
    assert "flex" not in assemble(window, Uses(frozenset()))
    asked = assemble({*window, "use_flex"}, Uses(frozenset()))
    scope = {}
    exec(compile(asked, "<copy>", "exec"), scope)
    assert scope["_takes_flex"] is not None
    assert "if _takes_flex(q, k, v, p):" in asked
