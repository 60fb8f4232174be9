"""The table of backend flags that matter, or are said to matter, for attention on an H200.

`xf2sdpa explain flags` prints it. Figures are from one H200 with torch 2.11 (cuDNN 9.19), in bf16 unless stated.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable
from dataclasses import dataclass

from xf2sdpa.model import TorchVersion

INSERTED, UPDATED, REMOVED, THEIRS, EDITED, OLD_TORCH, NOWHERE, MANY = (f"XF50{number}" for number in range(1, 9))

MOST_FILES = 3
"""How many entry points get a block unasked: which of a hundred scripts is used, only their owners know."""

NAMED = "is named by --flags-in"
"""Why a file is looked at that a person names."""

CODES = {
    INSERTED: "H200 flags were put into an entry point.",
    UPDATED: "A block of H200 flags was brought up to date.",
    REMOVED: "A block of H200 flags was taken out.",
    THEIRS: "An entry point gets no flag: it gives no reason for one, or sets them itself.",
    EDITED: "A block of H200 flags was edited by hand, or lost a line that marks it, so it stays as it is.",
    OLD_TORCH: "The project admits torch 2.5 to 2.10: from 2.11 on, SDPA takes cuDNN first on a Hopper GPU.",
    NOWHERE: "No entry point was found for the H200 flags: paste the lines where the program starts.",
    MANY: "There are more entry points than get H200 flags unasked: --flags-in FILE names those to edit.",
}

FIRST_TORCH_WITH_CUDNN = (2, 11)
"""The first torch whose SDPA prefers cuDNN on a Hopper GPU; its wheels bring cuDNN 9.19, newer than 9.15.1."""


@dataclass(frozen=True)
class Flag:
    """One flag.

    Attributes:
        name: its name in `--flags`; empty for one that xf2sdpa never sets.
        code: the statement that sets it, with `{torch}` for the module's name.
        effect: what it does; figures are measured.
        brief: the same in a few words, for the report.
        numbers: how it changes results; empty if it does not.
        since: the first torch version that has it.
        source: where these facts come from.
        comment: the comment beside the statement in a file.
        lowers_precision: whether `--flags safe` leaves it out.
        by_default: whether `--flags h200` sets it.
        needs: a module of the standard library that the statement uses.
    """

    name: str
    code: str
    effect: str
    numbers: str
    since: TorchVersion
    source: str
    comment: str = ""
    brief: str = ""
    lowers_precision: bool = False
    by_default: bool = False
    needs: str = ""


TF32 = Flag(
    "tf32",
    '{torch}.set_float32_matmul_precision("high")',
    "float32 matrix products run in TF32: inference of a 24-layer float32 TransformerEncoder (d 1024, batch 32 x 1024) "
    "took 146.9 ms instead of 380.0, 2.59 times as fast. Half precision and SDPA itself do not notice.",
    "Changes rounding: their factors keep 10 bits of mantissa instead of 23.",
    (1, 12),
    "`xf2sdpa bench` on an H200; sets the state of both precision APIs, so that either can be read afterwards",
    brief="float32 matrix products in TF32.",
    comment="TF32 factors (10 bits): fp32 encoder 2.6x",
    lowers_precision=True,
    by_default=True,
)
CUDNN_BENCHMARK = Flag(
    "cudnn-benchmark",
    "{torch}.backends.cudnn.benchmark = True",
    "cuDNN tries its kernels for a convolution at each new shape and keeps the fastest. SDPA does not ask it. Costs "
    "time where shapes keep changing.",
    "Changes only the order of sums: a convolution may take another kernel, not the same one in every run.",
    (1, 0),
    "torch's documentation (reproducibility); no effect on attention",
    brief="cuDNN tries its convolution kernels; attention does not use it.",
    comment="convolutions: kernels tried once a shape",
    by_default=True,
)
AVOID_RECOMPILE = Flag(
    "avoid-recompile",
    'os.environ.setdefault("TORCH_CUDNN_SDPA_AVOID_RECOMPILE", "1")',
    "SDPA's cuDNN kernels without a plan for each new sequence length, which takes tens of milliseconds. Known lengths "
    "get slower, so it is set only by name, where lengths keep changing.",
    "Changes only the order of sums: another kernel of the same precision.",
    (2, 9),
    "tried on an H200; pytorch PR #155958",
    brief="a new sequence length costs SDPA no new cuDNN plan; known lengths get slower.",
    comment="a new length needs no plan; known ones slower",
    needs="os",
)
NAN_GUARD = Flag(
    "nan-guard",
    """\
if {torch}.__version__ >= (2, 11) and ({torch}.backends.cudnn.version() or 92600) < 92600:
    {torch}.backends.cuda.enable_cudnn_sdp(False)""",
    "Keeps SDPA off cuDNN where gradients at key lengths of 64 mod 128 can be NaN in half precision (see "
    "docs/classes.md): with cuDNN before 9.26, that is with torch 2.11 to 2.14. Costs cuDNN's speed there, and nothing "
    "elsewhere.",
    "Another kernel of the same precision; no NaN gradients in the corner.",
    (2, 11),
    "measured with cuDNN 9.19 and 9.26 on an H200; pytorch#196678",
    brief="no NaN gradients at key lengths 64 mod 128 before cuDNN 9.26; slower there.",
    comment="no NaN gradients at key lengths 64 mod 128; slower there",
)
FA4 = Flag(
    "fa4",
    """\
if {torch}.__version__ >= (2, 15):
    with contextlib.suppress(Exception):  # flash-attn-4 is not installed, or not usable
        {torch}.nn.attention.activate_flash_attention_impl("FA4")
        {torch}.backends.cuda.enable_cudnn_sdp(False)""",
    "SDPA without a mask runs FlashAttention-4 instead of cuDNN, where the package flash-attn-4 and torch 2.15 or "
    "newer are installed; otherwise nothing happens. Faster on sequences of 4096 and more, slower on short ones: "
    "`xf2sdpa bench` and `xf2sdpa verify` say which yours are. The first call of each kind of shape compiles for "
    "seconds. With a mask, SDPA is slower than by cuDNN; with dropout it raises RuntimeError, as FlashAttention-4 has "
    "none and cuDNN is off.",
    "Another kernel of the same precision.",
    (2, 15),
    "measured on an H200 (flash-attn-4 4.0 beta, its glue of torch 2.11 mended)",
    brief="FlashAttention-4 in SDPA, where it is installed: long sequences faster, short and masked ones slower; "
    "dropout raises.",
    comment="long sequences: FlashAttention-4 where it is installed; short and masked ones slower, dropout raises",
    needs="contextlib",
)
FLAGS = (TF32, CUDNN_BENCHMARK, AVOID_RECOMPILE, NAN_GUARD, FA4)
"""The flags that xf2sdpa can set."""

NOT_SET = (
    Flag(
        "",
        "torch.backends.cuda.matmul.allow_tf32 = True",
        "The older spelling of the same TF32 switch; torch 2.14 and 2.15 take it without a warning.",
        "As tf32.",
        (1, 7),
        "torch's documentation",
    ),
    Flag(
        "",
        'torch.backends.cuda.matmul.fp32_precision = "tf32"',
        "The newer spelling. After it, reading allow_tf32 or get_float32_matmul_precision() raises RuntimeError, "
        "which breaks libraries that read them.",
        "As tf32.",
        (2, 9),
        "tried on torch 2.13 to 2.15; pytorch#179445",
    ),
    Flag("", "torch.backends.cudnn.allow_tf32 = True", "None: it is the default.", "", (1, 7), "torch's documentation"),
    Flag(
        "",
        "torch.backends.cuda.enable_flash_sdp(True), enable_mem_efficient_sdp(True), enable_math_sdp(True)",
        "None: they are the default.",
        "",
        (2, 0),
        "torch's documentation",
    ),
    Flag(
        "",
        "sdpa_kernel([CUDNN_ATTENTION, …], set_priority=True)",
        "cuDNN first. From torch 2.11 on that is the default on Hopper; the wheels of 2.5 to 2.10 bring a cuDNN older "
        "than 9.15.1, which torch itself keeps back for wrong results. xf2sdpa never moves it forward.",
        "Another kernel; wrong ones with an old cuDNN.",
        (2, 6),
        "pytorch#169849, PR #171627",
    ),
    Flag(
        "",
        "torch.backends.cuda.allow_fp16_bf16_reduction_math_sdp(True)",
        "Only on the unfused path, which a migrated call does not take.",
        "Less accurate there.",
        (2, 5),
        "torch's documentation",
    ),
    Flag(
        "",
        'torch.nn.attention.activate_flash_attention_impl("FA4")',
        "FlashAttention-4 (the package flash-attn-4) inside the FLASH backend, which counts only where FLASH is "
        "chosen. A little faster than xformers' FlashAttention-3 on long sequences, slower on short ones; the first "
        "call of a kind of shape compiles for seconds. Only torch 2.15 takes the results of the newest release. Where "
        "it is installed, xformers 0.0.34 cannot be imported.",
        "Another kernel of the same precision.",
        (2, 15),
        "measured on an H200, under torch 2.11 with its glue patched",
    ),
    Flag(
        "",
        'torch.nn.attention.activate_flash_attention_impl("FA3")',
        "FlashAttention-3 inside the FLASH backend; needs the module flash_attn_interface, and counts only where "
        "FLASH is chosen.",
        "Another kernel.",
        (2, 11),
        "torch's source",
    ),
)
"""Flags that are often advised, and why xf2sdpa does not set them."""

SETS = {
    "h200": tuple(flag.name for flag in FLAGS if flag.by_default),
    "safe": tuple(flag.name for flag in FLAGS if flag.by_default and not flag.lowers_precision),
    "off": (),
}
KEEP = "keep"
"""`--flags keep`: neither add, change nor remove a block. The pre-commit hooks pass it."""
CHOICES = (*SETS, KEEP, *(flag.name for flag in FLAGS))
_BY_NAME = {flag.name: flag for flag in FLAGS}
_WIDEST = 100
"""Columns of a page."""


def chosen(words: Iterable[str]) -> tuple[Flag, ...]:
    """The flags that the words of `--flags` (names of sets and of flags) select, in the table's order."""
    names = {name for word in words for name in SETS.get(word, (word,))}
    return tuple(flag for flag in FLAGS if flag.name in names)


def named(names: Iterable[str]) -> tuple[Flag, ...]:
    """The flags with these names.

    Raises:
        KeyError: there is no such flag.
    """
    return tuple(_BY_NAME[name] for name in names)


def page(width: int = _WIDEST) -> str:
    """The whole table as text, in lines of at most `width` columns; code is shown as it is."""
    parts = [
        "H200 backend flags",
        _wrapped(
            "`xf2sdpa rewrite` puts one marked block of flags after the imports of an entry point: a program whose "
            f"imports lead to a rewritten call. A flag needs a reason: {CUDNN_BENCHMARK.name} a convolution that is "
            f"constructed in what runs, {TF32.name} products of float32 matrices, which are there unless the program "
            "casts all its models to half precision or calls them under autocast, unconditionally; the report tells "
            f"the reason. Where more than {MOST_FILES} entry points give one, none is edited: `--flags-in FILE` names "
            "those that shall be. `--flags h200` (the default) judges "
            f"{' and '.join(SETS['h200'])}; `safe` leaves out what lowers precision ({TF32.name}); `off` takes the "
            "block out again; `keep` leaves every block as it is; names, separated by commas, set a flag without "
            "another reason. A flag that the program sets itself is left to it. From torch 2.11 on no flag is needed "
            "for fast attention on an H200.",
            width,
        ),
        *(_entry(flag, width) for flag in FLAGS),
        "Not set by xf2sdpa:",
        *(_entry(flag, width) for flag in NOT_SET),
    ]
    return "\n\n".join(parts) + "\n"


def entry(name: str, width: int = _WIDEST) -> str | None:
    """The table's entry for one flag, by its name in `--flags`; None if there is no such flag."""
    flag = _BY_NAME.get(name)
    if flag is None:
        return None
    more = _wrapped("`xf2sdpa explain flags` shows all of them, and those that are not set.", width)
    return f"{_entry(flag, width)}\n\n{more}\n"


def _entry(flag: Flag, width: int) -> str:
    title = f"{flag.name}: " if flag.name else "  "
    lines = [
        title + flag.code.format(torch="torch").replace("\n", "\n    "),
        _wrapped(flag.effect, width, 4),
        _wrapped(f"Results: {flag.numbers or 'the same.'}", width, 4),
        _wrapped(f"Since torch {'.'.join(map(str, flag.since))}. Source: {flag.source}.", width, 4),
    ]
    return "\n".join(lines)


def _wrapped(text: str, width: int, indent: int = 0) -> str:
    blank = " " * indent
    return textwrap.fill(text, min(width, _WIDEST), initial_indent=blank, subsequent_indent=blank)
