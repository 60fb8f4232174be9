"""The wrong rewrites themselves: texts that they share, and one row each."""

from __future__ import annotations

from tests.verify.mutation import BMHK, HALF, Mutation

SDPA = "F.scaled_dot_product_attention"
IN = "q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2)"


def sdpa(rest: str = "", inputs: str = IN, after: str = ".transpose(1, 2)") -> str:
    """The usual inline form."""
    return f"{SDPA}({inputs}{', ' + rest if rest else ''}){after}"


OLD = "op(q, k, v)"
PLAIN_NEW = sdpa()
EIGHT = dict.fromkeys("qkv", (2, 8, 8, 32))
"""As many queries and keys as heads: where a wrong layout has the right shape."""
BMK = dict.fromkeys("qkv", (3, 48, 32))
SQUARE = dict.fromkeys("qkv", BMHK)
UNEQUAL = {"q": (2, 40, 4, 32), "k": (2, 64, 4, 32), "v": (2, 64, 4, 32)}
BIASED = {**SQUARE, "bias": (2, 4, 48, 48)}
THREE = f"{SDPA}(q.unsqueeze(1), k.unsqueeze(1), v.unsqueeze(1)).squeeze(1)"
BLOCKS = {**dict.fromkeys("qkv", (1, 64, 4, 32)), "mask": "masks.BlockDiagonalMask.from_seqlens([16, 24, 24])"}
PACKED_NEW = "compat.memory_efficient_attention(q, k, v, mask)"
GROUPS = {"q": (2, 48, 2, 3, 32), "k": (2, 48, 2, 1, 32), "v": (2, 48, 2, 1, 32)}
GROUPED_OLD = "op(q, k.expand(q.shape), v.expand(q.shape))"


def grouped(spread: str) -> str:
    """5-D as 4-D, the key heads spread in some way."""
    inputs = "q.flatten(2, 3).transpose(1, 2), "
    inputs += ", ".join(f"{x}[:, :, :, 0].{spread}.transpose(1, 2)" for x in "kv")
    return f"{SDPA}({inputs}).transpose(1, 2).unflatten(2, q.shape[2:4])"


KEEP = {**SQUARE, "keep": "torch.rand(2, 1, 48, 48, generator=drawn).gt(0.3).to(device).expand(2, 4, 48, 48)"}
CLOSED_ROW = {**SQUARE, "keep": "torch.ones(48, 48).bool().index_fill(0, torch.tensor([5, 40]), False).to(device)"}
KEEP_OLD = "op(q, k, v, attn_bias=closed(keep, q).expand(2, 4, 48, 48))"
HEADS_FIRST = dict.fromkeys("qkv", "torch.randn(2, 4, 48, 32, generator=drawn).to(device, dtype).transpose(1, 2)")
LOW = {
    "q": "torch.randn(2, 256, 3, 64, generator=drawn).index_fill(3, torch.tensor([0]), 30.0).to(device, dtype)",
    "k": "torch.randn(2, 192, 3, 64, generator=drawn).index_fill(3, torch.tensor([0]), -30.0).to(device, dtype)",
    "v": (2, 192, 3, 64),
}
"""Key length 64 modulo 128, every log-sum-exp near -107: where cuDNN's gradient is NaN (benchmarks/nan_corner.py)."""

TABLE: tuple[Mutation, ...] = (
    # -------------------------------------------------------------------------------------------------- layout
    Mutation("no transposes at all", OLD, PLAIN_NEW, sdpa(inputs="q, k, v", after="")),
    Mutation("transposes missing on the way in", OLD, PLAIN_NEW, sdpa(inputs="q, k, v"), given=EIGHT),
    Mutation("transpose missing on the way out", OLD, PLAIN_NEW, sdpa(after=""), given=EIGHT),
    Mutation("reshape in place of the last transpose", OLD, PLAIN_NEW, sdpa(after=".reshape(q.shape)")),
    Mutation(
        "transpose of the key missing",
        OLD,
        PLAIN_NEW,
        sdpa(inputs="q.transpose(1, 2), k, v.transpose(1, 2)"),
        given=EIGHT,
    ),
    Mutation(
        "transpose of the value missing",
        OLD,
        PLAIN_NEW,
        sdpa(inputs="q.transpose(1, 2), k.transpose(1, 2), v"),
        given=EIGHT,
    ),
    Mutation("transpose(1, 2) on three dimensions", OLD, THREE, PLAIN_NEW, given=BMK),
    Mutation("unsqueezed on the wrong axis", OLD, THREE, THREE.replace("(1)", "(2)"), given=BMK),
    Mutation(
        "sequence first taken for batch first",
        "op(q.transpose(0, 1), k.transpose(0, 1), v.transpose(0, 1)).transpose(0, 1)",
        sdpa(
            inputs="q.permute(1, 2, 0, 3), k.permute(1, 2, 0, 3), v.permute(1, 2, 0, 3)", after=".permute(2, 0, 1, 3)"
        ),
        PLAIN_NEW,
        given=dict.fromkeys("qkv", (8, 8, 4, 32)),
    ),
    Mutation(
        "heads merged with the batch in the wrong order",
        "op(*(x.transpose(1, 2).flatten(0, 1) for x in (q, k, v)))",
        f"{SDPA}(*(x.transpose(1, 2) for x in (q, k, v))).flatten(0, 1)",
        f"{SDPA}(*(x.transpose(1, 2) for x in (q, k, v))).transpose(0, 1).flatten(0, 1)",
        given=dict.fromkeys("qkv", (2, 56, 4, 32)),  # of its own: benchmarks/cudnn_gradient_layout.py
    ),
    Mutation(
        "key and value swapped",
        OLD,
        PLAIN_NEW,
        PLAIN_NEW.replace("k.t", "x.t").replace("v.t", "k.t").replace("x.t", "v.t"),
    ),
    Mutation(
        "query and key swapped",
        OLD,
        PLAIN_NEW,
        PLAIN_NEW.replace("k.t", "x.t").replace("q.t", "k.t").replace("x.t", "q.t"),
    ),
    Mutation(
        "result strided where it is viewed",
        "op(q, k, v, attn_bias=bias)",
        sdpa("attn_mask=bias", after=".transpose(1, 2).contiguous()"),
        sdpa("attn_mask=bias"),
        check="contiguity",
        given={**HEADS_FIRST, "bias": (2, 4, 48, 48)},
        dtypes=HALF,
    ),
    # --------------------------------------------------------------------------------------------------- scale
    Mutation("scale dropped", "op(q, k, v, scale=0.5)", sdpa("scale=0.5"), PLAIN_NEW),
    Mutation("scale by K in place of its root", OLD, PLAIN_NEW, sdpa("scale=1 / q.shape[-1]")),
    Mutation(
        "scale in both places",
        "op(q, k, v, scale=0.25)",
        sdpa("scale=0.25"),
        sdpa("scale=0.25").replace("q.t", "(q * 0.25).t"),
    ),
    Mutation("scale of the merged width", OLD, PLAIN_NEW, sdpa("scale=(q.shape[-1] * q.shape[-2]) ** -0.5")),
    # -------------------------------------------------------------------------------------------------- causal
    Mutation("causal dropped", "op(q, k, v, masks.LowerTriangularMask())", sdpa("is_causal=True"), PLAIN_NEW),
    Mutation(
        "causal corner: bottom right for top left",
        "op(q, k, v, masks.LowerTriangularMask())",
        sdpa("is_causal=True"),
        sdpa("attn_mask=band(q, k, k.shape[1], 0)"),
        given=UNEQUAL,
    ),
    Mutation(
        "causal corner: top left for bottom right",
        "op(q, k, v, masks.LowerTriangularFromBottomRightMask())",
        sdpa("attn_mask=band(q, k, k.shape[1], 0)"),
        sdpa("is_causal=True"),
        given=UNEQUAL,
    ),
    Mutation(
        "causal condition inverted",
        "op(q, k, v, masks.LowerTriangularMask() if causal else None)",
        sdpa("is_causal=causal"),
        sdpa("is_causal=not causal"),
        given={**SQUARE, "causal": "True"},
    ),
    Mutation(
        "causal diagonal closed",
        "op(q, k, v, masks.LowerTriangularMask())",
        sdpa("is_causal=True"),
        sdpa("attn_mask=band(q, k, k.shape[1], -1)"),
    ),
    Mutation(
        "causal with a bias: the bias dropped",
        "op(q, k, v, masks.LowerTriangularMaskWithTensorBias(bias))",
        sdpa("attn_mask=bias + band(q, k, 99, 0)"),
        sdpa("is_causal=True"),
        given=BIASED,
        gradients=False,
    ),
    Mutation(
        "causal with a bias: causal dropped",
        "op(q, k, v, masks.LowerTriangularMaskWithTensorBias(bias))",
        sdpa("attn_mask=bias + band(q, k, 99, 0)"),
        sdpa("attn_mask=bias"),
        given=BIASED,
        gradients=False,
    ),
    # ------------------------------------------------------------------------------------------------- windows
    Mutation(
        "window one too wide on the left",
        "op(q, k, v, masks.LocalAttentionFromBottomRightMask(8, 4))",
        sdpa("attn_mask=band(q, k, 8, 4)"),
        sdpa("attn_mask=band(q, k, 9, 4)"),
        dtypes=HALF,
    ),
    Mutation(
        "window one too narrow on the right",
        "op(q, k, v, masks.LocalAttentionFromBottomRightMask(8, 4))",
        sdpa("attn_mask=band(q, k, 8, 4)"),
        sdpa("attn_mask=band(q, k, 8, 3)"),
        dtypes=HALF,
    ),
    Mutation(
        "width of a causal window taken for its reach",
        "op(q, k, v, masks.LowerTriangularFromBottomRightLocalAttentionMask(16))",
        sdpa("attn_mask=band(q, k, 15, 0)"),
        sdpa("attn_mask=band(q, k, 16, 0)"),
        dtypes=HALF,
    ),
    # --------------------------------------------------------------------------------------------------- masks
    Mutation("mask dropped", "op(q, k, v, attn_bias=bias)", sdpa("attn_mask=bias"), PLAIN_NEW, given=BIASED),
    Mutation("bool mask inverted", KEEP_OLD, sdpa("attn_mask=closed(keep, q)"), sdpa("attn_mask=~keep"), given=KEEP),
    Mutation(
        "sign of the mask flipped",
        "op(q, k, v, attn_bias=bias)",
        sdpa("attn_mask=bias"),
        sdpa("attn_mask=-bias"),
        given=BIASED,
    ),
    Mutation(
        "mask transposed",
        "op(q, k, v, attn_bias=bias)",
        sdpa("attn_mask=bias"),
        sdpa("attn_mask=bias.transpose(2, 3)"),
        given=BIASED,
    ),
    Mutation(
        "bias scaled with the scores",
        "op(q, k, v, attn_bias=bias)",
        sdpa("attn_mask=bias"),
        sdpa("attn_mask=bias * q.shape[-1] ** -0.5"),
        given=BIASED,
    ),
    Mutation(
        "mask of the batch laid onto the heads",
        "op(q, k, v, attn_bias=bias[:, None].expand(4, 4, 48, 48))",
        sdpa("attn_mask=bias[:, None]"),
        sdpa("attn_mask=bias"),
        given={**dict.fromkeys("qkv", (4, 48, 4, 32)), "bias": (4, 48, 48)},
    ),
    Mutation(
        "merged mask taken apart in the wrong order",
        "op(q, k, v, attn_bias=bias.view(2, 4, 48, 48))",
        sdpa("attn_mask=bias.view(2, 4, 48, 48)"),
        sdpa("attn_mask=bias.view(4, 2, 48, 48).transpose(0, 1)"),
        given={**SQUARE, "bias": (8, 48, 48)},
    ),
    Mutation(
        "key padding laid onto the queries",
        "op(q, k, v, attn_bias=closed(keep, q)[:, None, None].expand(2, 4, 48, 48))",
        sdpa("attn_mask=closed(keep, q)[:, None, None]"),
        sdpa("attn_mask=closed(keep, q)[:, None, :, None].repeat(1, 1, 1, 48)"),
        given={**SQUARE, "keep": "(torch.arange(48) < torch.tensor([[40], [48]])).to(device)"},
    ),
    Mutation(
        "closed row, bool for float",
        KEEP_OLD,
        sdpa("attn_mask=closed(keep, q)"),
        sdpa("attn_mask=keep.expand(2, 4, 48, 48)"),
        given=CLOSED_ROW,
        dtypes=HALF,
        cpu=False,
    ),
    Mutation(
        "closed row, least number for -inf",
        KEEP_OLD,
        sdpa("attn_mask=closed(keep, q)"),
        sdpa("attn_mask=closed(keep, q).clamp_min(torch.finfo(q.dtype).min)"),
        given=CLOSED_ROW,
        gpu=("float16",),
        equal_on_gpu="the kernels work in powers of 2: the least bfloat16 or float32 overflows to -inf on the way",
    ),
    # ---------------------------------------------------------------------------------------- packed sequences
    Mutation(
        "block boundary shifted by one",
        "op(q, k, v, mask)",
        PACKED_NEW,
        "compat.memory_efficient_attention(q, k, v, compat.BlockDiagonalMask.from_seqlens([17, 23, 24]))",
        given=BLOCKS,
        dtypes=HALF,
    ),
    Mutation("blocks dropped", "op(q, k, v, mask)", PACKED_NEW, PLAIN_NEW, given=BLOCKS),
    Mutation(
        "causal corner within blocks",
        "op(q, k, v, mask)",
        PACKED_NEW,
        "compat.memory_efficient_attention(q, k, v, "
        "compat.BlockDiagonalMask.from_seqlens([8, 24], [40, 24]).make_causal())",
        given={
            "q": (1, 32, 4, 32),
            "k": (1, 64, 4, 32),
            "v": (1, 64, 4, 32),
            "mask": "masks.BlockDiagonalMask.from_seqlens([8, 24], [40, 24]).make_causal_from_bottomright()",
        },
    ),
    Mutation(
        "length of padded keys off by one",
        "op(q, k, v, mask)",
        PACKED_NEW,
        "compat.memory_efficient_attention(q, k, v, compat.BlockDiagonalCausalWithOffsetPaddedKeysMask"
        ".from_seqlens([1, 1, 1], 32, [8, 17, 31]))",
        given={
            "q": (1, 3, 4, 32),
            "k": (1, 96, 4, 32),
            "v": (1, 96, 4, 32),
            "mask": "masks.BlockDiagonalCausalWithOffsetPaddedKeysMask.from_seqlens([1, 1, 1], 32, [8, 16, 31])",
        },
        gradients=False,
    ),
    # ------------------------------------------------------------------------------------------- grouped heads
    Mutation(
        "grouped heads in the wrong order",
        GROUPED_OLD,
        grouped("repeat_interleave(3, 2)"),
        grouped("repeat(1, 1, 3, 1)"),
        given=GROUPS,
        gradients=False,
    ),
    Mutation(
        "one key head for all groups",
        GROUPED_OLD,
        grouped("repeat_interleave(3, 2)"),
        grouped("narrow(2, 0, 1)").replace("narrow(2, 0, 1)", "narrow(2, 0, 1).expand(-1, -1, 6, -1)"),
        given=GROUPS,
        gradients=False,
    ),
    # ----------------------------------------------------------------------------------------- dropout, dtypes
    Mutation("dropout dropped", "op(q, k, v, p=0.2)", sdpa("dropout_p=0.2"), PLAIN_NEW, check="dropout"),
    Mutation("dropout added", OLD, PLAIN_NEW, sdpa("dropout_p=0.1"), check="dropout"),
    Mutation(
        "dropout in training only",
        "op(q, k, v, p=0.2)",
        sdpa("dropout_p=0.2"),
        sdpa("dropout_p=0.2 if training else 0.0"),
        check="dropout",
        given={**SQUARE, "training": "False"},
    ),
    Mutation(
        "dtype changed by autocast",
        OLD,
        "compat.memory_efficient_attention(q, k, v)",
        PLAIN_NEW,
        check="dtype",
        dtypes=("float32",),
        autocast=True,
    ),
    Mutation(
        "upcast lost",
        "op(q.float(), k.float(), v.float()).to(q.dtype)",
        sdpa(inputs=IN.replace(".t", ".float().t"), after=".transpose(1, 2).to(q.dtype)"),
        sdpa(after=".transpose(1, 2).to(q.dtype)"),
        check="precision",
        dtypes=HALF,
    ),
    Mutation(
        "upcast lost under autocast",
        "op(q.float(), k.float(), v.float()).to(q.dtype)",
        "compat.memory_efficient_attention(q.float(), k.float(), v.float()).to(q.dtype)",
        sdpa(inputs=IN.replace(".t", ".float().t"), after=".transpose(1, 2).to(q.dtype)"),
        check="precision",
        dtypes=("bfloat16",),
        autocast=True,
    ),
    Mutation(
        "computed in half",
        OLD,
        PLAIN_NEW,
        sdpa(inputs=IN.replace(".t", ".half().t"), after=".transpose(1, 2).to(q.dtype)"),
        dtypes=("float32",),
    ),
    Mutation("result in another dtype", OLD, PLAIN_NEW, PLAIN_NEW + ".float()", check="dtype", dtypes=HALF),
    # ----------------------------------------------------------------------------------------------- gradients
    Mutation("key detached", OLD, PLAIN_NEW, PLAIN_NEW.replace("k.t", "k.detach().t"), check="gradient of key"),
    Mutation(
        "bias detached",
        "op(q, k, v, attn_bias=bias)",
        sdpa("attn_mask=bias", after=".transpose(1, 2).contiguous()"),
        sdpa("attn_mask=bias.detach()", after=".transpose(1, 2).contiguous()"),
        check="gradient of bias",
        given=BIASED,
        trains="q k v bias",
    ),
    Mutation("under no_grad", OLD, PLAIN_NEW, f"without_grad(lambda: {PLAIN_NEW})", check="gradient of query"),
    Mutation(
        "graph where there was none",
        OLD,
        f"without_grad(lambda: {PLAIN_NEW})",
        PLAIN_NEW,
        check="gradient of query",
        variant="memory_efficient_attention_forward",
        gpu=(),
        equal_on_gpu="the real operator's result cannot be differentiated: no program takes its gradient",
    ),
    Mutation(
        "gradient of the value doubled",
        OLD,
        PLAIN_NEW,
        PLAIN_NEW.replace("v.t", "(2 * v - v.detach()).t"),
        check="gradient of value",
    ),
    Mutation("NaN gradient, simulated", OLD, PLAIN_NEW, PLAIN_NEW.replace("q.t", "nan_gradient(q).t"), check="nan"),
    Mutation(
        "NaN gradient of cuDNN",
        OLD,
        "compat.memory_efficient_attention(q, k, v)",
        PLAIN_NEW,
        check="nan",
        given=LOW,
        dtypes=HALF,
        cpu=False,
    ),
    # ------------------------------------------------------------------------------------------- small in large
    Mutation(
        "one head of eight wrong",
        OLD,
        PLAIN_NEW,
        f"head_from({PLAIN_NEW}, {sdpa('is_causal=True')}, 5)",
        given=dict.fromkeys("qkv", (2, 48, 8, 32)),
    ),
    Mutation("one row wrong", OLD, PLAIN_NEW, f"rows_from({PLAIN_NEW}, {sdpa('scale=0.2')}, 47)"),
    Mutation(
        "one wrong head of small values",
        "op(q, k, v * size)",
        sdpa().replace("v.t", "(v * size).t"),
        f"head_from({sdpa().replace('v.t', '(v * size).t')}, {sdpa('scale=0.2').replace('v.t', '(v * size).t')}, 2)",
        given={**SQUARE, "size": "torch.tensor([10.0, 1.0, 0.001, 3.0], device=device, dtype=dtype)[:, None]"},
    ),
    Mutation(
        "last key dropped",
        OLD,
        PLAIN_NEW,
        sdpa(inputs="q.transpose(1, 2), k[:, :-1].transpose(1, 2), v[:, :-1].transpose(1, 2)"),
        given=dict.fromkeys("qkv", (2, 256, 4, 64)),
    ),
    Mutation(
        "last head from the first batch",
        OLD,
        PLAIN_NEW,
        f"head_from({PLAIN_NEW}, {PLAIN_NEW}[:1].expand(q.shape), 3)",
    ),
)
