"""Classes of a project that derive from diffusers' classes, by the names under which each file imports them.

`class Pipeline(DiffusionPipeline)` has diffusers' switch to xformers and passes it on to its parts. If no file of the
project has code of its own behind such a switch, objects of the class are treated as diffusers' own.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable

from xf2sdpa.analysis.names import below
from xf2sdpa.analysis.parsed import parse_once
from xf2sdpa.project.files import Project

_METHODS = r"(?:enable_xformers\w*|set_use_memory_efficient_attention_xformers|_memory_efficient_attention_xformers)"
_OWN = re.compile(
    rf"^[ \t]+(?:async )?def {_METHODS}|(?:\.|\bsetattr\([^()]*['\"]){_METHODS}(?:['\"]|\s*=[^=])"
    r"|_use_memory_efficient_attention_xformers\s*(?::\s*bool\s*)?=",
    re.MULTILINE,
)
"""Code of a project's own that such a switch reaches: methods, and what is put in their place; no bare function."""
_INHERITED = ("_memory_efficient_attention_xformers", "_use_memory_efficient_attention_xformers")
"""What the first releases of diffusers gave their classes, and copies of these still do."""
_FURTHEST = 3


def has_own_switches(texts: Iterable[str]) -> bool:
    """Whether some text has code behind a switch to xformers."""
    return any(_OWN.search(text) for text in texts)


def inherited_in(project: Project, file: str) -> frozenset[str]:
    """Those of diffusers' methods and attributes that a file it imports from its own project defines, and it uses."""
    used = [name for name in _INHERITED if f".{name}" in project.text(file)]
    homes = {
        h for s in project.imports(file) if used and (h := project.graph.module(file, s.dots, s.module)) is not None
    }
    texts = [project.text(home) for home in homes - {file}]
    return frozenset(name for name in used if any(f"def {name}(" in t or f"self.{name} =" in t for t in texts))


def subclasses_in(project: Project, file: str) -> frozenset[str]:
    """The classes that a file imports from its own project and that derive from one of diffusers', by dotted path."""
    found = set()
    for statement in project.imports(file):
        if statement.name[:1].isupper():
            home = project.graph.module(file, statement.dots, statement.module)
            if home is not None and _derives(project, home, statement.name, 0):
                found.add(below(statement.source, statement.name))
    return frozenset(found)


def _derives(project: Project, file: str, name: str, depth: int) -> bool:
    """Whether a module has a class of that name, or hands one on, that derives from a class of diffusers."""
    try:
        tree = parse_once(project.text(file)).tree if depth <= _FURTHEST else ast.Module([], [])
    except (SyntaxError, ValueError, RecursionError):
        return False
    defined = [node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == name]
    wanted = {base.id for node in defined for base in node.bases if isinstance(base, ast.Name)} or {name}
    for statement in project.imports(file):
        if statement.bound not in wanted and statement.name not in wanted:
            continue
        home = project.graph.module(file, statement.dots, statement.module)
        if home is None and defined and statement.module.partition(".")[0] == "diffusers" and not statement.dots:
            return True
        if home is not None and home != file and _derives(project, home, statement.name, depth + 1):
            return True
    return False
