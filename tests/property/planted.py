"""Rule bugs, planted on purpose: the property test must find each of them.

A bug changes what the engine gives, as the bug in a rule would: most edit the syntax tree of the new text,
one hides part of the old text from the engine. `Planted.new_text` gives None where the bug would not show.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from tests.property.check import IMPORT, Rewrite
from tests.property.program import Program

SDPA = "scaled_dot_product_attention"
Edit = Callable[[Program, ast.Module], object]


@dataclass(frozen=True)
class Planted:
    """A bug: what it is, and what becomes of a program with it (None: the same as without it)."""

    name: str
    new_text: Callable[[Program, Rewrite], str | None]


# ----------------------------------------------------------------------------------------- tools for edits


def _by_tree(edit: Edit) -> Callable[[Program, Rewrite], str | None]:
    """A bug that edits the syntax tree of the new text."""

    def new_text(program: Program, rewrite: Rewrite) -> str | None:
        text = rewrite(program.text).new
        if text == program.text:
            return None
        tree = ast.parse(text)
        before = ast.unparse(tree)
        edit(program, tree)
        after = ast.unparse(ast.fix_missing_locations(tree))
        return after if after != before else None

    return new_text


def _sdpa_calls(tree: ast.AST) -> Iterator[ast.Call]:
    for node in ast.walk(tree):
        if _is_sdpa(node):
            yield node  # type: ignore[misc]


def _is_method(node: ast.AST, name: str) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == name


def _unwrapped(node: ast.expr, method: str) -> ast.expr:
    """`x` of `x.method(…)`, anything else as it is."""
    return node.func.value if _is_method(node, method) else node  # type: ignore[attr-defined]


class _Unwrap(ast.NodeTransformer):
    """Takes `.method(…)` off every call of SDPA (also off `call.other(…)`)."""

    def __init__(self, method: str) -> None:
        self.method = method

    def visit_Call(self, node: ast.Call) -> ast.AST:
        self.generic_visit(node)
        if not _is_method(node, self.method):
            return node
        inner = node.func.value  # type: ignore[attr-defined]
        return inner if _is_sdpa(_start(inner)) else node


def _start(node: ast.expr) -> ast.expr:
    """`f(…)` of `f(…).a(…).b(…)`."""
    while isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and not _is_sdpa(node):
        node = node.func.value
    return node


def _is_sdpa(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and ast.unparse(node.func).endswith(SDPA)


def _drop_keyword(tree: ast.AST, *names: str) -> None:
    for call in _sdpa_calls(tree):
        call.keywords = [keyword for keyword in call.keywords if keyword.arg not in names]


# -------------------------------------------------------------------------------------------------- the bugs


def _input_transpose_missing(program: Program, tree: ast.Module) -> None:
    for call in _sdpa_calls(tree):
        if call.args:
            call.args[0] = _unwrapped(call.args[0], "transpose")
        for keyword in call.keywords:
            if keyword.arg == "query":
                keyword.value = _unwrapped(keyword.value, "transpose")


def _output_transpose_missing(program: Program, tree: ast.Module) -> None:
    _Unwrap("transpose").visit(tree)


def _transposed_instead_of_unsqueezed(program: Program, tree: ast.Module) -> None:
    for node in ast.walk(tree):
        if (_is_method(node, "unsqueeze") or _is_method(node, "squeeze")) and ast.unparse(node).endswith("(1)"):
            node.func.attr = "transpose"  # type: ignore[attr-defined]
            node.args = [ast.Constant(1), ast.Constant(2)]  # type: ignore[attr-defined]


def _scale_dropped(program: Program, tree: ast.Module) -> None:
    _drop_keyword(tree, "scale")


def _causal_dropped(program: Program, tree: ast.Module) -> None:
    _drop_keyword(tree, "is_causal")


def _condition_inverted(program: Program, tree: ast.Module) -> None:
    for call in _sdpa_calls(tree):
        for keyword in call.keywords:
            if keyword.arg == "is_causal" and not isinstance(keyword.value, ast.Constant):
                keyword.value = ast.UnaryOp(ast.Not(), keyword.value)


NEW_NAMES = {"attn_bias": ("attn_mask", "is_causal"), "p": ("dropout_p",), "scale": ("scale",)}


def _neighbour_of_op_dropped(program: Program, tree: ast.Module) -> None:
    for node in ast.walk(ast.parse(program.text)):
        names = [keyword.arg for keyword in node.keywords] if isinstance(node, ast.Call) else []
        if "op" in names and (before := names[: names.index("op")]):
            _drop_keyword(tree, *NEW_NAMES.get(before[-1] or "", ()))


def _key_and_value_swapped(program: Program, tree: ast.Module) -> None:
    for call in _sdpa_calls(tree):
        if len(call.args) > 2:
            call.args[1], call.args[2] = call.args[2], call.args[1]


def _result_not_made_contiguous(program: Program, tree: ast.Module) -> None:
    _Unwrap("contiguous").visit(tree)


def _view_left_a_view(program: Program, tree: ast.Module) -> None:
    old = {ast.unparse(node) for node in ast.walk(ast.parse(program.text)) if _is_method(node, "view")}
    for node in ast.walk(tree):
        if _is_method(node, "reshape") and ast.unparse(node).replace(".reshape(", ".view(") in old:
            node.func.attr = "view"  # type: ignore[attr-defined]
    if "view, chained" in program.traits["use"]:
        for node in ast.walk(tree):
            if _is_method(node, "reshape") and _is_sdpa(_start(node)):  # type: ignore[arg-type]
                node.func.attr = "view"  # type: ignore[attr-defined]


def _tensor_mask_dropped(program: Program, tree: ast.Module) -> None:
    _drop_keyword(tree, "attn_mask")


def _mask_unsqueezed_elsewhere(program: Program, tree: ast.Module) -> None:
    for call in _sdpa_calls(tree):
        for keyword in call.keywords:
            if keyword.arg == "attn_mask":
                keyword.value = _unwrapped(keyword.value, "unsqueeze")


def _import_removed_while_used(program: Program, rewrite: Rewrite) -> str | None:
    text = rewrite(program.text).new
    if text == program.text or program.traits["neighbour"] == "none":
        return None
    return IMPORT.sub(lambda found: re.match(r"\s*", found[0])[0] + "pass", text)  # type: ignore[index]


def _upcast_not_seen(program: Program, rewrite: Rewrite) -> str | None:
    """The engine sees a program without its upcast; what it makes of that keeps it."""
    casts = (
        "if self.upcast:\n            q, k, v = q.float(), k.float(), v.float()",
        "q, k, v = q.float(), k.float(), v.float()",
        "q, k, v = map(lambda t: t.to(torch.float32), (q, k, v))",
    )
    cast = next((cast for cast in casts if cast in program.text), "")
    if not cast:
        return None
    seen = rewrite(program.text.replace(cast, "q, k, v = q, k, v"))
    if not any(site.kind.value == "exact" for site in seen.sites):
        return None
    return seen.new.replace("q, k, v = q, k, v", cast)


BUGS = (
    Planted("an input is not transposed", _by_tree(_input_transpose_missing)),
    Planted("the result is not transposed back", _by_tree(_output_transpose_missing)),
    Planted("3-D is transposed instead of unsqueezed", _by_tree(_transposed_instead_of_unsqueezed)),
    Planted("scale is dropped", _by_tree(_scale_dropped)),
    Planted("the causal mask is dropped", _by_tree(_causal_dropped)),
    Planted("the condition of the causal mask is inverted", _by_tree(_condition_inverted)),
    Planted("the neighbour of op= goes with it", _by_tree(_neighbour_of_op_dropped)),
    Planted("k and v are swapped", _by_tree(_key_and_value_swapped)),
    Planted("the result is not made contiguous", _by_tree(_result_not_made_contiguous)),
    Planted("a view of the result stays a view", _by_tree(_view_left_a_view)),
    Planted("a tensor mask is dropped", _by_tree(_tensor_mask_dropped)),
    Planted("a 3-D mask is broadcast onto heads", _by_tree(_mask_unsqueezed_elsewhere)),
    Planted("an import is removed while it is used", _import_removed_while_used),
    Planted("an upcast is not seen", _upcast_not_seen),
)
