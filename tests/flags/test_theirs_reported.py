"""What a program sets itself is left to it, and reported: a flag of its own, in any module that it imports."""

from __future__ import annotations

from pathlib import Path

from tests.flags.planned import BENCHMARK, TF32, TRAIN, rewrite, train
from tests.flags.programs import NETS
from tests.projects import harness


def test_what_the_program_sets_is_left_to_it_and_reported(root: Path) -> None:
    text = TRAIN.replace("def main", "torch.backends.cuda.matmul.allow_tf32 = False\n\n\ndef main")
    (root / "train.py").write_text(text)
    result = rewrite(root)
    assert "XF501 flags   cudnn-benchmark: has a main guard" in result.output
    assert "    left to you: tf32: train.py:8: torch.backends.cuda.matmul.allow_tf32 = False\n" in result.output
    assert TF32 not in train(root)
    assert BENCHMARK in train(root)


def test_a_module_that_it_imports_counts(root: Path) -> None:
    harness.write(root, {"record.py": NETS["record.py"] + "\n\ntorch.backends.cudnn.benchmark = False\n"})
    assert "left to you: cudnn-benchmark: record.py:9: " in rewrite(root).output
    assert BENCHMARK not in train(root)


def test_our_own_helper_module_is_no_setting_of_theirs(root: Path) -> None:
    harness.write(
        root,
        {
            "nets/attention.py": "import xformers.ops as xops\n\n\ndef attend(x, mask=None):\n"
            "    return xops.memory_efficient_attention(x, x, x, attn_bias=mask, op=xops.MemoryEfficientAttentionOp)\n"
            "\n\ndef fast(x, bias):\n"
            "    return xops.memory_efficient_attention_forward(x, x, x, attn_bias=bias)\n"
        },
    )
    rewrite(root, "--flags", "h200,avoid-recompile")
    (copy,) = root.rglob("_attention_compat.py")
    assert "sdpa_kernel(" in copy.read_text()
    first = train(root)
    assert "AVOID_RECOMPILE" in first
    again = rewrite(root, "--flags", "h200,avoid-recompile")
    assert "XF50" not in again.output
    assert train(root) == first
    assert rewrite("--check", root, "--flags", "h200,avoid-recompile").exit_code == 0


def test_where_everything_is_set_no_block_is_made(root: Path) -> None:
    harness.write(
        root,
        {
            "record.py": NETS["record.py"]
            + "\n\ntorch.backends.fp32_precision = 'ieee'\ntorch.backends.cudnn.benchmark = True\n"
        },
    )
    assert "No H200 flag for 1 entry point: no reason, or settled there" in rewrite("--check", root).output
    result = rewrite("-v", root)
    assert train(root) == TRAIN
    assert "train.py:1:1: XF504 flags   nothing set: has a main guard" in result.output
    assert "    left to you: tf32: record.py:9: torch.backends.fp32_precision = 'ieee'\n" in result.output


def test_the_two_precision_apis_are_never_mixed(root: Path) -> None:
    text = TRAIN.replace("def main", "torch.backends.cuda.matmul.fp32_precision = 'tf32'\n\n\ndef main")
    (root / "train.py").write_text(text)
    rewrite(root)
    assert TF32 not in train(root)


def test_a_setting_added_later_takes_the_flag_out(root: Path) -> None:
    rewrite(root)
    (root / "train.py").write_text(train(root) + "    torch.backends.cudnn.deterministic = True\n")
    assert "XF502 flags   now tf32" in rewrite(root).output
    assert BENCHMARK not in train(root)
