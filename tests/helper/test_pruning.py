"""What a copy holds of each class and function: what is used, and an error that says how to get the rest."""

from __future__ import annotations

import itertools
import math
import re
import subprocess
import sys
import types
from pathlib import Path

import pytest
import torch

from benchmarks.helper_sizes import lines_of_code
from tests.projects.harness import COPY, rewrite, tree, write
from xf2sdpa import compat
from xf2sdpa.helper import pruning
from xf2sdpa.helper.pruning import GROUPS, OWN_MASKS, TENSORS, Uses
from xf2sdpa.helper.text import assemble, exported

OPERATOR = "memory_efficient_attention"
NESTED = {"from_tensor_list", "split"}
KINDS = sorted(name for name in exported() if name.endswith("Mask") and name != "AttentionMask")


def uses(*words: str) -> Uses:
    return Uses(frozenset(words))


def module_of(text: str) -> types.ModuleType:
    module = types.ModuleType("pruned_copy")
    sys.modules["pruned_copy"] = module  # dataclasses look their module up
    exec(compile(text, "pruned_copy.py", "exec"), vars(module))
    return module


@pytest.fixture(autouse=True)
def _forgotten():
    yield
    sys.modules.pop("pruned_copy", None)


def made(home: types.ModuleType, name: str) -> object:
    """A mask of a class, for 6 queries and keys of one batch."""
    cls = getattr(home, name)
    if name == "LowerTriangularMaskWithTensorBias":
        return cls(torch.linspace(-1, 1, 72).view(1, 2, 6, 6).double())
    if "Padded" in name:
        window = {"LocalAttentionPaddedKeysMask": (2, 1), "CausalLocalAttentionPaddedKeysMask": (2,)}
        given = next((w for end, w in sorted(window.items(), key=lambda x: -len(x[0])) if name.endswith(end)), None)
        build = cls.from_seqlens if given is None else cls.from_seqlens_local
        return build([2, 4], 3, [3, 3], *(given or ()))
    if name.startswith("BlockDiagonal"):
        info = home.BlockDiagonalMask.from_seqlens([2, 4])
        return cls(info.q_seqinfo, info.k_seqinfo, *((None, 2) if "Local" in name else ()))
    if name == "LocalAttentionFromBottomRightMask":
        return cls(2, 1)
    return cls(2) if "Local" in name else cls()


@pytest.mark.parametrize("name", KINDS)
def test_a_pruned_copy_computes_what_the_whole_does(name: str) -> None:
    words = {"from_seqlens", "from_seqlens_local"}
    names = {OPERATOR, name, *({"BlockDiagonalMask"} if name.startswith("BlockDiagonal") else set())}
    copy = module_of(assemble(names, Uses(frozenset(words))))
    torch.manual_seed(0)
    q, k, v = (torch.randn(1, 6, 2, 8, dtype=torch.float64, requires_grad=True) for _ in "qkv")
    outs = [home.memory_efficient_attention(q, k, v, made(home, name)) for home in (copy, compat)]
    assert torch.equal(*outs)
    for a, b in zip(*(torch.autograd.grad(out.square().sum(), (q, k, v)) for out in outs), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("words", [set(), {TENSORS}, {GROUPS}, {TENSORS, GROUPS}])
@pytest.mark.parametrize("name", ["", "LowerTriangularMask"])
@pytest.mark.parametrize("rank", [3, 4, 5])
def test_every_rank_is_right_whatever_is_left_out(words: set[str], name: str, rank: int) -> None:
    copy = module_of(assemble({OPERATOR, *filter(None, [name])}, Uses(frozenset(words))))
    shape = {3: (2, 5, 8), 4: (2, 5, 3, 8), 5: (2, 5, 3, 2, 8)}[rank]
    q, k, v = (torch.randn(shape) for _ in "qkv")
    if rank == 5:
        k, v = (x[:, :, :, :1].expand(shape) for x in (k, v))
    bias = {"": None, "LowerTriangularMask": name and getattr(copy, name)()}[name]
    theirs = None if bias is None else compat.LowerTriangularMask()
    torch.testing.assert_close(
        copy.memory_efficient_attention(q, k, v, bias), compat.memory_efficient_attention(q, k, v, theirs)
    )
    if TENSORS in words:
        heads = {3: (), 4: (3,), 5: (3, 2)}[rank]
        bias = torch.randn(2, *heads, 5, 5)
        torch.testing.assert_close(
            copy.memory_efficient_attention(q, k, v, bias), compat.memory_efficient_attention(q, k, v, bias)
        )


@pytest.mark.parametrize("name", ["", "LowerTriangularMask"])
def test_what_is_left_out_says_how_to_get_it(name: str) -> None:
    copy = module_of(assemble({OPERATOR, *filter(None, [name])}, uses()))
    q = torch.randn(1, 5, 2, 8)
    for bias in (torch.zeros(1, 2, 5, 5), types.SimpleNamespace(), object()):
        with pytest.raises(TypeError, match="xf2sdpa rewrite"):
            copy.memory_efficient_attention(q, q, q, bias)


def test_methods_that_are_left_out_say_so() -> None:
    text = assemble({OPERATOR, "BlockDiagonalMask"}, Uses(frozenset(NESTED)))
    copy = module_of(text)
    mask, packed = copy.BlockDiagonalMask.from_tensor_list([torch.randn(2, 3, 8), torch.randn(1, 5, 8)])
    assert [x.shape for x in mask.split(packed)] == [(2, 3, 8), (1, 5, 8)]
    for name in ("make_causal", "split_queries", "from_tensor_lists_qkv", "materialize", "make_local_attention"):
        assert hasattr(mask, name)
        with pytest.raises(TypeError, match="xf2sdpa rewrite"):
            getattr(mask, name)(1)
    assert "class BlockDiagonalCausalMask" not in text


def test_a_users_own_mask_needs_only_materialize() -> None:
    copy = module_of(assemble({OPERATOR, "AttentionBias"}, uses("materialize")))

    class Own(copy.AttentionBias):  # type: ignore[name-defined,misc]
        def materialize(self, shape, dtype=torch.float32, device="cpu"):
            return torch.zeros(shape, dtype=dtype, device=device)

    q = torch.randn(1, 5, 2, 8)
    torch.testing.assert_close(
        copy.memory_efficient_attention(q, q, q, Own()), copy.memory_efficient_attention(q, q, q)
    )


def test_closed_rows_are_0_before_torch_2_5_in_a_pruned_copy_too(monkeypatch: pytest.MonkeyPatch) -> None:
    copy = module_of(assemble({OPERATOR}, uses(TENSORS)))
    monkeypatch.setattr(copy, "_TORCH", min(copy._TORCH, (2, 4)))
    q = torch.randn(1, 5, 2, 8)
    bias = torch.zeros(1, 2, 5, 5)
    bias[:, :, 0] = -math.inf
    assert (copy.memory_efficient_attention(q, q, q, bias)[:, 0] == 0).all()


@pytest.mark.parametrize(
    ("names", "words", "limit"),
    [
        ({"scaled_dot_product_attention"}, set(), 40),
        ({OPERATOR}, set(), 110),
        ({OPERATOR, "LowerTriangularMask"}, set(), 110),
        ({OPERATOR}, {TENSORS}, 130),
        ({OPERATOR, "BlockDiagonalMask"}, NESTED | {TENSORS, "to"}, 330),
        ({OPERATOR, "BlockDiagonalMask"}, NESTED | {TENSORS, GROUPS, "to"}, 330),
    ],
)
def test_sizes(names: set[str], words: set[str], limit: int) -> None:
    assert lines_of_code(assemble(names, Uses(frozenset(words)))) <= limit


def test_marks_name_what_there_is() -> None:
    defined = {name for piece in pruning.sources()[1] for name in piece.binds} | pruning.methods()
    marks = set()
    for path in sorted(pruning.FOLDER.glob("*.py")):
        for line in path.read_text("utf-8").splitlines():
            marks.update(itertools.chain(*(m[1].split() for m in [re.search(r"  # for ([\w ]+)$", line)] if m)))
    assert marks
    assert marks <= defined | {TENSORS, GROUPS, OWN_MASKS}


COPIES = [
    ({"scaled_dot_product_attention"}, set()),
    ({OPERATOR}, set()),
    ({OPERATOR, "LowerTriangularMask"}, {GROUPS}),
    ({OPERATOR, "BlockDiagonalMask"}, NESTED),
    ({OPERATOR, *KINDS}, {TENSORS, "make_causal"}),
    ({OPERATOR, "BlockDiagonalCausalWithOffsetPaddedKeysMask"}, {"from_seqlens"}),
]


@pytest.mark.parametrize(("names", "words"), COPIES)
def test_a_pruned_copy_is_as_ruff_would_write_it(names: set[str], words: set[str], tmp_path: Path) -> None:
    path = tmp_path / COPY
    path.write_text(assemble(names, Uses(frozenset(words))), "utf-8")
    for command in (["format", "--check", "--diff"], ["check", "--select", "F,E,W,I"]):
        done = subprocess.run(
            [sys.executable, "-m", "ruff", *command, "--line-length", "120", "--isolated", path],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr


CALLS = """\
import xformers.ops as xops


def attend(q, k, v):
    return xops.memory_efficient_attention(q, k, v)
"""


@pytest.mark.parametrize(
    ("call", "other", "has", "lacks"),
    [
        ("(q, k, v)", "", (), ("_as_mask", "_takes_groups")),
        ("(q, k, v, None)", "", (), ("_as_mask",)),
        ("(q, k, v, xops.LowerTriangularMask())", "", ("LowerTriangularMask",), ("_as_mask", "def materialize")),
        ("(q, k, v, xops.LowerTriangularMask() if c else None)", "", ("LowerTriangularMask",), ("_as_mask",)),
        ("(q, k, v, c)", "", ("_as_mask",), ()),
        ("(q, k, v, attn_bias=c)", "", ("_as_mask",), ()),
        ("(q, k, v, **c)", "", ("_as_mask",), ()),
        ("(*c)", "", ("_as_mask",), ()),
        (" if c else None", "", ("_as_mask",), ()),
        ("(q, k, v)", "import model\nk = k[:, :, :, None].expand(b, n, g, h, d)\n", ("_takes_groups",), ()),
        ("(q, k, v)", "k = k[:, :, :, None].expand(b, n, g, h, d)\n", ("_heads_first",), ("_takes_groups",)),
        ("(q, k, v, xops.LowerTriangularMask())", "m.materialize((1, 2))\n", ("def materialize",), ("def add_bias",)),
    ],
)
def test_what_a_project_shows(
    call: str, other: str, has: tuple[str, ...], lacks: tuple[str, ...], tmp_path: Path
) -> None:
    program = CALLS.replace("(q, k, v)\n", f"{call}\n").replace("def attend(q, k, v)", "def attend(q, k, v, c)")
    program = program.replace(f"def attend{call}", "def attend(q, k, v, c)")
    write(tmp_path, {"model.py": program, "other.py": other})
    rewrite(tmp_path)
    found = tree(tmp_path)
    for word in has:
        assert word in found[COPY], found["model.py"]
    for word in lacks:
        assert word not in found[COPY], found["model.py"]
    rewrite(tmp_path)
    assert tree(tmp_path) == found, "a second run changes nothing"


def test_an_operator_that_is_handed_on_may_be_given_a_tensor(tmp_path: Path) -> None:
    hub = CALLS.replace("import xformers.ops as xops", "from xformers.ops import memory_efficient_attention")
    hub = hub.replace("xops.", "")
    user = (
        "from hub import memory_efficient_attention as attend\n\n\ndef g(q, bias):\n    return attend(q, q, q, bias)\n"
    )
    write(tmp_path, {"hub.py": hub, "user.py": user})
    rewrite(tmp_path)
    assert "_as_mask" in tree(tmp_path)[COPY]


def test_a_part_of_a_project_does_not_prune_what_the_rest_uses(tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    masked = CALLS.replace("(q, k, v)\n", "(q, k, v, xops.LowerTriangularMask().add_bias(q))\n")
    write(tmp_path, {"one.py": CALLS, "two.py": masked})
    rewrite(tmp_path)
    before = tree(tmp_path)[COPY]
    assert "def add_bias" in before
    write(tmp_path, {"three.py": CALLS})
    rewrite(tmp_path / "three.py", tmp_path / "one.py")
    assert tree(tmp_path)[COPY] == before


def test_what_nothing_names_any_more_goes(tmp_path: Path) -> None:
    write(tmp_path, {"model.py": CALLS, "other.py": "from xformers.ops import SwiGLU\n\nlayer = SwiGLU(1, 2)\n"})
    rewrite(tmp_path)
    assert "class SwiGLU" in tree(tmp_path)[COPY]
    (tmp_path / "other.py").unlink()
    rewrite(tmp_path)
    assert "class SwiGLU" not in tree(tmp_path)[COPY]
    assert "def memory_efficient_attention" in tree(tmp_path)[COPY]


def test_masks_without_the_operator_have_what_tells_of_methods_left_out() -> None:
    copy = module_of(assemble({"BlockDiagonalMask"}, uses("from_seqlens")))
    assert not hasattr(copy, OPERATOR)
    mask = copy.BlockDiagonalMask.from_seqlens([2, 4])
    with pytest.raises(TypeError, match="this helper was made without that"):
        mask.make_causal()
