"""The shapes to measure: rows of `shapes.toml`, their work in FLOP and bytes, and tensors made for them.

A row is plain data: batch, m queries, n keys, `heads` (`[H]`; `[]` is 3-D input, `[G, H]` 5-D grouped), head size k,
dtype, and a mask by xformers' name. `benchmarks/shapes.py` measures the same rows.
"""

from __future__ import annotations

import importlib
import math
import sys
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from xf2sdpa.bench.model import GUIDE_SHAPE

# torch is imported where tensors are made: reading the table needs none.
# ruff: noqa: PLC0415

Row = dict[str, Any]

SHRINK = 16
"""Batch and lengths are divided by this on a CPU."""

BACKWARD = 2.5
"""FLOP of the backward pass relative to forward: five products to two, as the FlashAttention papers count."""

GUIDE_ROW = "seed guide"
"""The name of the row of `shapes.toml` with the guide's configuration."""


class ShapesError(Exception):
    """A table of shapes cannot be used; the message is for the user."""


MASKS = {
    "none": "",
    "tensor": "tensor mask",
    "BlockDiagonalMask": "block-diagonal",
    "LocalAttentionFromBottomRightMask": "window",
    "LowerTriangularFromBottomRightMask": "causal from bottom right",
    "LowerTriangularMask": "causal",
}
"""The masks that a row may name, by xformers' class name (or `none`, `tensor`), and their labels."""

_NEEDED = {"name", "batch", "m", "n", "heads", "k"}


def read_table(file: Path | None = None) -> list[Row]:
    """The rows of a table in the form of `shapes.toml`, with defaults filled in; by default the package's own table.

    Raises:
        ShapesError: the file cannot be read, is not TOML, or a row lacks a key.
    """
    parser = importlib.import_module("tomllib" if sys.version_info >= (3, 11) else "tomli")
    try:
        text = file.read_text("utf-8") if file else resources.files(__package__).joinpath("shapes.toml").read_text()
        table = parser.loads(text)
    except (OSError, ValueError) as error:
        raise ShapesError(f"{file}: {error}") from error
    defaults = {"dtype": "bfloat16", "mask": "none", "backward": True, "source": ""} | table.get("defaults", {})
    rows = [defaults | row for row in table.get("shape", ())]
    for row in rows:
        if missing := _NEEDED - row.keys():
            raise ShapesError(f"{file}: shape {row.get('name', '?')} lacks {', '.join(sorted(missing))}")
        if row["mask"] not in MASKS:
            raise ShapesError(f"{file}: shape {row['name']}: mask is one of {', '.join(sorted(MASKS))}")
    if not rows:
        raise ShapesError(f"{file}: no [[shape]] in it")
    return rows


def guide_row() -> Row:
    """The guide's configuration: batch 32, sequence 1024, dim 1024, 16 heads; bfloat16, which it recommends."""
    return next(row for row in read_table() if row["name"] == GUIDE_ROW) | {"name": GUIDE_SHAPE}


def shrunk(row: Row) -> Row:
    """The row made small enough for a CPU, and in float32, which is fast on every CPU."""
    small: Row = {name: max(1, row[name] // SHRINK) for name in ("batch", "m", "n")}
    small["dtype"] = "float32"
    if blocks := row.get("blocks"):
        blocks = [{"count": 2, "length": block["length"] // SHRINK} for block in blocks]
        small |= {"blocks": blocks, "batch": 1}
        small["m"] = small["n"] = sum(block["count"] * block["length"] for block in blocks)
    return row | small


def described(row: Row) -> str:
    """A row for display: `q 32×1024×16×64, bfloat16`, with the number of keys if it differs, and the mask."""
    sizes = (row["batch"], row["m"], *row["heads"], row["k"])
    text = "q " + "×".join(map(str, sizes))
    if row["m"] != row["n"]:
        text += f", {row['n']} keys"
    if row["mask"] != "none":
        text += f", {MASKS[row['mask']]}"
    return f"{text}, {row['dtype']}"


def visible_pairs(row: Row) -> int:
    """How many (query, key) pairs per head and batch the mask leaves."""
    m, n, kind = row["m"], row["n"], row["mask"]
    if kind == "BlockDiagonalMask":
        return sum(int(block["count"]) * int(block["length"]) ** 2 for block in row["blocks"])
    if kind in {"none", "tensor"}:
        return int(m * n)
    shift = 0 if kind == "LowerTriangularMask" else n - m
    left, right = row.get("window", (n, 0)) if kind == "LocalAttentionFromBottomRightMask" else (n + m, 0)
    return sum(max(0, min(n, query + shift + right + 1) - max(0, min(n, query + shift - left))) for query in range(m))


def flops(row: Row) -> float:
    """FLOP of the forward pass: two products over the visible pairs, a multiplication and an addition each."""
    return float(4 * row["batch"] * math.prod(row["heads"]) * visible_pairs(row) * row["k"])


def score_bytes(row: Row) -> int:
    """Bytes of the score matrix in float32, which unfused implementations build."""
    return int(4 * row["batch"] * math.prod(row["heads"]) * row["m"] * row["n"])


@dataclass(frozen=True)
class Workload:
    """A row with tensors.

    Attributes:
        leaves: query `[B, M, *heads, K]`, key and value `[B, N, *heads, K]`.
        mask: as `xf2sdpa.compat` takes it: None, a float tensor `[B, H, M, N]`, or a mask object.
    """

    row: Row
    device: str
    leaves: tuple[Any, ...]
    mask: Any

    @property
    def moved_bytes(self) -> int:
        """Bytes that forward must read and write at least; keys shared by a group and expanded masks count once."""
        query, key, value = self.leaves
        stored = query.nbytes * 2 + sum(_stored(tensor) for tensor in (key, value))
        return int(stored + (_stored(self.mask) if hasattr(self.mask, "stride") else 0))

    @property
    def input_bytes(self) -> int:
        """Memory that query, key and value take."""
        return sum(_stored(tensor) for tensor in self.leaves)


def _stored(tensor: Any) -> int:
    sizes = (size for size, stride in zip(tensor.shape, tensor.stride(), strict=True) if stride)
    return int(math.prod(sizes) * tensor.element_size())


def make(row: Row, device: str, seed: int = 0) -> Workload:
    """Random tensors for a row, `[B, M, *heads, K]` as xformers takes them, and its mask."""
    import torch

    from xf2sdpa import compat

    torch.manual_seed(seed)
    dtype, heads = getattr(torch, row["dtype"]), row["heads"]
    leaves: list[Any] = [
        torch.randn(row["batch"], length, *heads, row["k"], device=device, dtype=dtype)
        for length in (row["m"], row["n"], row["n"])
    ]
    if len(heads) == 2:  # grouped: one key head per group, expanded
        leaves[1:] = [leaf[:, :, :, :1].contiguous().expand(leaf.shape) for leaf in leaves[1:]]
    return Workload(row, device, tuple(leaves), mask_of(row, compat, device))


def mask_of(row: Row, namespace: Any, device: str) -> Any:
    """The bias of a row: None, a tensor, or an object of a class in `namespace` (xformers' `attn_bias`, `compat`)."""
    import torch

    kind, batch, m, n = row["mask"], row["batch"], row["m"], row["n"]
    dtype = getattr(torch, row["dtype"])
    if kind == "none":
        return None
    if kind == "tensor":
        if "mask_storage" not in row:
            return torch.randn(batch, *row["heads"], m, n, device=device, dtype=dtype)
        ends = torch.linspace(n / 2, n, batch, device=device).long()
        closed = torch.arange(n, device=device) >= ends[:, None]
        padding = torch.zeros(batch, n, device=device, dtype=dtype).masked_fill_(closed, -math.inf)
        return padding[:, None, None].expand(batch, *row["heads"], m, n)
    if kind == "BlockDiagonalMask":
        lengths = [block["length"] for block in row["blocks"] for _ in range(block["count"])]
        return namespace.BlockDiagonalMask.from_seqlens(lengths, device=torch.device(device))
    return getattr(namespace, kind)(*row.get("window", ()))
