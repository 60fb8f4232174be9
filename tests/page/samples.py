"""MADE-UP sample data to look at the pages with, and to test them. No figure in here was measured.

`python -m tests.page.samples FOLDER` writes the page, the Markdown, the JSON and the terminal's text of each sample.
"""

from __future__ import annotations

import dataclasses
import random
import sys
from pathlib import Path

from tests.timing.samples import H200
from xf2sdpa.judging.model import Case, Check, Speed
from xf2sdpa.timing.model import Timing
from xf2sdpa.verify.model import Report, SiteReport, Status
from xf2sdpa.verify.report import baseline, html, json, markdown, text

MADE_UP = "MADE-UP SAMPLE DATA: nothing in this report was measured."
XFORMERS = dataclasses.replace(
    H200, command="xf2sdpa verify src --html report.html -- python train.py --steps 3 (made-up sample)"
)
REFERENCE = dataclasses.replace(
    XFORMERS,
    device="cpu",
    capability=None,
    driver=None,
    cuda=None,
    cudnn=None,
    torch="2.13.0+cpu",
    xformers=None,
    old_path="reference: xformers is installed, but has no kernels for a CPU",
)
SITES = (
    ("src/model/attention.py", "SelfAttention.forward", "exact", "q 32×1024×16×64", 1.35, 1.08),
    ("src/model/attention.py", "CrossAttention.forward", "exact", "q 4×4096×8×40, k 4×77×8×40", 1.18, 3.9),
    ("src/model/temporal.py", "TemporalAttention.forward", "exact", "q 8192×16×8×64", 6.27, 2.03),
    ("src/model/vision.py", "MemEffAttention.forward", "compat", "q 64×257×24×64", 1.27, 1.95),
    (
        "src/model/vision.py",
        "NestedTensorBlock.forward_nested",
        "compat",
        "q 1×14624×24×64, block-diagonal",
        1.26,
        1.19,
    ),
    ("src/model/decoder.py", "CausalSelfAttention.forward", "assumed", "q 1×16384×16×128", 6.56, 0.92),
    ("src/model/decoder.py", "KeyValueCache.attend", "assumed", "q 32×1×32×128, k 32×4096×32×128", 0.5, 1.0),
    (
        "src/model/unet/blocks/attention_processor_with_a_rather_long_name.py",
        "Processor.__call__",
        "exact",
        "q 4×256×8×160",
        1.3,
        5.2,
    ),
)
BEFORE = """xops.memory_efficient_attention(
    query, key, value,
    attn_bias=xops.LowerTriangularMask(), scale=self.scale, p=self.dropout if self.training else 0.0,
)"""
AFTER = """F.scaled_dot_product_attention(
    query.transpose(1, 2), key.transpose(1, 2), value.transpose(1, 2),
    is_causal=True, scale=self.scale, dropout_p=self.dropout if self.training else 0.0,
).transpose(1, 2)"""


def check(rng: random.Random, name: str, dtype: str) -> Check:
    """A check that holds."""
    scale = {"float32": 1e-7, "float16": 5e-4, "bfloat16": 3e-3}[dtype]
    old = scale * 10 ** rng.uniform(-0.6, 0.6) * (1 if name == "output" else 3)
    new = old * 10 ** rng.uniform(-0.4, 0.15)
    return Check(name, ok=True, old_error=old, new_error=new, limit=2 * old + scale / 50)


def timings(rng: random.Random, total: float, speedup: float) -> tuple[Timing, ...]:
    """Old, new and the backends."""
    made = []
    for path, factor, kernel in (
        ("old", 1.0, "FlashAttention-3: flash::enable_sm90<flash::FlashAttnFwdSm90<…>>"),
        ("new", 1 / speedup, "cuDNN: cudnn_generated_fort_native_sdpa_sm90_flash_fprop_wgmma_f16_knob_7_64x64x64"),
        ("cudnn", 1 / speedup, "cuDNN"),
        ("flash", 1.4, "FlashAttention-2"),
        ("efficient", 2.9, "CUTLASS"),
    ):
        time = total * factor * rng.uniform(0.97, 1.03)
        made.append(
            Timing(
                path, time / 3.7, 0.01, time, rng.uniform(0.005, 0.06), int(2e7 * factor), time * 20, kernel, samples=50
            )
        )
    return tuple(made)


def case(rng: random.Random, shape: str, dtype: str, total: float, speedup: float, *, timed: bool) -> Case:
    """A case in which everything holds."""
    names = ("output", "gradient of query", "gradient of key", "gradient of value")
    checks = [Check("shape", ok=True), Check("dtype", ok=True), Check("nan", ok=True)]
    checks += [check(rng, name, dtype) for name in names]
    checks.append(
        Check("exact output", ok=False, message="no kernel that both sides have at this head size", available=False)
    )
    mask = "LowerTriangularMask" if "16384" in shape else "none"
    times = timings(rng, total, speedup) if timed else ()
    return Case(shape, dtype, mask=mask, checks=tuple(checks), timings=times)


def failing(rng: random.Random) -> Case:
    """Keys and values swapped, say."""
    good = case(rng, "q 2×257×8×40, k 2×77×8×40", "float16", 0.2, 1.2, timed=False)
    bad = [
        Check("output", ok=False, old_error=4.1e-4, new_error=0.83, limit=8.3e-4, first_bad=(0, 0, 3, 17)),
        Check("gradient of query", ok=False, old_error=9e-4, new_error=float("nan"), limit=1.9e-3,
              first_bad=(0, 12, 3, 0), message="4,112 of 164,480 elements are NaN in the new path, none in the old"),
        Check("contiguity", ok=False, message="the new result is not contiguous, and a `.view` follows"),
    ]  # fmt: skip
    kept = tuple(check for check in good.checks if check.name not in {"output", "gradient of query"})
    return dataclasses.replace(good, checks=(*kept, *bad), autocast="float16", notes=("dropout taken as 0",))


def report(*, reference: bool = False, copies: int = 1, seed: int = 0) -> Report:
    """Sites of many kinds, `copies` times, one of each other outcome."""
    rng = random.Random(seed)
    made = Report(REFERENCE if reference else XFORMERS, notes=[MADE_UP, "dropout was taken as 0 at 3 call sites"])
    for copy in range(copies):
        for number, (path, name, kind, shape, total, speedup) in enumerate(SITES):
            path_here = path if copies == 1 else path.replace("src/", f"src/part{copy:02}/")
            site = SiteReport(f"{path_here}::{name}#0", path_here, 20 + 31 * number, kind, BEFORE, AFTER, Status.AGREES)
            dtypes = ("bfloat16", "float16", "float32")[: 1 + number % 3]
            site.cases = [case(rng, shape, dtype, total, speedup, timed=not reference) for dtype in dtypes]
            site.calls = 144 * (number + 1)
            if not reference:
                site.speedup = speedup * rng.uniform(0.98, 1.02)
                site.speed = Speed.FASTER if speedup > 1.05 else Speed.SLOWER if speedup < 0.95 else Speed.SAME
            made.sites.append(site)
    if not reference:
        made.sites[
            5
        ].speed_note = "slower at 2 of 3 cases (q 1×16384×16×128 float32: 0.92; q 1×16384×16×128 float16: 0.93)"
    made.sites[2].advice = (
        "EFFICIENT is 1.4 times as fast at these shapes; pin it with "
        "`with sdpa_kernel(SDPBackend.EFFICIENT_ATTENTION):` around the call"
    )
    made.sites += _others(rng)
    return made


def _others(rng: random.Random) -> list[SiteReport]:
    path = "src/model/legacy.py"
    hostile = "</code><script>alert('x')</script> `a|b` ``` @everyone"
    swapped = SiteReport(
        f"{path}::Swapped.forward#0", path, 41, "exact", "mea(q, k, v)", "sdpa(q, v, k)", Status.DIFFERS
    )
    swapped.cases, swapped.calls, swapped.speed_note = [failing(rng)], 12, "no speed: the results differ"
    return [
        swapped,
        SiteReport(f"{path}::Unused.forward#0", path, 77, "exact", "mea(q, k, v)", "sdpa(q, k, v)", Status.NOT_RUN,
                   "the program never came by"),
        SiteReport(f"{path}::compiled#0", path, 90, "compat", "mea(q, k, v, mask)", "compat.mea(q, k, v, mask)",
                   Status.NOT_RUN, "compiled"),
        SiteReport(f"{path}::spanning#1", path, 103, "assumed", "mask = mea_mask(x)\nmea(q, k, v, attn_bias=mask)",
                   f"sdpa(q, k, v)  # {hostile}", Status.NOT_SHADOWED,
                   f"the edit spans statements that cannot run twice: {hostile}"),
    ]  # fmt: skip


def earlier() -> str:
    """An earlier run of `report()`: a site more, one less, another speed, outcome and error."""
    made = report()
    made.environment = dataclasses.replace(made.environment, date="2026-11-01 09:00 UTC", driver="570.86")
    made.sites[5].speedup = 1.21
    made.sites[-3].status = Status.AGREES
    made.sites[0].cases[0] = dataclasses.replace(
        made.sites[0].cases[0],
        checks=tuple(
            dataclasses.replace(c, new_error=c.new_error / 30) if c.new_error else c
            for c in made.sites[0].cases[0].checks
        ),
    )
    gone = dataclasses.replace(
        made.sites.pop(3), id="src/model/removed.py::Gone.forward#0", path="src/model/removed.py"
    )
    made.sites.append(gone)
    return json.render(made)


def main(folder: Path) -> None:
    """Write every sample in every format."""
    import click  # noqa: PLC0415

    folder.mkdir(parents=True, exist_ok=True)
    samples = {"verify": report(), "reference": report(reference=True), "many": report(copies=25)}
    for name, sample in samples.items():
        comparison = baseline.compare(sample, earlier()) if name == "verify" else None
        (folder / f"{name}.html").write_text(html.render(sample, comparison=comparison), encoding="utf-8")
        (folder / f"{name}.md").write_text(markdown.render(sample, comparison=comparison), encoding="utf-8")
        (folder / f"{name}.json").write_text(json.render(sample), encoding="utf-8")
        lines = text.lines(sample, width=120, comparison=comparison)
        (folder / f"{name}.txt").write_text("".join(click.unstyle(line) + "\n" for line in lines), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
