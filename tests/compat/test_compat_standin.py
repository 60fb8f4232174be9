"""Standing in for a missing xformers, each time in a fresh interpreter."""

import subprocess
import sys
import textwrap

import pytest

HIDE = """
import sys, importlib.abc
class Hide(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "xformers" and hidden:
            raise ModuleNotFoundError(name, name=name)
hidden = True
import importlib.util as _u
_real = _u.find_spec
def _find(name, package=None):
    if name.partition(".")[0] == "xformers" and name not in sys.modules:
        return None
    return _real(name, package)
_u.find_spec = _find
sys.meta_path.insert(0, Hide())
"""


def run(script, hide=True):
    code = (HIDE if hide else "") + textwrap.dedent(script)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_code_that_imports_xformers_at_import_time_works():
    run("""
        import torch, importlib.util
        try:
            import xformers.ops
        except ImportError:
            pass
        else:
            raise SystemExit("not hidden")
        import xf2sdpa.compat; assert xf2sdpa.compat.install()
        assert xf2sdpa.compat.install(), "twice is once"

        import xformers
        import xformers.ops as xops
        from xformers import ops
        from xformers.ops import fmha, unbind, memory_efficient_attention, SwiGLU, LowerTriangularMask
        from xformers.ops import RMSNorm, index_select_cat, scaled_index_add, AttentionBias, AttentionMask
        from xformers.ops.fmha import BlockDiagonalMask, attn_bias, flash, cutlass
        from xformers.ops.fmha.attn_bias import BlockDiagonalCausalMask, AttentionBias as Base
        import xformers.ops.fmha.attn_bias as biases

        assert xops is ops is xformers.ops and xops.fmha is fmha and fmha.attn_bias is biases
        assert Base is AttentionBias is AttentionMask
        assert importlib.util.find_spec("xformers") is not None
        assert importlib.util.find_spec("xformers.ops") is not None
        assert xformers.__version__.startswith("0.0.35")
        assert unbind(torch.zeros(3, 2), 0)[2].shape == (2,)
        q = torch.randn(1, 5, 2, 8)
        bias = BlockDiagonalMask.from_seqlens([2, 3]).make_causal()
        assert isinstance(bias, BlockDiagonalCausalMask)
        pair = (fmha.flash.FwOp, fmha.flash.BwOp)
        assert pair == xops.MemoryEfficientAttentionFlashAttentionOp
        assert issubclass(pair[0], xops.AttentionOpBase)
        out = xops.memory_efficient_attention(q, q, q, attn_bias=bias, op=pair)
        assert torch.equal(out, xf2sdpa.compat.memory_efficient_attention(q, q, q, bias))
        assert fmha.memory_efficient_attention_forward(q, q, q).shape == q.shape
        for missing in ("xformers.components", "xformers.ops.tiled_matmul", "xformers.profiler"):
            try:
                __import__(missing)
            except ModuleNotFoundError:
                continue
            raise SystemExit(missing)
        try:
            from xformers.ops import rope_padded
        except ImportError:
            pass
        else:
            raise SystemExit("rope_padded")
    """)


def test_uninstall_undoes_it():
    run("""
        import xf2sdpa.compat
        xf2sdpa.compat.uninstall()
        assert xf2sdpa.compat.install()
        import xformers.ops.fmha
        xf2sdpa.compat.uninstall()
        assert not [name for name in sys.modules if name.startswith("xformers")]
        try:
            import xformers
        except ImportError:
            pass
        else:
            raise SystemExit("still there")
        assert xf2sdpa.compat.install()
        import xformers.ops
    """)


def test_never_over_a_real_xformers_unless_forced():
    pytest.importorskip("xformers.ops")
    run(
        """
        import sys, warnings, xf2sdpa.compat
        with warnings.catch_warnings(record=True) as said:
            assert not xf2sdpa.compat.install()
        assert "xformers" not in sys.modules, "asking costs no import"
        assert len(said) == 1 and said[0].filename == "<string>", "one warning, at the call"
        assert "install(force=True)" in str(said[0].message), said[0].message
        import xformers.ops as real
        assert not xf2sdpa.compat.install()
        assert xf2sdpa.compat.install(force=True)
        import xformers.ops as ours
        assert ours is not real and ours.SwiGLU is xf2sdpa.compat.SwiGLU
        xf2sdpa.compat.uninstall()
        import xformers.ops as again
        assert again is real
        """,
        hide=False,
    )


OFF = """
import sys
sys.modules["xformers"] = None  # how a program switches an installed xformers off
import xf2sdpa.compat
assert xf2sdpa.compat.install(), "None is no xformers"
import torch, xformers.ops
assert xformers.ops.memory_efficient_attention(*[torch.ones(1, 4, 2, 8)] * 3).shape == (1, 4, 2, 8)
xf2sdpa.compat.uninstall()
assert sys.modules["xformers"] is None, "and so it is left"
assert not [name for name in sys.modules if name.startswith("xformers.")]
"""


@pytest.mark.parametrize("hide", [True, False])
def test_xformers_switched_off_is_a_missing_one(hide):
    run(OFF.replace("import sys\n", "import sys, warnings; warnings.simplefilter('error')\n", 1), hide)


def test_nothing_is_said_where_there_is_nothing_to_say():
    run("""
        import warnings; warnings.simplefilter("error")
        import xf2sdpa.compat
        assert xf2sdpa.compat.install()
        assert xf2sdpa.compat.install()
        assert xf2sdpa.compat.install(force=True)
    """)


def test_a_loaded_xformers_that_says_nothing_of_where_it_is_from_is_left():
    """A stand-in of somebody else: a module without a spec, which `find_spec` refuses."""
    run("""
        import sys, types, warnings, xf2sdpa.compat
        sys.modules["xformers"] = theirs = types.ModuleType("xformers")
        with warnings.catch_warnings(record=True) as said:
            assert not xf2sdpa.compat.install()
        assert sys.modules["xformers"] is theirs and len(said) == 1
        assert xf2sdpa.compat.install(force=True)
        xf2sdpa.compat.uninstall()
        assert sys.modules["xformers"] is theirs
    """)
