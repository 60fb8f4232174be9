"""The arguments of the call besides the tensors, and how they are written."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tests.property.options.option import Option


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
