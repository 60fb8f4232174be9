"""Where q, k and v come from: expressions that make heads, how they are applied, fused projections, storage."""

from __future__ import annotations

from dataclasses import dataclass

from tests.property.options.option import Option


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
