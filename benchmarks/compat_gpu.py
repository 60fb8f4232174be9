"""The compat module against the real xformers kernels, on a CUDA machine.

    python benchmarks/compat_gpu.py OUT.json [--cases 2000]
    python benchmarks/compat_gpu.py OUT.json --cases 120 --rehearse      # on the CPU: tries this script only

60 shapes (mask class × rank × lengths × head size), seeds until `--cases` is reached, bf16 and fp16 in turn,
forward and, where xformers has a backward, the gradients of query, key and value. The judge is float64: with

    error = max |x - reference|,   unit = eps(dtype) * max |reference|

a case holds if error(new) <= 2 * error(old) + unit, for the result and for each gradient, and nothing of the
new side is NaN. Two shapes lie in the corner where cuDNN's gradient is NaN (`depth`). Where xformers refuses
the case, the old side is the definition in plain torch and the same dtype; the table counts those apart.

Prints a table and writes JSON. Exit status: 0 all hold, 1 one does not, 3 not run (no GPU or no xformers).
"""

from __future__ import annotations

import argparse
import json
import math
import random
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
sys.path.insert(0, str(ROOT / "tests" / "compat"))

try:
    import xformers
    from compat_oracle import Case, bias_like, expected, real_masks
    from xformers.ops import fmha

    from xf2sdpa import compat
except ImportError as missing:
    print(f"not run: {missing}")
    sys.exit(3)

DEVICE = "cuda"


@dataclass(frozen=True)
class Shape:
    """One line of the table. `lens` are (queries, keys) of packed sequences, or of slots with `padding`."""

    kind: str
    dims: tuple[int, ...] = ()
    heads: tuple[int, ...] = (8,)
    width: int = 64
    value_width: int = 0
    lens: tuple[tuple[int, ...], tuple[int, ...]] = ((), ())
    padding: int = 0
    window: tuple[int, ...] = ()
    scale: float | None = None
    storage: str = "as is"
    depth: float = 0.0
    """Lowers every score by about this much: log-sum-exps below -88 are where cuDNN's gradient is NaN."""


def lengths(seed: int, count: int, low: int, high: int) -> tuple[int, ...]:
    rng = random.Random(seed)
    return tuple(rng.randint(low, high) for _ in range(count))


def longer(lens: tuple[int, ...], seed: int) -> tuple[int, ...]:
    rng = random.Random(seed)
    return tuple(n + rng.randint(0, 60) for n in lens)


MIXED = lengths(1, 12, 1, 150)
FEW = (64, 64, 64, 257, 257, 50, 50, 50, 50)
CROPS = (*(257,) * 8, *(50,) * 16)
SLOTS = lengths(2, 8, 1, 96)
ONES = (1,) * 8


def shapes() -> list[Shape]:
    """The 60."""
    bmhk, heads_first = "as is", "heads first"
    dense = [
        Shape("none", (4, 256, 256), storage="one key head"),
        Shape("none", (2, 257, 257), width=80, storage="fused"),
        Shape("none", (2, 333, 333), storage=heads_first),
        Shape("none", (3, 128, 77), width=40),
        Shape("none", (2, 64, 64), width=128, scale=0.25),
        Shape("none", (2, 96, 160), width=64, value_width=32),
        Shape("none", (16, 256, 256), (), width=40),
        Shape("none", (8, 200, 77), (), width=160),
        Shape("none", (2, 256, 256), (2, 4), width=128),
        Shape("none", (2, 256, 192), depth=120.0),
        Shape("tensor", (2, 128, 128)),
        Shape("tensor", (2, 200, 72), width=40, storage="fused"),
        Shape("tensor", (4, 256, 192), storage=heads_first),
        Shape("tensor", (2, 256, 192), depth=120.0),
        Shape("tensor", (8, 128, 128), (), width=64),
        Shape("tensor", (2, 128, 128), (2, 2)),
        Shape("tensor 2-D", (2, 128, 128)),
        Shape("tensor B*H", (2, 128, 136)),
        Shape("LowerTriangularMask", (2, 256, 256)),
        Shape("LowerTriangularMask", (2, 333, 333), width=128, storage="fused"),
        Shape("LowerTriangularMask", (2, 100, 160)),
        Shape("LowerTriangularMask", (2, 160, 100)),
        Shape("LowerTriangularMask", (8, 256, 256), (), width=64),
        Shape("LowerTriangularMask", (2, 192, 192), (2, 4), width=64),
        Shape("LowerTriangularMaskWithTensorBias", (2, 128, 128)),
        Shape("LowerTriangularMaskWithTensorBias", (2, 64, 192)),
        Shape("LowerTriangularFromBottomRightMask", (2, 256, 256)),
        Shape("LowerTriangularFromBottomRightMask", (2, 128, 300), storage=bmhk),
        Shape("LowerTriangularFromBottomRightMask", (2, 200, 264), width=96),
        Shape("LowerTriangularFromBottomRightMask", (4, 1, 300)),
        Shape("LowerTriangularFromBottomRightMask", (2, 64, 256), (2, 4)),
        Shape("LowerTriangularFromBottomRightLocalAttentionMask", (2, 300, 200), window=(64,)),
        Shape("LowerTriangularFromBottomRightLocalAttentionMask", (2, 200, 300), window=(33,)),
        Shape("LocalAttentionFromBottomRightMask", (2, 512, 512), window=(64, 64)),
        Shape("LocalAttentionFromBottomRightMask", (2, 300, 300), window=(16, 0), storage="fused"),
        Shape("LocalAttentionFromBottomRightMask", (2, 256, 320), window=(20, 40), width=128),
    ]
    packed = [
        Shape("BlockDiagonalMask", lens=(MIXED, MIXED)),
        Shape("BlockDiagonalMask", lens=(MIXED, longer(MIXED, 3)), width=128),
        Shape("BlockDiagonalMask", lens=(CROPS, CROPS), storage="fused"),
        Shape("BlockDiagonalMask", lens=((120,) * 4, (77, 30, 50, 120)), width=72),
        Shape("BlockDiagonalMask", lens=(MIXED, MIXED), scale=0.3),
        Shape("BlockDiagonalMask", lens=(MIXED, MIXED), heads=(2, 4)),
        Shape("BlockDiagonalCausalMask", lens=(CROPS, CROPS)),
        Shape("BlockDiagonalCausalMask", lens=(FEW, FEW), width=128),
        Shape("BlockDiagonalCausalMask", lens=(MIXED, longer(MIXED, 4))),
        Shape("BlockDiagonalCausalMask", lens=(longer(MIXED, 5), MIXED)),
        Shape("BlockDiagonalCausalFromBottomRightMask", lens=(MIXED, longer(MIXED, 6))),
        Shape("BlockDiagonalCausalFromBottomRightMask", lens=(ONES, longer(ONES, 7)), width=128),
        Shape("BlockDiagonalCausalLocalAttentionMask", lens=(MIXED, MIXED), window=(32,)),
        Shape("BlockDiagonalCausalLocalAttentionMask", lens=(MIXED, longer(MIXED, 8)), window=(32,)),
        Shape("BlockDiagonalCausalLocalAttentionFromBottomRightMask", lens=(MIXED, MIXED), window=(40,)),
        Shape(
            "BlockDiagonalCausalLocalAttentionFromBottomRightMask",
            lens=(MIXED, longer(MIXED, 9)),
            window=(40,),
        ),
        Shape("BlockDiagonalPaddedKeysMask", lens=(ONES, SLOTS), padding=96),
        Shape("BlockDiagonalPaddedKeysMask", lens=(SLOTS, SLOTS), padding=128),
        Shape("BlockDiagonalCausalWithOffsetPaddedKeysMask", lens=(ONES, SLOTS), padding=96, width=128),
        Shape(
            "BlockDiagonalCausalWithOffsetPaddedKeysMask",
            lens=(ONES, SLOTS),
            padding=96,
            heads=(2, 4),
            width=128,
        ),
        Shape("BlockDiagonalCausalWithOffsetPaddedKeysMask", lens=(SLOTS, SLOTS), padding=96),
        Shape("BlockDiagonalCausalWithOffsetPaddedKeysMask", lens=((4,) * 8, longer((4,) * 8, 10)), padding=64),
        Shape("BlockDiagonalLocalAttentionPaddedKeysMask", lens=(SLOTS, SLOTS), padding=96, window=(16, 16)),
        Shape("BlockDiagonalCausalLocalAttentionPaddedKeysMask", lens=(ONES, SLOTS), padding=96, window=(20,)),
    ]
    return dense + packed


def problem_of(shape: Shape, seed: int, dtype: torch.dtype) -> Any:
    """The shape with this seed, as a `Case` of the tests' oracle."""
    if shape.dims:
        batch, m, n = shape.dims
    else:
        batch, m = 1, sum(shape.lens[0])
        n = shape.padding * len(shape.lens[1]) or sum(shape.lens[1])
    sizes = tuple(
        (batch, rows, *shape.heads, width)
        for rows, width in ((m, shape.width), (n, shape.width), (n, shape.value_width or shape.width))
    )
    return Case(
        kind=shape.kind,
        seed=seed,
        rank=len(sizes[0]),
        make=maker(shape, (batch, *shape.heads, m, n), seed, dtype),
        shapes=sizes,
        scale=shape.scale,
        storage=shape.storage,
        expands=len(shape.heads) == 2 or shape.storage == "one key head",
    )


def maker(shape: Shape, full: tuple[int, ...], seed: int, dtype: torch.dtype) -> Callable[[Any], Any]:
    """The bias of a shape, from a namespace of mask classes; tensors already rounded to `dtype`."""

    def tensor(size: tuple[int, ...]) -> torch.Tensor:
        drawn = torch.randn(size, generator=torch.Generator().manual_seed(seed + 1), dtype=torch.float64)
        return (drawn - shape.depth).to(dtype)

    def packed(ns: Any) -> Any:
        if shape.padding:
            factory = "from_seqlens_local" if shape.window else "from_seqlens"
            return getattr(getattr(ns, shape.kind), factory)(shape.lens[0], shape.padding, shape.lens[1], *shape.window)
        mask = ns.BlockDiagonalMask.from_seqlens(list(shape.lens[0]), list(shape.lens[1]))
        change = {
            "BlockDiagonalCausalMask": "make_causal",
            "BlockDiagonalCausalFromBottomRightMask": "make_causal_from_bottomright",
            "BlockDiagonalCausalLocalAttentionMask": "make_local_attention",
            "BlockDiagonalCausalLocalAttentionFromBottomRightMask": "make_local_attention_from_bottomright",
        }.get(shape.kind)
        return getattr(mask, change)(*shape.window) if change else mask

    sizes = {"tensor": full, "tensor 2-D": full[-2:], "tensor B*H": (math.prod(full[:-2]), *full[-2:])}
    if shape.kind == "none":
        return lambda _: None
    if shape.kind in sizes:
        return lambda _: tensor(sizes[shape.kind])
    if shape.kind == "LowerTriangularMaskWithTensorBias":
        return lambda ns: ns.LowerTriangularMaskWithTensorBias(tensor(full))
    if shape.dims:
        return lambda ns: getattr(ns, shape.kind)(*shape.window)
    return packed


def inputs_of(problem: Any, shape: Shape, dtype: torch.dtype) -> list[torch.Tensor]:
    """Query, key, value; with `depth` and no bias, one channel of query and key lowers all scores."""
    q, k, v = problem.inputs(dtype, DEVICE)
    if shape.depth and shape.kind == "none":
        q, k = q.clone(), k.clone()
        push = math.sqrt(shape.depth * shape.width**0.5)
        q[..., 0], k[..., 0] = push, -push
    return [q, k, v]


def attempt(function: Callable[..., torch.Tensor], inputs: list[torch.Tensor], trains: bool) -> list[torch.Tensor]:
    """[result, gradients …], the gradients under the same random upstream gradient for every function."""
    leaves = [x.detach().requires_grad_(trains) for x in inputs]
    out = function(*leaves)
    if not trains:
        return [out]
    upstream = torch.randn(out.shape, generator=torch.Generator().manual_seed(5)).to(torch.bfloat16)
    return [out.detach(), *torch.autograd.grad(out, leaves, upstream.to(out.device, out.dtype))]


def judge(old: list[torch.Tensor], new: list[torch.Tensor], reference: list[torch.Tensor]) -> list[dict[str, float]]:
    """For the result and each gradient: both errors, the unit, and whether the criterion holds."""
    verdicts = []
    for a, b, want in zip(old, new, reference, strict=True):
        unit = float(torch.finfo(b.dtype).eps * want.abs().max())
        errors = [float((x.double() - want).abs().max()) for x in (a, b)]
        holds = math.isfinite(errors[1]) and (errors[1] <= 2 * errors[0] + unit or not math.isfinite(errors[0]))
        verdicts.append({"old": errors[0], "new": errors[1], "unit": unit, "holds": holds and a.shape == b.shape})
    return verdicts


def run_case(shape: Shape, seed: int, dtype: torch.dtype) -> dict[str, Any]:
    """One case on both sides."""
    problem = problem_of(shape, seed, dtype)
    inputs = inputs_of(problem, shape, dtype)

    def with_bias(function: Callable[..., torch.Tensor], namespace: Any) -> Callable[..., torch.Tensor]:
        return lambda q, k, v: function(q, k, v, bias_like(q, real_bias(namespace)), scale=problem.scale)

    def real_bias(namespace: Any) -> Any:
        bias = problem.make(namespace)
        exact = {"tensor 2-D", "tensor B*H"} & {shape.kind}
        if namespace is real_masks and exact:  # older forms: xformers 0.0.21 and later want all four dimensions
            bias = bias.expand(shape.dims[0], *shape.heads, *bias.shape) if bias.ndim == 2 else bias
            bias = bias.reshape(shape.dims[0], *shape.heads, *bias.shape[-2:]).contiguous()
        return bias

    old_function = with_bias(fmha.memory_efficient_attention, real_masks)
    refused = None
    trains = len(shape.heads) != 2  # 5-D has no backward in xformers
    try:
        old = attempt(old_function, inputs, trains)
    except (NotImplementedError, ValueError, RuntimeError) as error:
        if isinstance(error, torch.cuda.OutOfMemoryError):
            raise
        refused = f"{type(error).__name__}: {error}".splitlines()[0]
        old = attempt(lambda *xs: expected(problem, *xs), inputs, trains)
    new = attempt(with_bias(compat.memory_efficient_attention, compat), inputs, trains)
    reference = attempt(lambda *xs: expected(problem, *xs), [x.double() for x in inputs], trains)
    return {"seed": seed, "dtype": str(dtype)[6:], "refused": refused, "parts": judge(old, new, reference)}


def run_shape(shape: Shape, count: int) -> dict[str, Any]:
    """All seeds of one shape, and its line in the table."""
    cases = [run_case(shape, seed, (torch.bfloat16, torch.float16)[seed % 2]) for seed in range(count)]
    failed = [c for c in cases if not all(part["holds"] for part in c["parts"])]
    worst = max(part["new"] / max(part["old"], part["unit"]) for c in cases for part in c["parts"])
    size = "×".join(map(str, shape.dims)) or f"{len(shape.lens[0])} sequences"
    refused = sum(c["refused"] is not None for c in cases)
    print(
        f"{shape.kind:54} {size:14} {len(shape.heads) + 3}-D K={shape.width:3} "
        f"{len(cases):5} {refused:7} {len(failed):6} {worst:9.2f}",
        flush=True,
    )
    reasons = sorted({c["refused"] for c in cases if c["refused"]})
    return {
        "shape": asdict(shape),
        "cases": len(cases),
        "refused": refused,
        "reasons": reasons,
        "failed": failed,
        "worst": worst,
    }


def why_not() -> str:
    """Why the real xformers cannot run here; empty if it can."""
    if not torch.cuda.is_available():
        return "no CUDA device"
    q = torch.zeros(1, 16, 2, 64, device="cuda", dtype=torch.float16)
    try:
        fmha.memory_efficient_attention(q, q, q)
    except (NotImplementedError, RuntimeError) as error:
        return f"xformers does not work here: {error}".splitlines()[0]
    return ""


def main() -> int:
    global DEVICE  # noqa: PLW0603
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, help="where the JSON goes")
    parser.add_argument("--cases", type=int, default=2000)
    parser.add_argument("--rehearse", action="store_true", help="on the CPU, the old side in plain torch")
    options = parser.parse_args()
    if options.rehearse:
        DEVICE = "cpu"
    elif reason := why_not():
        print(f"not run: {reason}")
        return 3
    facts: dict[str, Any] = {
        "device": "CPU, a rehearsal without xformers' kernels" if options.rehearse else torch.cuda.get_device_name(),
        "torch": torch.__version__,
        "cudnn": torch.backends.cudnn.version(),
        "xformers": xformers.__version__,
        "criterion": "error(new) <= 2 * error(old) + eps(dtype) * max|reference|, judge float64",
    }
    print(", ".join(f"{name} {value}" for name, value in facts.items()))
    print(f"{'kind':54} {'shape':14} {'rank, K':9} {'cases':>5} {'refused':>7} {'failed':>6} {'new/old':>9}")
    all_shapes, began = shapes(), time.perf_counter()
    share, rest = divmod(options.cases, len(all_shapes))
    rows = [run_shape(shape, share + (i < rest)) for i, shape in enumerate(all_shapes)]
    facts["cases"] = sum(row["cases"] for row in rows)
    facts["refused"] = sum(row["refused"] for row in rows)
    facts["failed"] = sum(len(row["failed"]) for row in rows)
    facts["seconds"] = round(time.perf_counter() - began, 1)
    print(", ".join(f"{name} {facts[name]}" for name in ("cases", "refused", "failed", "seconds")))
    options.out.write_text(json.dumps(facts | {"shapes": rows}, indent=1) + "\n")
    return 1 if facts["failed"] else 0


if __name__ == "__main__":
    sys.exit(main())
