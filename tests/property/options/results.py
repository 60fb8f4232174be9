"""What becomes of the result."""

from __future__ import annotations

from dataclasses import dataclass

from tests.property.options.option import Option


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
