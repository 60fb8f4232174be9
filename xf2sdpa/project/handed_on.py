"""Names that files hand on to one another: what one file imports, another must not stop binding."""

from __future__ import annotations

import ast
import re
from collections.abc import Collection, Iterator

from xf2sdpa.analysis.api import is_ours

_FROM = re.compile(
    r"^[ \t]*from[ \t]+(\.*[\w.]*)[ \t]+import[ \t]+(\([^)]*\)|[^\n#;\\]*(?:\\\r?\n[^\n#;]*)*)", re.MULTILINE
)
_NAME = re.compile(r"(\w+)(?:[ \t\n]+as[ \t\n]+\w+)?[ \t\n]*(?:,|$)")
_ALIASED = re.compile(r"(\w+)(?:[ \t\n]+as[ \t\n]+(\w+))?")
_IMPORT = re.compile(r"^[ \t]*import[ \t]+([\w.]+)(?:[ \t]+as[ \t]+(\w+))?", re.MULTILINE)
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


def star_imports(text: str) -> set[str]:
    """The last components of the modules that a text star-imports."""
    return {match[1].rpartition(".")[2] for match in _FROM.finditer(text) if match[2].strip("() \t") == "*"}


def _unexplained(text: str) -> set[str]:
    """The names that a text reads and does not import by name: a star may bring them."""
    try:
        nodes = list(ast.walk(ast.parse(text)))
    except (SyntaxError, ValueError, RecursionError):
        return set(re.findall(r"\w+", text))
    imports = [alias for node in nodes if isinstance(node, ast.Import | ast.ImportFrom) for alias in node.names]
    bound = {alias.asname or alias.name.partition(".")[0] for alias in imports}
    return {node.id for node in nodes if isinstance(node, ast.Name)} - bound


def read_through(text: str, modules: Collection[str]) -> Iterator[tuple[str, str]]:
    """The attributes that a text reads of modules with these last components: `import shared` … `shared.xops`."""
    local = {alias or name: name for names in _FROM.findall(text) for name, alias in _ALIASED.findall(names[1])}
    for dotted, alias in _IMPORT.findall(text):
        last = dotted.rpartition(".")[2]
        local[alias or last] = last
    for match in re.finditer(r"\b(\w+)\.(\w+)", text):
        module = local.get(match[1], "")
        if module in modules:
            yield module, match[2]


def handed_on(texts: Collection[str], modules: Collection[str] = ()) -> dict[str, frozenset[str]]:
    """By the last component of a module's name, the names that some text imports from it.

    Who star-imports a module may take every name that its text reads. For `modules`, what is read as an attribute
    counts as well.
    """
    found: dict[str, set[str]] = {}
    for text in texts:
        for module, name in read_through(text, modules):
            found.setdefault(module, set()).add(name)
        for module, name in imports_from(text):
            found.setdefault(module, set()).add(name)
        for module in star_imports(text):
            found.setdefault(module, set()).update(_unexplained(text))
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
