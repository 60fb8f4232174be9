"""The work of a run, file by file: what each must be told of the others."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from xf2sdpa.analysis.api import ATTENTION, is_ours
from xf2sdpa.analysis.foreign import PROCESSOR
from xf2sdpa.analysis.names import below
from xf2sdpa.files.source import Source
from xf2sdpa.helper.text import MODULE_NAME, is_copy
from xf2sdpa.project.files import Project
from xf2sdpa.project.handed_on import HandedOn
from xf2sdpa.project.questions import Questions
from xf2sdpa.rewrite.engine import NEEDLE
from xf2sdpa.rewrite.options import Options
from xf2sdpa.run.options import RunOptions
from xf2sdpa.settings import Settings

_SHIPPED_ALONE = re.compile(r"(^|/)examples/community/[^/]+\.py$")
"""Files that diffusers loads one by one, without what lies beside them."""
_SWITCHES = re.compile(r"\.(enable_xformers\w*|(set_)?use_memory_efficient_attention_xformers)\(|XFormers\w*Processor")
"""Of other libraries: what these ask for is the real package."""
_LIBRARY = "diffusers"
"""Whose switches these are; a fork of it, or a project that carries it along, rewrites it too."""
_CALLS = re.compile(r"\b(memory_efficient_attention|merge_attentions)")
"""As `NEEDLE`, but not in the names of other libraries' switches."""


@dataclass(frozen=True)
class Job:
    """One file to rewrite, as it is handed to a process."""

    source: Source
    options: Options


def jobs_of(project: Project, sources: Sequence[Source], settings: Settings, options: RunOptions) -> Iterator[Job]:
    """The work on each source, told what it must know of the others."""
    handing = HandedOn(project.graph, project.texts)
    taken = handing.taken_from([str(source.path) for source in sources])
    questions = Questions(project.graph, project.texts)
    reached = _reached(project, sources)
    forks = _forks(project)
    calls = any(_CALLS.search(source.text) for source in sources)
    for source in sources:
        if is_copy(source.text):
            continue
        file = str(source.path)
        alone = _SHIPPED_ALONE.search(source.path.as_posix()) is not None
        yield Job(
            source,
            Options(
                settings,
                only_exact=options.only_exact,
                handed_on=taken[file],
                compat=MODULE_NAME if options.helper and not alone else None,
                meanings=handing.meanings_for(file),
                asking=questions.known_to(file),
                reached=file in reached or (calls and not _SWITCHES.search(source.text)),
                migrating=calls,
                loaded_alone=alone,
                own_library=any(home in source.path.resolve().parents for home in forks),
                own_imports=_own_processors(project, source),
                own_functions=_own_functions(project, source),
            ),
        )


def _forks(project: Project) -> set[Path]:
    """The folders whose files mean the project's own copy of the library when they import it."""
    inits = (Path(file).resolve() for file in project.files if file.endswith(f"{_LIBRARY}/__init__.py"))
    homes = (init.parent.parent for init in inits if init.parent.name == _LIBRARY)
    return {home.parent if home.name == "src" else home for home in homes}


def _own_processors(project: Project, source: Source) -> frozenset[str]:
    """What a file imports from its own project under the name that a processor of diffusers has."""
    if "XFormers" not in source.text:
        return frozenset()
    file = str(source.path)
    named = (s for s in project.imports(file) if PROCESSOR.fullmatch(s.name))
    return frozenset(f"{s.source}.{s.name}" for s in named if project.graph.module(file, s.dots, s.module))


def _own_functions(project: Project, source: Source) -> dict[str, str]:
    """The text of functions that a file imports from its own project under the operator's name."""
    if ATTENTION not in source.text or "except" not in source.text:
        return {}
    file, found = str(source.path), {}
    for statement in (s for s in project.imports(file) if s.bound == ATTENTION and not is_ours(s.module)):
        home = project.graph.module(file, statement.dots, statement.module)
        text = _function(project.text(home), statement.name) if home else ""
        if text:
            found[below(statement.source, statement.name)] = text
    return found


def _function(text: str, name: str) -> str:
    """The text of a function at the top of a module that calls SDPA; empty where there is none."""
    try:
        body = ast.parse(text).body if "scaled_dot_product_attention" in text else []
    except (SyntaxError, ValueError, RecursionError):
        return ""
    bound = [s for s in body if isinstance(s, ast.FunctionDef) and s.name == name]
    return ast.unparse(bound[0]) if len(bound) == 1 else ""


def _reached(project: Project, sources: Sequence[Source]) -> set[str]:
    """The files that those with call sites import from, and what these import from."""
    calling = [str(s.path) for s in sources if NEEDLE.search(s.text) and not is_copy(s.text)]
    modules = (file for file in calling if file.endswith(".py"))
    return set().union(*(project.graph.reached_from(file) - {file} for file in modules))
