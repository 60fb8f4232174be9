"""How a program imports xformers and torch, and what stands around the import."""

from __future__ import annotations

from dataclasses import dataclass

from tests.property.options.option import Option


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
