"""Shapes: the table, the work they are, and the tensors made for them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from xf2sdpa import compat
from xf2sdpa.bench import workloads
from xf2sdpa.bench.model import GUIDE_SHAPE
from xf2sdpa.bench.workloads import Row, ShapesError

SMALL: Row = {"name": "x", "batch": 2, "m": 7, "n": 7, "heads": [2], "k": 8, "dtype": "float32", "source": ""}


def test_the_package_brings_its_table() -> None:
    rows = workloads.read_table()
    assert len(rows) == 24
    assert len({row["name"] for row in rows}) == 24
    assert {row["mask"] for row in rows} == set(workloads.MASKS)


def test_the_guides_row_is_what_the_guide_says() -> None:
    text = (Path(__file__).parent / "performance_guide.txt").read_text("utf-8")
    row = workloads.guide_row()
    assert row["name"] == GUIDE_SHAPE
    assert f"Batch={row['batch']}, Seq={row['m']}, Dim={row['k'] * row['heads'][0]}, Heads={row['heads'][0]}" in text


@pytest.mark.parametrize(
    ("m", "n", "extra"),
    [
        (7, 7, {"mask": "none"}),
        (5, 9, {"mask": "tensor"}),
        (7, 7, {"mask": "LowerTriangularMask"}),
        (5, 9, {"mask": "LowerTriangularMask"}),
        (9, 5, {"mask": "LowerTriangularMask"}),
        (5, 9, {"mask": "LowerTriangularFromBottomRightMask"}),
        (9, 9, {"mask": "LocalAttentionFromBottomRightMask", "window": [2, 1]}),
        (6, 9, {"mask": "LocalAttentionFromBottomRightMask", "window": [2, 3]}),
        (7, 7, {"mask": "BlockDiagonalMask", "blocks": [{"count": 2, "length": 2}, {"count": 1, "length": 3}]}),
    ],
)
def test_pairs_are_those_that_the_mask_lets_through(m: int, n: int, extra: dict[str, Any]) -> None:
    row = SMALL | {"m": m, "n": n} | extra
    mask = workloads.mask_of(row, compat, "cpu")
    if isinstance(mask, torch.Tensor) or mask is None:
        seen = m * n
    else:
        seen = int((mask.materialize((m, n), dtype=torch.float32) == 0).sum())
    assert workloads.visible_pairs(row) == seen
    assert workloads.flops(row) == 4 * 2 * 2 * seen * 8


def test_bytes_count_what_is_stored() -> None:
    plain = workloads.make(SMALL | {"mask": "none"}, "cpu")
    assert plain.input_bytes == 3 * 2 * 7 * 2 * 8 * 4
    assert plain.moved_bytes == 4 * 2 * 7 * 2 * 8 * 4
    grouped = workloads.make(SMALL | {"mask": "none", "heads": [2, 3]}, "cpu")
    one = 2 * 7 * 2 * 8 * 4
    assert grouped.moved_bytes == 2 * 3 * one + 2 * one, "keys of a group are stored once"
    padded = workloads.make(SMALL | {"mask": "tensor", "mask_storage": "expanded"}, "cpu")
    assert padded.moved_bytes - plain.moved_bytes == 2 * 7 * 4, "so is an expanded mask"


@pytest.mark.parametrize("row", workloads.read_table(), ids=lambda row: row["name"])
def test_every_row_can_be_made_small(row: Row) -> None:
    small = workloads.shrunk(row)
    work = workloads.make(small, "cpu")
    assert work.leaves[0].shape == (small["batch"], small["m"], *small["heads"], small["k"])
    assert work.leaves[1].shape[1] == small["n"]
    assert work.leaves[0].dtype == torch.float32
    assert workloads.flops(small) < workloads.flops(row)
    out = compat.memory_efficient_attention(*work.leaves, work.mask)
    assert out.isfinite().all()


def test_the_same_seed_makes_the_same_tensors() -> None:
    first, second = (workloads.make(SMALL | {"mask": "tensor"}, "cpu", seed=3) for _ in range(2))
    assert torch.equal(first.leaves[0], second.leaves[0])
    assert torch.equal(first.mask, second.mask)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[[shape]]\nname = 'x'\nbatch = 1\n", "lacks heads, k, m, n"),
        ("[[shape]\n", "shapes.toml"),
        ("", "no [[shape]]"),
        ("[[shape]]\nname='x'\nbatch=1\nm=1\nn=1\nheads=[1]\nk=8\nmask='Other'\n", "mask is one of"),
    ],
)
def test_a_table_that_cannot_be_used_is_refused(tmp_path: Path, text: str, told: str) -> None:
    file = tmp_path / "shapes.toml"
    file.write_text(text)
    with pytest.raises(ShapesError, match=r"shapes\.toml") as caught:
        workloads.read_table(file)
    assert told in str(caught.value)
