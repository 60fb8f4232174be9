"""Names that files hand on to one another: what one file imports, another must not stop binding."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator

from xf2sdpa.analysis.api import is_ours

_FROM = re.compile(
    r"^[ \t]*from[ \t]+(\.*[\w.]*)[ \t]+import[ \t]+(\([^)]*\)|[^\n#;\\]*(?:\\\r?\n[^\n#;]*)*)", re.MULTILINE
)
_NAME = re.compile(r"(\w+)(?:[ \t\n]+as[ \t\n]+\w+)?[ \t\n]*(?:,|$)")
_OURS = re.compile(
    r"^[ \t]*(?:from[ \t]+(?:xformers|mslk)|import[ \t]+[^\n]*(?:xformers|mslk))[^\n(]*(?:\([^)]*\))?",
    re.MULTILINE,
)


def imports_from(text: str) -> Iterator[tuple[str, str]]:
    """Every `from module import name` of a text, as the module's last component and the name."""
    for match in _FROM.finditer(text):
        module = match[1].rpartition(".")[2]
        for name in _NAME.finditer(re.sub(r"#[^\n]*", "", match[2]).strip("() \t\n")):
            yield module, name[1]


def taken_from(text: str, module: str) -> frozenset[str]:
    """The names that a text imports from a module with this last component."""
    return frozenset(name for last, name in imports_from(text) if last == module)


def names_of_ours(text: str) -> set[str]:
    """Words in a text's imports of xformers: whatever they bind is among them."""
    return {word for match in _OURS.finditer(text) for word in re.findall(r"\w+", match[0])}


def handed_on(texts: Iterable[str]) -> dict[str, frozenset[str]]:
    """By the last component of a module's name, the names that some text imports from it."""
    found: dict[str, set[str]] = {}
    for text in texts:
        for module, name in imports_from(text):
            found.setdefault(module, set()).add(name)
    return {module: frozenset(names) for module, names in found.items()}


def bindings_of_ours(text: str) -> dict[str, str]:
    """What the imports of xformers in a text bind, wherever they stand, and what to."""
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError):
        return {}
    found = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and is_ours(node.module):
            found.update({alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names})
        elif isinstance(node, ast.Import):
            ours = (alias for alias in node.names if is_ours(alias.name))
            found.update(
                {a.asname or a.name.partition(".")[0]: a.name if a.asname else a.name.partition(".")[0] for a in ours}
            )
    return found


def dotted_imports(text: str) -> set[str]:
    """The dotted modules that a text imports, absolutely."""
    found = {match[1] for match in _FROM.finditer(text) if not match[1].startswith(".")}
    found |= {
        f"{match[1]}.{name[1]}" for match in _FROM.finditer(text) for name in _NAME.finditer(match[2].strip("() \n"))
    }
    return found | {match[1] for match in re.finditer(r"^[ \t]*import[ \t]+([\w.]+)", text, re.MULTILINE)}
