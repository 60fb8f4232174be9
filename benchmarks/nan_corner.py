"""The NaN gradient of cuDNN's attention with plain SDPA, and that our forms do not have it.

    python benchmarks/nan_corner.py OUT.json

Hopper, torch from 2.11 on (cuDNN is its default there): forward right, gradient NaN, where the key length is
64 modulo 128 and a row's log-sum-exp (lse) is low (pytorch#196678). Each line is one problem, three ways: SDPA
as it is, SDPA with `enable_cudnn_sdp(False)`, and `xf2sdpa.compat`. The sweeps: key lengths; causal with
M != N; head sizes × dtypes × masks; the lse at which it starts; the same with a larger gradient; what leaving
cuDNN costs. Last, rows that a float mask closes wholly: 0 with gradient 0, as in xformers?

Prints the lines that show something, a summary, and writes all as JSON. Exit status: 0 no NaN in our forms,
1 one there, 3 not run (no GPU).
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from shapes import Clock, calls_of, compat, facts_of, inline

HALF = {"bf16": torch.bfloat16, "fp16": torch.float16}
LENGTHS = (64, 65, 128, 160, 191, 192, 193, 256, 257, 320, 448, 576, 704, 832, 1088, 4160)
PAIRS = ((256, 192), (192, 256), (1, 192), (77, 64), (4096, 64), (100, 320), (64, 1024))
WIDTHS = (16, 32, 40, 64, 72, 80, 96, 112, 128, 136, 160, 192, 256)
UNEVEN = ((64, 32), (64, 128), (128, 64), (192, 128))


@dataclass(frozen=True)
class Problem:
    """One line. `mask`: none, bool, float, causal; `lse`: about where the rows' log-sum-exps shall lie."""

    sweep: str
    m: int
    n: int
    mask: str = "none"
    dtype: str = "bf16"
    k: int = 64
    kv: int = 64
    lse: float = -100.0
    upstream: float = 1.0
    """The gradient that reaches the result: a loss scaler makes it large."""


def problems() -> Iterator[Problem]:
    """All sweeps but the costs."""
    for mask in ("none", "float"):
        for n in LENGTHS:
            yield Problem("length", n, n, mask)
        for m, n in PAIRS:
            yield Problem("length", m, n, mask)
    for m, n in ((64, 64), (192, 192), (256, 192), (320, 192), (1024, 64), (128, 192), (193, 192), (192, 320)):
        yield Problem("causal", m, n, "causal")
        yield Problem("causal", m, n, "causal", k=128, kv=128)
        yield Problem("causal", m, n, "causal", "fp16")
    for dtype in HALF:
        for k, kv in (*((width, width) for width in WIDTHS), *UNEVEN):
            for mask in ("none", "bool", "float"):
                yield Problem("head size", 256, 192, mask, dtype, k, kv)
    for mask in ("none", "bool"):
        for lse in (-80.0, -86.0, -87.5, -88.5, -89.5, -91.0, -95.0):
            yield Problem("lse", 256, 192, mask, lse=lse)
        for lse in (-60.0, -30.0, -20.0, -14.0, -12.0, -11.0, -10.0, -8.0, -5.0, 0.0, 5.0):
            yield Problem("lse", 256, 192, mask, "fp16", lse=lse)
    for lse in (-84.0, -80.0, -70.0):
        yield Problem("upstream", 256, 192, lse=lse, upstream=2.0**16)
    for lse in (-8.0, -5.0, -2.0, 0.0, 2.0, 5.0):
        yield Problem("upstream", 256, 192, dtype="fp16", lse=lse, upstream=2.0**10)


def tensors_of(problem: Problem) -> tuple[list[torch.Tensor], torch.Tensor | None]:
    """Query, key, value `[B, M, H, K]`, and the mask: scores are pushed down by one channel, or by the mask."""
    dtype, down = HALF[problem.dtype], math.log(problem.n) + 0.5 - problem.lse
    generator = torch.Generator("cuda").manual_seed(0)
    sizes = ((problem.m, problem.k), (problem.n, problem.k), (problem.n, problem.kv))
    q, k, v = (torch.randn(2, rows, 3, width, device="cuda", generator=generator) for rows, width in sizes)
    if problem.mask == "float":
        return [x.to(dtype) for x in (q, k, v)], torch.full((2, 3, problem.m, problem.n), -down, device="cuda").to(
            dtype
        )
    if problem.mask == "causal":
        down -= math.log(problem.n)  # the first row sees one key only
    push = math.sqrt(max(0.0, down) * problem.k**0.5)
    q[..., 0], k[..., 0] = push, -push
    seen = None
    if problem.mask == "bool":  # in the second batch a tenth of the keys is closed
        seen = torch.ones(2, 1, 1, problem.n, dtype=torch.bool, device="cuda")
        seen[1, ..., problem.n - problem.n // 10 :] = False
        seen = seen.expand(2, 3, problem.m, problem.n)
    return [x.to(dtype) for x in (q, k, v)], seen


def as_bias(problem: Problem, mask: torch.Tensor | None) -> Any:
    """The mask as xformers' callers have it: a mask object, or a float tensor."""
    if problem.mask == "causal":
        return compat.LowerTriangularMask()
    if mask is not None and mask.dtype == torch.bool:
        return torch.zeros(mask.shape, device="cuda", dtype=HALF[problem.dtype]).masked_fill(~mask, -math.inf)
    return mask


def lowest_lse(problem: Problem, q: torch.Tensor, k: torch.Tensor, mask: torch.Tensor | None) -> float:
    """The least log-sum-exp of a row, in float64; infinite where the problem is large."""
    if problem.m * problem.n > 2**21:
        return math.nan
    scores = torch.einsum("bmhk,bnhk->bhmn", q.double(), k.double()) * problem.k**-0.5
    if problem.mask == "causal":
        closed = torch.ones(problem.m, problem.n, dtype=torch.bool, device="cuda").triu(1)
        scores = scores.masked_fill(closed, -math.inf)
    elif mask is not None:
        scores = scores.masked_fill(~mask, -math.inf) if mask.dtype == torch.bool else scores + mask.double()
    return float(scores.logsumexp(-1).min())


@contextmanager
def no_cudnn() -> Iterator[None]:
    """What a user can do by hand."""
    torch.backends.cuda.enable_cudnn_sdp(False)
    try:
        yield
    finally:
        torch.backends.cuda.enable_cudnn_sdp(True)


def nans(attend: Callable[..., torch.Tensor], inputs: list[torch.Tensor], upstream: float) -> str:
    """Which of result and gradients hold a NaN: `-`, or letters of o, q, k, v."""
    leaves = [x.detach().requires_grad_() for x in inputs]
    out = attend(*leaves)
    generator = torch.Generator("cuda").manual_seed(1)
    gradient = torch.randn(out.shape, device="cuda", generator=generator).to(out.dtype) * upstream
    parts = (out, *torch.autograd.grad(out, leaves, gradient))
    return "".join(name for name, part in zip("oqkv", parts, strict=True) if part.isnan().any()) or "-"


def run(problem: Problem) -> dict[str, Any]:
    """One line, three ways."""
    inputs, mask = tensors_of(problem)
    bias = as_bias(problem, mask)
    options: dict[str, Any] = {"is_causal": True} if problem.mask == "causal" else {"attn_mask": mask}
    line = asdict(problem) | {"lowest": lowest_lse(problem, inputs[0], inputs[1], mask)}
    line["plain"] = nans(lambda *xs: inline(*xs, **options), inputs, problem.upstream)
    with no_cudnn():
        line["no_cudnn"] = nans(lambda *xs: inline(*xs, **options), inputs, problem.upstream)
    line["compat"] = nans(lambda *xs: compat.memory_efficient_attention(*xs, bias), inputs, problem.upstream)
    return line


def costs(clock: Clock) -> list[dict[str, Any]]:
    """Forward+backward milliseconds in the corner: cuDNN, and what can take its place."""
    backends = torch.nn.attention.SDPBackend
    names = {"cuDNN": "CUDNN_ATTENTION", "FLASH": "FLASH_ATTENTION", "EFFICIENT": "EFFICIENT_ATTENTION"}

    def pinned(backend: Any, mask: torch.Tensor | None) -> Callable[..., torch.Tensor]:
        def attend(*xs: torch.Tensor) -> torch.Tensor:
            with torch.nn.attention.sdpa_kernel([backend]):
                return inline(*xs, attn_mask=mask)

        return attend

    lines = []
    for width in (64, 128):
        for batch, n in ((64, 64), (16, 192), (16, 320), (16, 448), (16, 576), (16, 1088), (4, 4160)):
            for masked in (False, True):
                inputs = [torch.randn(batch, n, 12, width, device="cuda", dtype=torch.bfloat16) for _ in range(3)]
                mask = torch.zeros(batch, 1, 1, n, device="cuda", dtype=torch.bfloat16) if masked else None
                sides = {name: pinned(getattr(backends, attribute), mask) for name, attribute in names.items()}
                sides["compat's choice"] = lambda q, k, v, mask=mask: compat.memory_efficient_attention(
                    q, k, v, mask if mask is None else mask.expand(q.shape[0], q.shape[2], q.shape[1], k.shape[1])
                )
                if masked:
                    del sides["FLASH"]
                times = clock.medians(calls_of(sides, inputs, True))
                line = {"batch": batch, "n": n, "k": width, "masked": masked}
                lines.append(line | {name: seen["median"] for name, seen in times.items()})
                print("cost", *(f"{name} {value}" for name, value in line.items()), end=": ")
                print(*(f"{name} {seen['median']:.3f}" for name, seen in times.items()), flush=True)
    return lines


def closed_rows() -> list[dict[str, Any]]:
    """Rows without a key under a float mask, also where cuDNN runs: the largest |result| and |gradients| of them."""
    lines = []
    for dtype, n, whole in ((dtype, n, whole) for dtype in HALF for n in (192, 256) for whole in (False, True)):
        q, k, v = (torch.randn(2, rows, 3, 64, device="cuda", dtype=HALF[dtype]) for rows in (256, n, n))
        mask = torch.zeros(2, 3, 256, n, device="cuda", dtype=HALF[dtype])
        mask[1, :, :: 1 if whole else 2] = -math.inf
        for way, attend in (("plain", inline), ("compat", compat.memory_efficient_attention)):
            leaves = [x.detach().requires_grad_() for x in (q, k, v)]
            out = attend(*leaves, **{"attn_mask" if way == "plain" else "attn_bias": mask})
            grads = torch.autograd.grad(out, leaves, torch.ones_like(out))
            rows = slice(None, None, 1 if whole else 2)
            figures = {"out": out[1, rows], "q.grad": grads[0][1, rows]}
            largest = {name: float(x.detach().abs().max()) for name, x in figures.items()}
            finite = all(bool(x.isfinite().all()) for x in (out, *grads))
            lines.append({"dtype": dtype, "n": n, "whole batch": whole, "way": way, **largest, "finite": finite})
            print("closed rows", lines[-1], flush=True)
    return lines


def print_table(lines: list[dict[str, Any]]) -> None:
    """A line for each problem with a NaN, and the parameters of the others."""
    print(
        f"{'sweep':10} {'mask':6} {'dtype':5} {'M':>5} {'N':>5} {'K':>4} {'Kv':>4} {'lse':>7} "
        f"{'grad':>6}  plain no_cudnn compat"
    )
    for line in lines:
        print(
            f"{line['sweep']:10} {line['mask']:6} {line['dtype']:5} {line['m']:5} {line['n']:5} {line['k']:4} "
            f"{line['kv']:4} {line['lowest']:7.1f} {line['upstream']:6.0f}  "
            f"{line['plain']:5} {line['no_cudnn']:8} {line['compat']}"
        )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, help="where the JSON goes")
    parser.add_argument("--no-costs", action="store_true", help="leave the timings out")
    options = parser.parse_args()
    if not torch.cuda.is_available():
        print("not run: no CUDA device; the corner is one of cuDNN on an H100 or H200")
        return 3
    facts = facts_of(None) | {"device": torch.cuda.get_device_name()}
    print(", ".join(f"{name} {value}" for name, value in facts.items() if value))
    lines = [run(problem) for problem in problems()]
    print_table(lines)
    seen = {way: sum(line[way] != "-" for line in lines) for way in ("plain", "no_cudnn", "compat")}
    print(f"{len(lines)} problems; with NaN: " + ", ".join(f"{way} {count}" for way, count in seen.items()))
    closed = closed_rows()
    dear = [] if options.no_costs else costs(Clock("cuda", 7))
    texts = ",\n".join("  " + json.dumps(line) for line in lines)
    head = json.dumps(facts | {"with_nan": seen, "closed_rows": closed, "costs": dear}, indent=1)
    options.out.write_text(head[:-2] + f',\n "problems": [\n{texts}\n ]\n}}\n')
    return 1 if seen["compat"] or not all(line["finite"] for line in closed if line["way"] == "compat") else 0


if __name__ == "__main__":
    sys.exit(main())
