"""Where values come from, and their last cast."""

from __future__ import annotations

from dataclasses import dataclass

from tests.property.options.option import Option


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
