"""Finds flags that a program sets itself; xf2sdpa does not set these, and only reports them.

A setting counts at any place in the program or in what it imports, with any value, also under a condition; in a
function of another file only if some file mentions that function, so that it may be called.
"""

from __future__ import annotations

import ast
import functools
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from xf2sdpa.analysis.names import called_name
from xf2sdpa.analysis.parsed import Parsed, parse_once
from xf2sdpa.flags.block import blanked
from xf2sdpa.flags.table import AVOID_RECOMPILE, CUDNN_BENCHMARK, FA4, NAN_GUARD, TF32
from xf2sdpa.helper.text import is_copy

_HINTS = (
    *("tf32", "TF32", "fp32_precision", "matmul_precision", "cudnn", "RECOMPILE", "flash_attention_impl"),
    *("sdpa_kernel", "sdp_kernel", "set_deterministic", "deterministic_algorithms", "full_determinism"),
)
_KEYWORD = re.compile(r"(?:benchmark(?<!\wbenchmark)|deterministic(?<!\wdeterministic))\s*=")
"""A text that sets a flag has one of the hints, or this."""
_CALLS = {
    "set_float32_matmul_precision": (TF32,),
    "use_deterministic_algorithms": (CUDNN_BENCHMARK,),
    "set_deterministic": (CUDNN_BENCHMARK,),
    "set_deterministic_debug_mode": (CUDNN_BENCHMARK,),
    "enable_full_determinism": (TF32, CUDNN_BENCHMARK),
    "enable_cudnn_sdp": (AVOID_RECOMPILE, NAN_GUARD, FA4),
    "activate_flash_attention_impl": (FA4,),
    "sdpa_kernel": (AVOID_RECOMPILE, NAN_GUARD, FA4),
    "sdp_kernel": (AVOID_RECOMPILE, NAN_GUARD, FA4),
}
"""Functions of torch, transformers and diffusers, and the flags that a call of each settles."""
_KEYWORDS = {
    "tf32": TF32,
    "allow_tf32": TF32,
    "full_determinism": CUDNN_BENCHMARK,
}
"""Keyword arguments of any call, and the flag that each settles."""
_TRAINER_KEYWORDS = {"benchmark": CUDNN_BENCHMARK, "deterministic": CUDNN_BENCHMARK}
"""Keyword arguments of the functions in `_TRAINERS`, and the flag that each settles."""
_TRAINERS = frozenset({"Trainer", "flags"})
"""Lightning's `Trainer` and `torch.backends.cudnn.flags`."""
_VARIABLES = {
    "NVIDIA_TF32_OVERRIDE": TF32,
    "TORCH_ALLOW_TF32_CUBLAS_OVERRIDE": TF32,
    "TORCH_CUDNN_SDPA_AVOID_RECOMPILE": AVOID_RECOMPILE,
    "TORCH_CUDNN_SDPA_DEPRIORITIZED": AVOID_RECOMPILE,
}
"""Environment variables, and the flag that each settles."""


@dataclass(frozen=True)
class Setting:
    """One place that settles a flag: the flag's name, the line, the code, and the function around it."""

    flag: str
    line: int
    code: str
    function: str = ""


@functools.cache
def settings_in(text: str) -> tuple[Setting, ...]:
    """The settings in one text, in order; none if it does not parse. xf2sdpa's own block and helper do not count."""
    if not _may_set(text) or is_copy(text):
        return ()
    text = blanked(text)
    try:
        found_in = parse_once(text)
    except (SyntaxError, ValueError, RecursionError):
        return ()
    names = dict(pair for node in found_in.of(ast.Import, ast.ImportFrom) for pair in _imported(node))
    nodes = found_in.of(ast.Assign, ast.AnnAssign, ast.AugAssign, ast.Call)
    settled = [(node, flags) for node in nodes if (flags := list(_settled(node, names)))]
    found = {
        Setting(flag, node.lineno, _shown(node), _to_be_called(found_in, node))
        for node, flags in settled
        for flag in flags
    }
    return tuple(sorted(found, key=lambda setting: (setting.line, setting.flag)))


def _may_set(text: str) -> bool:
    return any(hint in text for hint in _HINTS) or (
        ("benchmark" in text or "deterministic" in text) and _KEYWORD.search(text) is not None
    )


def that_count(path: str, reached: Mapping[str, str]) -> dict[str, tuple[str, Setting]]:
    """By flag, the first place that settles it for the program `path`: the file and the setting.

    Args:
        path: the program.
        reached: the texts of all files that run with it, including its own.
    """
    found: dict[str, tuple[str, Setting]] = {}
    for file in sorted(reached, key=lambda file: (file != path, file)):
        for setting in settings_in(reached[file]):
            if setting.flag not in found and (file == path or _may_run(setting.function, reached)):
                found[setting.flag] = (file, setting)
    return found


def _may_run(function: str, reached: Mapping[str, str]) -> bool:
    """Whether a function is mentioned outside of its definition, so that it may run; "" (the module) always runs.

    Copies of the helper module mention none.
    """
    if not function:
        return True
    return any(_mentions(function, text) for text in reached.values())


@functools.cache
def _mentions(function: str, text: str) -> bool:
    return function in text and not is_copy(text) and _is_word(function, text)


def _is_word(function: str, text: str) -> bool:
    return re.search(rf"(?<!def )(?<!class )\b{re.escape(function)}\b", text) is not None


def _settled(node: ast.stmt | ast.Call, names: Mapping[str, str]) -> Iterator[str]:
    """The flags that one node settles."""
    if isinstance(node, ast.Call):
        yield from _by_call(node, names)
    elif isinstance(node, ast.Assign | ast.AnnAssign | ast.AugAssign):
        for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
            yield from _by_target(target, node.value, names)


def _by_target(target: ast.expr, value: ast.expr | None, names: Mapping[str, str]) -> Iterator[str]:
    if isinstance(target, ast.Subscript) and isinstance(target.slice, ast.Constant):
        if target.slice.value in _VARIABLES:
            yield _VARIABLES[target.slice.value].name
    elif isinstance(target, ast.Attribute):
        yield from _by_attribute(_dotted(target, names), value)
    elif isinstance(target, ast.Tuple | ast.List):
        for part in target.elts:
            yield from _by_target(part, None, names)


def _by_attribute(dotted: str, value: ast.expr | None) -> Iterator[str]:
    last = dotted.rpartition(".")[2]
    if last in ("allow_tf32", "fp32_precision"):
        yield TF32.name
    elif "cudnn" in dotted and (last in ("benchmark", "enabled") or (last == "deterministic" and not _is_false(value))):
        yield CUDNN_BENCHMARK.name


def _by_call(node: ast.Call, names: Mapping[str, str]) -> Iterator[str]:
    name = called_name(node.func)
    name = names.get(name, name).rpartition(".")[2] if isinstance(node.func, ast.Name) else name
    if name in _CALLS and not (name.startswith("use_") and node.args and _is_false(node.args[0])):
        yield from (flag.name for flag in _CALLS[name])
    for keyword in node.keywords:
        table = _KEYWORDS | (_TRAINER_KEYWORDS if name in _TRAINERS else {})
        if keyword.arg in table:
            yield table[keyword.arg].name
    texts = [a.value for a in node.args if isinstance(a, ast.Constant) and isinstance(a.value, str)]
    if name in ("setdefault", "putenv", "setattr") and texts:
        if texts[0] in _VARIABLES:
            yield _VARIABLES[texts[0]].name
        elif name == "setattr" and len(node.args) == 3:
            yield from _by_attribute(f"{_dotted(node.args[0], names)}.{texts[0]}", node.args[2])


def _is_false(value: ast.expr | None) -> bool:
    return isinstance(value, ast.Constant) and value.value is False


def _shown(node: ast.AST) -> str:
    text = " ".join(ast.unparse(node).split())
    return text if len(text) <= 80 else text[:79] + "…"


def _to_be_called(file: Parsed, node: ast.AST) -> str:
    """The outermost function or class around a node, which a caller has to name; empty outside of every function."""
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    around = [above for above in file.around(node) if isinstance(above, kinds)]
    return around[-1].name if any(not isinstance(above, ast.ClassDef) for above in around) else ""


def _imported(node: ast.AST) -> Iterator[tuple[str, str]]:
    """The names that an import binds, and their dotted paths."""
    if isinstance(node, ast.ImportFrom):
        yield from ((alias.asname or alias.name, f"{node.module}.{alias.name}") for alias in node.names)
    elif isinstance(node, ast.Import):
        yield from ((alias.asname, alias.name) for alias in node.names if alias.asname)


def _dotted(node: ast.expr, names: Mapping[str, str]) -> str:
    """A dotted expression with its first name as imported: `torch.backends.cudnn.benchmark`."""
    first, dot, rest = ast.unparse(node).partition(".")
    return names.get(first, first) + dot + rest
