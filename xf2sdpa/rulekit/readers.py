"""Who else reads a name that an import binds: other files, `__all__`, strings, calls that stay."""

from __future__ import annotations

import ast

from xf2sdpa.rulekit.draft import FileDraft
from xf2sdpa.rulekit.quoted import is_annotation, quoted_names


def is_reexported(file: FileDraft, name: str, *, used: bool = False) -> bool:
    """Whether somebody else reads a name. What an `__init__.py` imports and does not use itself, it hands on."""
    handed = file.path.endswith("__init__.py") and not used
    return name in file.handed_on or handed or name in _strings(file)


def _strings(file: FileDraft) -> set[str]:
    """Names that stand in strings where a string is a name: `__all__`, `"xops" in globals()`, quoted annotations."""
    found = quoted_names(file)
    for node in file.names.strings:
        stays = isinstance(node.value, str) and not file.is_gone(node) and not is_annotation(file, node)
        if stays and _names_something(file, node):
            found |= {str(node.value), str(node.value).partition(".")[0].rpartition("[")[2]}
    return found


def _names_something(file: FileDraft, node: ast.Constant) -> bool:
    for parent in file.names.ancestors(node):
        if isinstance(parent, ast.Call):
            return getattr(parent.func, "id", "") in ("getattr", "hasattr", "setattr", "delattr", "eval", "exec")
        if isinstance(parent, ast.Compare):
            return any(isinstance(side, ast.Call) for side in parent.comparators)
        if isinstance(parent, ast.Assign | ast.AugAssign):
            targets = parent.targets if isinstance(parent, ast.Assign) else [parent.target]
            return any(getattr(target, "id", "") == "__all__" for target in targets)
        if isinstance(parent, ast.arg | ast.AnnAssign | ast.FunctionDef | ast.AsyncFunctionDef):
            return True
        if isinstance(parent, ast.stmt):
            break
    return False
