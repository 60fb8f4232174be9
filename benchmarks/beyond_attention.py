"""What a file uses of xformers besides attention, masks and the helper's operators: found without the tool's analysis.

`corpus.py` asks it which repositories could be rid of xformers at all.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

ROOTS = ("xformers", "mslk")
MODULES = frozenset({"ops", "attention", "fmha", "attn_bias"})
OPERATORS = frozenset({"RMSNorm", "SwiGLU", "index_select_cat", "scaled_index_add", "unbind", "AttentionOp"})
ATTENTION = re.compile(r"memory_efficient_attention(_forward(_requires_grad)?)?|\w+Mask(WithTensorBias)?|AttentionBias")
KERNEL = re.compile(r"MemoryEfficientAttention\w*Op|flash|cutlass|triton")
PRIVATE = re.compile(r"_\w+|Inputs|Context|FwOp|BwOp|common")
SWITCH = re.compile(
    r"^[^#\n]*(?:\.enable_xformers\w*\(|\.set_use_memory_efficient_attention_xformers\(|"
    r"from diffusers[\w.]* import [^\n]*(?:XFormers|is_xformers_available))",
    re.MULTILINE,
)


def other_uses(data: bytes) -> Iterator[str]:
    """The uses of one file, each by its kind."""
    text = data.decode("utf-8", "replace")
    if not any(root in text for root in ROOTS):
        return
    if SWITCH.search(text):
        yield "another library's switch"
    try:
        nodes = list(ast.walk(ast.parse(data)))
    except (SyntaxError, ValueError):
        return
    aliases = dict(_imported(nodes))
    yield from filter(None, map(kind, aliases.values()))
    for node in nodes:
        if isinstance(node, ast.Attribute):
            yield from _of_attribute(node, aliases)
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("version"):
            asked = [argument.value for argument in node.args if isinstance(argument, ast.Constant)]
            if "xformers" in asked:
                yield "version read"


def _imported(nodes: list[ast.AST]) -> Iterator[tuple[str, str]]:
    """What imports of xformers bind, and what to; `import xformers.profiler` counts under its own name too."""
    for node in nodes:
        if isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.split(".")[0] in ROOTS:
                    yield (alias.asname or alias.name, alias.name)
                    if alias.asname is None:
                        yield (alias.name.split(".")[0], alias.name.split(".")[0])
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in ROOTS:
            yield from ((alias.asname or alias.name, f"{node.module}.{alias.name}") for alias in node.names)


def _of_attribute(node: ast.Attribute, aliases: dict[str, str]) -> Iterator[str]:
    dotted = ast.unparse(node)
    first, _, rest = dotted.partition(".")
    if dotted.startswith("torch.ops.xformers"):
        yield "torch.ops.xformers"
    elif first in aliases and re.fullmatch(r"[\w.]+", dotted):
        use = kind(f"{aliases[first]}.{rest}")
        if use:
            yield use
        elif isinstance(node.ctx, ast.Store):
            yield "operator replaced"


def kind(dotted: str) -> str:
    """What a dotted name of xformers is for; empty for attention, masks and the helper's operators."""
    for part in dotted.split(".")[1:]:
        if part in ("__version__", "version", "_has_cpp_library"):
            return "version read"
        if part in OPERATORS or ATTENTION.fullmatch(part):
            known = not re.search("Gappy|Paged", part)
            return "" if known else part
        if KERNEL.fullmatch(part) and "FwOp" not in dotted:
            return ""
        if PRIVATE.fullmatch(part):
            return "private API"
        if part not in MODULES and part not in ("flash", "cutlass", "triton"):
            return f"xformers' {part}"
    return ""
