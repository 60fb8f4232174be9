"""Whether cuDNN's attention gives wrong gradients when the gradient that comes in is laid out otherwise than before.

    python benchmarks/cudnn_gradient_layout.py

Query, key and value are `[B, M, H, K]` transposed to heads first, as xf2sdpa emits them; the result then lies in memory
as `[B, M, H, K]` too. The gradient that reaches it may lie so, or heads first (`out.flatten(0, 1)` gives such a one).
For each shape: the one, the other, and the one again, by cuDNN in the same process; errors are against MATH in float32,
relative to the largest gradient. Seen on an H200 with torch 2.11: the second is wrong, as if it were read in the layout
of the first. Exit status: 0 all right, 1 something is wrong, 3 not run (no CUDA device).
"""

from __future__ import annotations

import itertools
import sys

import torch
import torch.nn.functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

SHAPES = ((2, 48, 4, 32), (2, 256, 8, 64), (4, 1024, 16, 64), (1, 77, 3, 40))
LAYOUTS = ("as the result", "heads first")


def gradients(shape: tuple[int, ...], layout: str, dtype: torch.dtype, backend: SDPBackend) -> list[torch.Tensor]:
    """Gradients of query, key and value, each `[B, M, H, K]`; the same numbers whatever the layout."""
    generator = torch.Generator("cuda").manual_seed(0)
    drawn = [torch.randn(shape, device="cuda", generator=generator).half() for _ in range(4)]
    leaves = [x.to(dtype).requires_grad_() for x in drawn[:3]]
    upstream = drawn[3].to(dtype).transpose(1, 2)
    with sdpa_kernel([backend]):
        out = F.scaled_dot_product_attention(*(x.transpose(1, 2) for x in leaves))
        given = upstream.contiguous() if layout == "heads first" else upstream
        return list(torch.autograd.grad(out, leaves, given))


def main() -> int:
    if not torch.cuda.is_available():
        print("not run: no CUDA device")
        return 3
    print(f"torch {torch.__version__}, cuDNN {torch.backends.cudnn.version()}, {torch.cuda.get_device_name()}")
    wrong = 0
    for (batch, *rest), first in itertools.product(SHAPES, LAYOUTS):
        shape = (batch + LAYOUTS.index(first), *rest)  # a shape of its own for each order: plans are kept by shape
        second = next(layout for layout in LAYOUTS if layout != first)
        for layout, dtype in itertools.product((first, second, first), (torch.float16, torch.bfloat16)):
            exact = gradients(shape, layout, torch.float32, SDPBackend.MATH)
            found = gradients(shape, layout, dtype, SDPBackend.CUDNN_ATTENTION)
            errors = [float((x.float() - y).abs().max() / y.abs().max()) for x, y in zip(found, exact, strict=True)]
            bad = max(errors) > 0.05
            wrong += bad
            told = " ".join(f"{name} {error:.1e}" for name, error in zip("qkv", errors, strict=True))
            name = str(dtype).removeprefix("torch.")
            print(f"{'x'.join(map(str, shape)):14} {name:9} {layout:14} {told} {'WRONG' if bad else ''}", flush=True)
    print(f"{wrong} wrong")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
