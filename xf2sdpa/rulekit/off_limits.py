"""Files in which nothing may be rewritten, or which must not get the helper's mask objects.

A file that compares xformers with something else would compare SDPA with itself; one that replaces xformers' operator,
or works with its private parts, needs xformers' own objects.
"""

from __future__ import annotations

import ast
import functools
import re
from collections.abc import Iterator

from xf2sdpa.analysis.api import is_ours
from xf2sdpa.analysis.names import called_name, first_name
from xf2sdpa.rulekit.draft import FileDraft

_PLACE = re.compile(
    r"(^|/)(tests?|bench|benchmarks?)/|(^|/)(test|bench|benchmark)_?[^/]*\.py$|_(test|bench|benchmark)\.py$"
)
_INTERNAL = re.compile(r"\.(_\w+|Inputs|Context)$")
_OPERATOR = re.compile(r"ops(?<!\wops)\s*\.\s*(xformers|mslk)")
_REGISTERED = re.compile(r"torch\.ops\.(xformers|mslk)\w*\.\w+")
_PATCHING = frozenset({"setattr", "delattr", "patch", "object", "multiple"})
"""`setattr`, `monkeypatch.setattr`, `mock.patch`, `mock.patch.object` and `mock.patch.multiple`, by their last part."""
_OTHERS = frozenset(
    {"scaled_dot_product_attention", "flash_attn_func", "flash_attn_qkvpacked_func", "flash_attn_varlen_func",
     "allclose", "assert_close", "assert_allclose", "do_bench", "Timer", "benchmark_forward", "time_fwd_bwd"}
)  # fmt: skip


def is_off_limits(file: FileDraft) -> bool:
    """Whether a file is about xformers itself, so that nothing in it may be rewritten."""
    if file.off_limits is None:
        file.off_limits = is_comparison(file) or next(replacements(file), None) is not None
    return file.off_limits


@functools.lru_cache(maxsize=2)
def bars_helper(file: FileDraft) -> bool:
    """Whether a file must not get the helper's mask objects.

    It is off limits, or it works with private parts of xformers, which know xformers' own mask objects only.
    """
    if registered_operators(file):
        return True
    imported = (f"{s.module}.{a.name}" for s in file.names.imports if isinstance(s, ast.ImportFrom) for a in s.names)
    private = any(is_ours(dotted) and _INTERNAL.search(dotted) for dotted in imported)
    return private or ".FwOp.OPERATOR" in file.text or is_off_limits(file)


@functools.lru_cache(maxsize=2)
def registered_operators(file: FileDraft) -> list[ast.Attribute]:
    """Where a file reads operators that xformers registers with torch: `torch.ops.xformers_flash.flash_fwd`."""
    if _OPERATOR.search(file.text) is None:
        return []
    nodes = file.names.parsed.of(ast.Attribute)
    return [node for node in nodes if _REGISTERED.fullmatch(file.names.resolve(node) or "")]


def replacements(file: FileDraft) -> Iterator[ast.expr]:
    """Where a file puts something in the place of a name inside xformers.

    Not where it replaces a variable of its own project, `net.memory_efficient_attention = mine`.
    By an assignment (`xformers.ops.memory_efficient_attention = mine`), or by a call: `setattr(xops, "…", mine)`,
    `mock.patch.object(xops, "…")`, `monkeypatch.setattr("xformers.ops.…", mine)`.
    """
    yield from (target for target in _stores(file) if is_ours(file.names.resolve(target.value)))
    yield from (call for call in file.names.calls if _patches(file, call))


def _patches(file: FileDraft, call: ast.Call) -> bool:
    """Whether a call replaces an attribute of something of xformers."""
    if called_name(call.func) not in _PATCHING or not call.args:
        return False
    first = call.args[0]
    dotted = first.value if isinstance(first, ast.Constant) else file.names.resolve(first)
    return isinstance(dotted, str) and is_ours(dotted)


def _stores(file: FileDraft) -> Iterator[ast.Attribute]:
    """What is assigned or deleted below a name: the `a.b` of `a.b = c`."""
    attributes = file.names.parsed.of(ast.Attribute) if file.names.may_mean_ours else ()
    for node in attributes:
        if not isinstance(node.ctx, ast.Load) and isinstance(first_name(node), ast.Name):
            yield node


def is_comparison(file: FileDraft) -> bool:
    """Whether a file is there to compare."""
    if not _PLACE.search(file.path.replace("\\", "/")):
        return False
    return any(called_name(call.func) in _OTHERS for call in file.names.calls)
