"""What the programs are made of: one table for each dimension, one entry for each of its values.

Texts are templates for `str.format`. In all of them `b` is the batch, `n` the number of queries, `m` of keys,
`h` the heads, `d` the width of a head and `c` = h·d; `{n}` is how the program writes its number of tokens.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Option:
    """A value of a dimension.

    `blocks`: no program with it can be proved in this version. `hard`: it may be left, and if it is migrated,
    it must be right.
    """

    name: str
    blocks: bool = field(default=False, kw_only=True)
    hard: bool = field(default=False, kw_only=True)


# ------------------------------------------------------------------------------------------- imports, guards


@dataclass(frozen=True)
class ImportForm(Option):
    """How xformers is imported, and how its names are then written.

    `names` is the template of an import that lists names; without it, `prefix` leads to any of them.
    """

    lines: tuple[str, ...] = ()
    prefix: str = ""
    names: str = ""
    op: str = "memory_efficient_attention"
    mask_prefix: str = ""
    mask_names: str = ""

    def of_op(self) -> str:
        """The attention function, as the program writes it."""
        return self.op if self.names else self.prefix + "memory_efficient_attention"

    def of(self, name: str) -> str:
        """Another public name of `xformers.ops`."""
        return name if self.names else self.prefix + name

    def of_mask(self, name: str) -> str:
        """A mask class."""
        return name if self.names else (self.mask_prefix or self.prefix) + name

    def statements(self, others: list[str], masks: list[str]) -> list[str]:
        """The import statements of a program that uses these names besides the function."""
        if not self.names:
            return list(self.lines)
        op = "memory_efficient_attention"
        listed = [op if self.op == op else f"{op} as {self.op}", *others]
        found = [self.names.format(names=", ".join(listed + ([] if self.mask_names else masks)))]
        if masks and self.mask_names:
            found.append(self.mask_names.format(names=", ".join(masks)))
        return found


IMPORTS = (
    ImportForm("import xformers.ops", ("import xformers.ops",), "xformers.ops."),
    ImportForm("import xformers, xformers.ops", ("import xformers", "import xformers.ops"), "xformers.ops."),
    ImportForm("import xformers.ops as", ("import xformers.ops as xops",), "xops."),
    ImportForm("from xformers import ops as", ("from xformers import ops as xops",), "xops."),
    ImportForm("from xformers import ops", ("from xformers import ops",), "ops."),
    ImportForm("import xformers as", ("import xformers as xf",), "xf.ops."),
    ImportForm("from xformers.ops import op", names="from xformers.ops import {names}"),
    ImportForm("from xformers.ops import op as", names="from xformers.ops import {names}", op="mea"),
    ImportForm(
        "from fmha.attn_bias import mask",
        names="from xformers.ops import {names}",
        mask_names="from xformers.ops.fmha.attn_bias import {names}",
    ),
    ImportForm(
        "from xformers.ops import fmha",
        ("from xformers.ops import fmha",),
        "fmha.",
        mask_prefix="fmha.attn_bias.",
    ),
    ImportForm("import xformers.ops.fmha as", ("import xformers.ops.fmha as attention",), "attention."),
    ImportForm(
        "from mslk.attention.fmha import op",
        names="from mslk.attention.fmha import {names}",
        mask_names="from mslk.attention.fmha.attn_bias import {names}",
    ),
)


@dataclass(frozen=True)
class Guard(Option):
    """What stands around the import. `goes`: nothing of it is left once every call is migrated."""

    text: str = "{imports}"
    goes: bool = True
    local: bool = False
    check: str = ""


FLAG_CHECK = 'if not XFORMERS_AVAILABLE:\n    raise RuntimeError("the slow path")'
GUARDS = (
    Guard("none"),
    Guard("inside the function", local=True),
    Guard("try, pass", "try:\n{indented}\nexcept ImportError:\n    pass", goes=False),
    Guard("try with another import", "try:\n    import math\n{indented}\nexcept ImportError:\n    math = None"),
    Guard(
        "try, flag",
        "try:\n{indented}\n\n    XFORMERS_AVAILABLE = True\nexcept ImportError:\n    XFORMERS_AVAILABLE = False",
        goes=False,
        check=FLAG_CHECK,
    ),
    Guard(
        "bare except, flag",
        "try:\n{indented}\n    XFORMERS_AVAILABLE = True\nexcept:\n    XFORMERS_AVAILABLE = False",
        goes=False,
        check=FLAG_CHECK,
    ),
    Guard(
        "environment, try, flag",
        'XFORMERS_ENABLED = os.environ.get("XFORMERS_DISABLED") is None\ntry:\n'
        "    if not XFORMERS_ENABLED:\n        raise ImportError\n{indented}\n\n"
        "    XFORMERS_AVAILABLE = True\nexcept ImportError:\n    XFORMERS_AVAILABLE = False",
        goes=False,
        check=FLAG_CHECK,
    ),
    Guard(
        "find_spec, flag",
        'XFORMERS_AVAILABLE = importlib.util.find_spec("xformers") is not None\nif XFORMERS_AVAILABLE:\n{indented}',
        goes=False,
        check=FLAG_CHECK,
    ),
)


@dataclass(frozen=True)
class Naming(Option):
    """How the file names torch's functions. `tokens` is its name for the number of queries."""

    line: str = ""
    tokens: str = "n"


NAMINGS = (
    Naming("import functional as F", "import torch.nn.functional as F"),
    Naming("from nn import functional as F", "from torch.nn import functional as F"),
    Naming("another alias", "import torch.nn.functional as functional"),
    Naming("torch only"),
    Naming("the function itself", "from torch.nn.functional import scaled_dot_product_attention"),
    Naming("F shadowed", "import torch.nn.functional as F", tokens="F"),
)

# ---------------------------------------------------------------------------------- rank: expression and form


@dataclass(frozen=True)
class Expression(Option):
    """What makes heads of `[b, n, c]`, `{t}` being the tensor; by storage order, "" where it cannot."""

    rank: int = 4
    as_written: str = ""
    heads_first: str = ""
    sequence_first: str = ""


EXPRESSIONS = (
    Expression(
        "view",
        4,
        "{t}.view(b, {n}, h, d)",
        "{t}.view(b, {n}, h, d).transpose(1, 2)",
        "{t}.view({n}, b, h, d).transpose(0, 1)",
    ),
    Expression(
        "reshape",
        4,
        "{t}.reshape(b, -1, h, d)",
        "{t}.reshape(b, -1, h, d).permute(0, 2, 1, 3)",
        "{t}.reshape(-1, b, h, d).permute(1, 0, 2, 3)",
    ),
    Expression(
        "unflatten",
        4,
        "{t}.unflatten(-1, (h, d))",
        "{t}.unflatten(2, (h, -1)).transpose(2, 1)",
        "{t}.unflatten(-1, (h, d)).transpose(0, 1)",
    ),
    Expression(
        "einops",
        4,
        'rearrange({t}, "b n (h d) -> b n h d", h=h)',
        'rearrange({t}, "b n (h d) -> b h n d", h=h)',
        'rearrange({t}, "n b (h d) -> b n h d", h=h)',
    ),
    Expression("unsqueeze", 4, "{t}.unsqueeze(2).view(b, {n}, h, d)"),
    Expression("stack", 4, "torch.stack({t}.chunk(h, dim=-1), dim=2)"),
    Expression("fold", 3, "{t}.reshape(b, {n}, h, d).permute(0, 2, 1, 3).reshape(b * h, {n}, d)"),
    Expression(
        "fold, unsqueezed",
        3,
        "{t}.unsqueeze(3).reshape(b, {n}, h, d).permute(0, 2, 1, 3).reshape(b * h, {n}, d).contiguous()",
    ),
    Expression(
        "einops, merged",
        3,
        'rearrange({t}, "b n (h d) -> (b h) n d", h=h)',
        "",
        'rearrange({t}, "n b (h d) -> (b h) n d", h=h)',
    ),
    Expression(
        "flatten",
        3,
        "{t}.view(b, {n}, h, d).transpose(1, 2).flatten(0, 1)",
        "",
        "{t}.view({n}, b, h, d).flatten(1, 2).transpose(0, 1)",
    ),
    Expression("cat", 3, "torch.cat({t}.chunk(h, dim=-1), dim=0)"),
    Expression("view of rows", 3, "", "", "{t}.contiguous().view({n}, b * h, d).transpose(0, 1)"),
)
PARALLEL = {"view": "reshape", "reshape": "view", "fold": "flatten", "einops": "unflatten"}
"""By expression, another one of the same rank that gives the same, for the second arm of a branch."""


@dataclass(frozen=True)
class Form(Option):
    """How an expression is applied to q, k and v. `{q}` stands for the expression applied to `q`."""

    lines: tuple[str, ...] = ()
    method: str = ""
    function: str = ""
    inline: bool = False


FORMS = (
    Form("one expression", inline=True),
    Form("statements", ("q = {q}", "k = {k}", "v = {v}")),
    Form("one statement", ("q, k, v = {q}, {k}, {v}",)),
    Form("map lambda", ("q, k, v = map(lambda t: {e}, (q, k, v))",)),
    Form("list comprehension", ("q, k, v = [{e} for t in (q, k, v)]",)),
    Form("generator", ("q, k, v = ({e} for t in (q, k, v))",)),
    Form("loop", ("parts = []", "for t in (q, k, v):", "    parts.append({e})", "q, k, v = parts")),
    Form(
        "loop, renamed",
        ("parts = []", "for t in [q, k, v]:", "    t = {e}", "    parts += [t]", "q, k, v = parts"),
    ),
    Form("branch", ("if self.training:", "    q = {q}", "else:", "    q = {q2}", "k, v = {k}, {v}")),
    Form("local function", ("def split(t):", "    return {e}", "", "q, k, v = split(q), split(k), split(v)")),
    Form("method", ("q = self.split(q)", "k = self.split(k)", "v = self.split(v)"), method="split"),
    Form("module function", ("q, k, v = (split(t, h) for t in (q, k, v))",), function="split"),
)


@dataclass(frozen=True)
class Fused(Option):
    """How q, k and v come out of one projection `qkv`, `[b, n, 3·c]`, heads first or not."""

    rank: int = 4
    lines: tuple[str, ...] = ()
    heads_first: bool = False


FUSED = (
    Fused("unbind", 4, ("qkv = qkv.reshape(b, {n}, 3, h, d)", "q, k, v = qkv.unbind(2)")),
    Fused("torch.unbind", 4, ("q, k, v = torch.unbind(qkv.view(b, {n}, 3, h, d), dim=2)",)),
    Fused(
        "permute, index",
        4,
        ("qkv = qkv.reshape(b, {n}, 3, h, d).permute(2, 0, 1, 3, 4)", "q, k, v = qkv[0], qkv[1], qkv[2]"),
    ),
    Fused("index", 4, ("qkv = qkv.view(b, {n}, 3, h, d)", "q, k, v = qkv[:, :, 0], qkv[:, :, 1], qkv[:, :, 2]")),
    Fused(
        "permute, unpack",
        4,
        ("q, k, v = qkv.view(b, {n}, 3, h, d).permute(2, 0, 3, 1, 4)",),
        heads_first=True,
    ),
    Fused("einops, unpack", 4, ('q, k, v = rearrange(qkv, "b n (s h d) -> s b n h d", s=3, h=h)',)),
    Fused("chunk", 4, ("q, k, v = (t.view(b, {n}, h, d) for t in qkv.chunk(3, dim=-1))",)),
    Fused("split", 4, ("q, k, v = qkv.view(b, {n}, 3 * h, d).split(h, dim=2)",)),
    Fused("einops, merged, unpack", 3, ('q, k, v = rearrange(qkv, "b n (s h d) -> s (b h) n d", s=3, h=h)',)),
    Fused(
        "permute, flatten",
        3,
        (
            "qkv = qkv.view(b, {n}, 3, h, d).permute(2, 0, 3, 1, 4)",
            "q, k, v = qkv.reshape(3, b * h, {n}, d).unbind(0)",
        ),
    ),
)

STORAGES = (
    Option("as written"),
    Option("fused"),
    Option("heads first, transposed in the call"),
    Option("heads first, transposed by name"),
    Option("sequence first"),
)

# ---------------------------------------------------------------------------------------------------- dtypes


@dataclass(frozen=True)
class Projection(Option):
    """Where the values come from: what `__init__` makes, for each of q, k and v, and how it is applied."""

    init: str = ""
    apply: str = "{x}"
    proves: bool = True
    fused: bool = True


LINEAR = "self.to_{q} = nn.Linear(dim, {width})"
WEIGHT = "self.to_{q} = nn.Parameter(torch.randn(dim, {width}) / dim**0.5)"
PROJECTIONS = (
    Projection("linear", LINEAR, "self.to_{q}({x})"),
    Projection("linear without bias", "self.to_{q} = nn.Linear(dim, {width}, bias=False)", "self.to_{q}({x})"),
    Projection("functional", WEIGHT, "torch.nn.functional.linear({x}, self.to_{q}.t())"),
    Projection("matmul", WEIGHT, "{x} @ self.to_{q}"),
    Projection("torch.matmul", WEIGHT, "torch.matmul({x}, self.to_{q})"),
    Projection("einsum", WEIGHT, 'torch.einsum("xyc,ce->xye", {x}, self.to_{q})'),
    Projection(
        "conv",
        "self.to_{q} = nn.Conv1d(dim, {width}, 1)",
        "self.to_{q}({x}.transpose(1, 2)).transpose(1, 2).contiguous()",
        fused=False,
    ),
    Projection("parameters", proves=False),
)


@dataclass(frozen=True)
class Cast(Option):
    """What happens to the dtype right before the call."""

    lines: tuple[str, ...] = ()
    half: bool = False


CASTS = (
    Cast("none"),
    Cast("bfloat16()", ("q, k, v = q.bfloat16(), k.bfloat16(), v.bfloat16()",), half=True),
    Cast(".to(bfloat16)", ("q, k, v = (t.to(torch.bfloat16) for t in (q, k, v))",), half=True),
    Cast(".to(dtype=float16)", ("q = q.to(dtype=torch.float16)", "k, v = k.to(q.dtype), v.half()"), half=True),
    Cast("norm, cast back", ("q = (q / (q.norm(dim=-1, keepdim=True) + 1)).to(v.dtype)",)),
    Cast("scaled by a parameter", ("q, k, v = q * self.gain, k * self.gain, v * self.gain",), hard=True),
    Cast("values biased", ("v = v + self.gain", "q, k = q.to(v.dtype), k.to(v.dtype)"), hard=True),
    Cast(".to(dtype of the input)", ("q, k, v = (t.to(inputs.dtype) for t in (q, k, v))",), hard=True),
    Cast(".type_as(input)", ("q, k, v = (t.type_as(inputs) for t in (q, k, v))",), hard=True),
    Cast("half branch", ("if self.upcast:", "    q, k, v = q.half(), k.half(), v.half()"), hard=True),
    Cast("float()", ("q, k, v = q.float(), k.float(), v.float()",), blocks=True),
    Cast(".to(float32)", ("q, k, v = map(lambda t: t.to(torch.float32), (q, k, v))",), blocks=True),
    Cast("upcast branch", ("if self.upcast:", "    q, k, v = q.float(), k.float(), v.float()"), blocks=True),
)

# ---------------------------------------------------------------------------------------------- the arguments


@dataclass(frozen=True)
class Mask(Option):
    """The bias: statements before the call and the argument; `{ltm}` is the causal mask class.

    `parameter` is what `forward` and `run` take for it, `values` what the test passes.
    """

    lines: tuple[str, ...] = ()
    argument: str = ""
    causal: bool = False
    tensor: bool = False
    parameter: str = ""
    values: tuple[Any, ...] = ()


BOOLS = (True, False)
MASKS = (
    Mask("omitted"),
    Mask("literal None", (), "None"),
    Mask("None by name", ("bias = None",), "bias"),
    Mask("causal", (), "{ltm}()", causal=True),
    Mask("causal by name", ("bias = {ltm}()",), "bias", causal=True),
    Mask("causal if flag", (), "{ltm}() if flag else None", True, parameter="flag", values=BOOLS),
    Mask("causal if number", (), "{ltm}() if flag else None", True, parameter="flag", values=(0, 2)),
    Mask("causal if not", (), "None if flag else {ltm}()", True, parameter="flag", values=BOOLS),
    Mask("causal if compared", (), "{ltm}() if {tokens} > 4 else None", causal=True),
    Mask(
        "causal if is None",
        ("bias = {ltm}() if flag is None else None",),
        "bias",
        True,
        False,
        "flag",
        (None, 1),
    ),
    Mask(
        "causal by branches",
        ("if flag:", "    bias = {ltm}()", "else:", "    bias = None"),
        "bias",
        True,
        parameter="flag",
        values=(True, False, 0, 2),
    ),
    Mask(
        "causal over default",
        ("bias = None", "if flag:", "    bias = {ltm}()"),
        "bias",
        True,
        False,
        "flag",
        BOOLS,
    ),
    Mask(
        "None over causal",
        ("bias = {ltm}()", "if not flag:", "    bias = None"),
        "bias",
        True,
        False,
        "flag",
        BOOLS,
    ),
    Mask(
        "tensor",
        (
            "bias = torch.zeros({lead}, {tokens}, m, dtype=q.dtype)",
            "bias = bias.masked_fill(torch.ones({tokens}, m, dtype=torch.bool).triu(1), -2.0)",
        ),
        "bias",
        tensor=True,
    ),
    Mask(
        "tensor, in the call",
        ("bias = torch.linspace(-2, 2, {rows} * {tokens} * m).to(q.dtype)",),
        "bias.view({lead}, {tokens}, m)",
        tensor=True,
    ),
    Mask(
        "tensor, cut",
        (
            "bias = torch.zeros({lead}, {tokens}, m + 8, dtype=q.dtype)",
            "bias[{first}] = 1.5",
        ),
        "bias[{colons}, :, :m]",
        tensor=True,
    ),
    Mask(
        "tensor over None",
        ("bias = None", "if flag:", "    bias = torch.ones({lead}, {tokens}, m, dtype=q.dtype).cumsum(-1)"),
        "bias",
        False,
        True,
        "flag",
        BOOLS,
        hard=True,
    ),
    Mask(
        "tensor or causal",
        ("bias = torch.ones({lead}, {tokens}, m, dtype=q.dtype).cumsum(-1)",),
        "{ltm}() if flag else bias",
        True,
        True,
        "flag",
        BOOLS,
        hard=True,
    ),
    Mask(
        "flag changed",
        ("bias = {ltm}() if flag else None", "flag = not flag"),
        "bias",
        True,
        parameter="flag",
        values=BOOLS,
        hard=True,
    ),
    Mask(
        "two conditions",
        ("bias = None", "if flag:", "    if flag > 1:", "        bias = {ltm}()"),
        "bias",
        True,
        parameter="flag",
        values=(0, 1, 2),
        hard=True,
    ),
    Mask(
        "chain of conditions",
        (
            "if flag == 0:",
            "    bias = None",
            "elif flag == 1:",
            "    bias = {ltm}()",
            "else:",
            "    bias = None",
        ),
        "bias",
        True,
        parameter="flag",
        values=(0, 1, 2),
        hard=True,
    ),
    Mask(
        "asked about later",
        (
            "bias = {ltm}() if flag else None",
            "masked = bias is not None",
            "self.scale = 0.5 if masked else 0.1",
        ),
        "bias",
        True,
        parameter="flag",
        values=BOOLS,
        hard=True,
    ),
    Mask("parameter", (), "flag", blocks=True, parameter="flag", values=(None,)),
    Mask(
        "parameter, reassigned",
        ("if flag is not None:", "    flag = flag[:, :1]"),
        "flag",
        False,
        False,
        "flag",
        (None,),
        blocks=True,
    ),
    Mask("attribute", (), "self.mask", blocks=True),
)

STYLES = (
    Option("items of a list", hard=True),
    Option("popped from a list", hard=True),
    Option("walrus", hard=True),
    Option("positional"),
    Option("keywords"),
    Option("all keywords"),
    Option("all positional"),
    Option("several lines"),
    Option("double star", blocks=True),
    Option("star", blocks=True),
)


@dataclass(frozen=True)
class Argument(Option):
    """The text of one argument; "" leaves it out."""

    text: str = ""


DROPOUTS = (
    Argument("omitted"),
    Argument("0.0", "0.0"),
    Argument("attribute", "self.dropout.p"),
    Argument("positive", "0.25"),
    Argument("conditional", "self.dropout.p if self.training else 0.0"),
)
SCALES = (
    Argument("omitted"),
    Argument("None", "None"),
    Argument("literal", "0.2"),
    Argument("expression", "d ** -0.25"),
    Argument("attribute", "self.scale"),
)
OPS = (
    Argument("omitted"),
    Argument("None", "None"),
    Argument("attribute", "self.attention_op"),
    Argument("class", "{flash}"),
    Argument("tuple", "({flash}[0], {flash}[1])"),
    Argument("call", "pick_op()", blocks=True),
)

# ----------------------------------------------------------------------------------------- result, neighbours


@dataclass(frozen=True)
class Use(Option):
    """What becomes of the result. `{call}` is the call; `loose`: its layout need not be kept."""

    rank: int = 4
    lines: tuple[str, ...] = ("return {call}",)
    loose: bool = True
    init: str = ""


def _named(*lines: str) -> tuple[str, ...]:
    return ("out = {call}", *lines)


FLAT = "b, {n}, h * d"
VIEW = "return out.view(b, {n}, h * d)"
USES = (
    Use("reshape", 4, _named("return out.reshape(" + FLAT + ")")),
    Use("reshape, chained", 4, ("return {call}.reshape(" + FLAT + ")",)),
    Use("view", 4, _named(VIEW)),
    Use("view, chained", 4, ("return {call}.view(b, -1, h * d)",)),
    Use("flatten", 4, _named("return out.flatten(2)")),
    Use("rearrange", 4, _named('return rearrange(out, "b n h d -> b n (h d)")')),
    Use("rearrange, nested", 4, ('return rearrange({call}, "b n h d -> b n (h d)")',)),
    Use("return", 4, loose=False),
    Use("return, named", 4, _named("return out"), loose=False),
    Use("tuple", 4, _named("return out, m"), loose=False),
    Use("attribute", 4, ("self.last = {call}", "return self.last"), loose=False),
    Use("attribute, viewed", 4, ("self.last = {call}", "return self.last.view(" + FLAT + ")")),
    Use("transpose, chained", 4, ("out = {call}.transpose(1, 2)", "return out.reshape(b, h, {n} * d)")),
    Use("permute, named", 4, _named("out = out.permute(0, 2, 1, 3)", "return out.reshape(b * h, {n}, d)")),
    Use("cast, view", 4, _named("out = out.to(torch.float64)", VIEW)),
    Use("cast chained, view", 4, ("out = {call}.to(x.dtype)", VIEW)),
    Use(
        "dropout, view",
        4,
        _named("out = torch.nn.functional.dropout(out, 0.0)", "y = out", "return y.view(" + FLAT + ")"),
    ),
    Use("arithmetic, view", 4, _named("out = 2 * out + 1", VIEW)),
    Use("linear", 4, ("return self.mix({call}).flatten(2)",), init="self.mix = nn.Linear(width, width)"),
    Use("view_as", 4, _named("like = torch.empty(" + FLAT + ")", "return out.view_as(like)")),
    Use("two uses", 4, _named("flat = out.reshape(" + FLAT + ")", "return flat, out.view(" + FLAT + ")")),
    Use("list", 4, _named("outs = []", "outs.append(out)", "return outs[0].view(" + FLAT + ")")),
    Use("unfold", 3, _named("return out.reshape(b, -1, {n}, d).permute(0, 2, 1, 3).reshape(b, {n}, -1)")),
    Use(
        "unsqueeze, unfold",
        3,
        _named("return out.unsqueeze(0).reshape(b, h, {n}, d).permute(0, 2, 1, 3).reshape(" + FLAT + ")"),
    ),
    Use("view", 3, _named("return out.view(b, h, {n}, d).transpose(1, 2).flatten(2)")),
    Use("view, chained", 3, ("return {call}.view(b * h * {n}, d)",)),
    Use("rearrange", 3, _named('return rearrange(out, "(b h) n d -> b n (h d)", h=h)')),
    Use("return", 3, loose=False),
    Use("return, named", 3, _named("return out"), loose=False),
    Use("attribute", 3, ("self.last = {call}", "return self.last"), loose=False),
    Use("transpose, chained", 3, ("return {call}.transpose(0, 1).reshape({n}, b * h * d)",)),
    Use("cast, view", 3, _named("out = out.to(torch.float64)", "return out.view(b * h * {n}, d)")),
    Use("linear", 3, ("return self.mix({call}).flatten(1)",), init="self.mix = nn.Linear(width, width)"),
)


HARD_USES = (
    Use("index, view", 4, _named("return out[:, 0].view(b, h * d)"), hard=True),
    Use(
        "branch, view",
        4,
        _named("if self.training:", "    " + VIEW, "return out"),
        hard=True,
    ),
    Use("closure, view", 4, _named("flat = lambda: out.view(" + FLAT + ")", "return flat()"), hard=True),
    Use("method, view", 4, _named("return self.merge(out)"), hard=True),
    Use("method, chained", 4, ("return self.merge({call})",), hard=True),
    Use("walrus, view", 4, ("if (out := {call}) is not None:", "    " + VIEW), hard=True),
    Use("dict, view", 4, ('found = {{"out": {call}}}', 'return found["out"].view(' + FLAT + ")"), hard=True),
    Use("pair, view", 4, ("out, other = {call}, None", VIEW), hard=True),
    Use("conditional, view", 4, _named("y = out if h else q", "return y.view(" + FLAT + ")"), hard=True),
    Use(
        "loop, view",
        4,
        _named("rows = [row.view({n}, h * d) for row in out]", "return rows"),
        hard=True,
    ),
    Use("chunk, view", 4, _named("one = out.chunk(1, dim=1)[0]", "return one.view(" + FLAT + ")"), hard=True),
    Use(
        "like it",
        4,
        _named("return torch.empty_like(out).view(" + FLAT + ").shape, out"),
        loose=False,
        hard=True,
    ),
    Use("method, view", 3, _named("return self.merge(out)"), hard=True),
    Use("index, view", 3, _named("return out[0].view({n} * d)"), hard=True),
    Use(
        "branch, view",
        3,
        _named("if self.training:", "    return out.view(b * h, -1)", "return out"),
        hard=True,
    ),
)


@dataclass(frozen=True)
class Twist(Option):
    """Something around the call that might mislead: functions of the module, text before, blocks around.

    `keeps` must stand in the new text as it stood in the old one.
    """

    module: str = ""
    before: str = ""
    around: str = "{body}"
    keeps: bool = False


OWN_METHOD = """class Pure:
    def memory_efficient_attention(self, q, k, v):
        return q + k + v

    def both(self, q, k, v):
        return self.memory_efficient_attention(q, k, v)"""
SAME_NAMES = """def fold(q, k, v):
    b, h, n = q.shape
    q, k, v = q[0], k[0], v[0]
    return q"""
TWISTS = (
    Twist("none"),
    Twist("comment", before="# out = {op}(q, k, v)", keeps=True),
    Twist("string", before='usage = "out = {op}(q, k, v)"', keeps=True),
    Twist("method of that name", OWN_METHOD, keeps=True),
    Twist("name as parameter", "def through({root}, q, k, v):\n    return {op}(q, k, v)", keeps=True),
    Twist("same names elsewhere", SAME_NAMES),
    Twist("if", around="if h > 0:\n{indented}"),
    Twist("else", around="if h < 0:\n    return None\nelse:\n{indented}"),
    Twist("loop", around="for _ in range(1):\n{indented}"),
    Twist("while", around="while True:\n{indented}", hard=True),
    Twist("try", around="try:\n{indented}\nfinally:\n    x = None", hard=True),
    Twist("no_grad", around="with torch.no_grad():\n{indented}"),
    Twist("autocast off", around='with torch.autocast("cpu", enabled=False):\n{indented}', hard=True),
    Twist("inner function", around="def attend():\n{indented}\n\nreturn attend()", hard=True),
    Twist("rank by flag", before="if q.dim() == 4:\n    m = m", hard=True),
    Twist("deleted later", before="unused = q.shape[0]\ndel unused"),
)


@dataclass(frozen=True)
class Neighbour(Option):
    """What else the file takes from xformers: a name, and code of module level and of `run` that uses it."""

    uses: str = ""
    module: str = ""
    run: str = ""
    second_site: bool = False


NEIGHBOURS = (
    Neighbour("none"),
    Neighbour("class in use", "AttentionBias", run="assert not isinstance(q, {used})"),
    Neighbour("class named", "AttentionOpBase", module="OPERATOR = {used}"),
    Neighbour(
        "a site left",
        module="def wrapper(q, k, v):\n    return {op}(q, k, v)",
        run="other = wrapper(q, k, v)",
        second_site=True,
    ),
)
