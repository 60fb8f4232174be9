"""The work of a run, file by file: what each must be told of the others."""

from __future__ import annotations

import ast
import functools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xf2sdpa.analysis.api import ATTENTION, is_ours
from xf2sdpa.analysis.names import below
from xf2sdpa.analysis.parsed import parse_once
from xf2sdpa.files.listing import list_files
from xf2sdpa.files.source import Source
from xf2sdpa.helper.from_copies import meanings_in, names_in
from xf2sdpa.helper.text import MODULE_NAME, PACKAGE_NAME, is_copy
from xf2sdpa.project.callers import Callers
from xf2sdpa.project.files import Project
from xf2sdpa.project.gradients import names_mask_objects, takes_no_gradient
from xf2sdpa.project.handed_on import HandedOn
from xf2sdpa.project.index import Index
from xf2sdpa.project.library_subclasses import has_own_switches, inherited_in, subclasses_in
from xf2sdpa.project.never_passed import NeverPassed, never_passed
from xf2sdpa.project.passed import Passed, passed
from xf2sdpa.project.questions import Questions
from xf2sdpa.project.replaced import Replaced
from xf2sdpa.rewrite.engine import GUARD_NEEDLE, NEEDLE
from xf2sdpa.rewrite.options import Options
from xf2sdpa.run.options import RunOptions
from xf2sdpa.settings import Settings
from xf2sdpa.uninstall.library_pin import newest_admitted
from xf2sdpa.uninstall.torch_pin import excluded

_SHIPPED_ALONE = re.compile(r"(^|/)examples/community/[^/]+\.py$")
"""Files that diffusers loads one by one, without what lies beside them."""
_SWITCHES = re.compile(r"\.(enable_xformers\w*|(set_)?use_memory_efficient_attention_xformers)\(|XFormers\w*Processor")
"""Of other libraries: what these ask for is the real package."""
_LIBRARY = "diffusers"
"""Whose switches these are; a fork of it, or a project that carries it along, rewrites it too."""
_CALLS = re.compile(r"\b(memory_efficient_attention|merge_attentions)")
"""As `NEEDLE`, but not in the names of other libraries' switches."""
_FROM = re.compile(r"^[ \t]*from\s+[\w.]+\s+import\s+(?:\([^)]*\)|[^\n\\]*(?:\\\r?\n[^\n\\]*)*)", re.MULTILINE)
_RENAMED = re.compile(r"\b(?:memory_efficient_attention\w*|merge_attentions)\s+as\s+(\w+)")
_FED = re.compile(r"op(?<!\wop)\s*=\s*self\s*\.\s*(\w+)")
"""An attribute that is given as the operator's kernel."""
_FLAG = re.compile(r"^[ \t]*(\w+)[ \t]*=[ \t]*(True|False)\b", re.MULTILINE)


@dataclass(frozen=True)
class Job:
    """One file to rewrite, as it is handed to a process."""

    source: Source
    options: Options


def jobs_of(
    project: Project,
    sources: Sequence[Source],
    settings: Settings,
    options: RunOptions,
    around: Sequence[Source] = (),
) -> Iterator[Job]:
    """The work on each source, told what it must know of the others and of those around, which are not worked on."""
    handing = HandedOn(project.graph, project.texts)
    taken = handing.taken_from([str(source.path) for source in sources])
    ours = {str(source.path): {*handing.ours(str(source.path))} for source in sources}
    for file in ours if options.returning else ():
        ours[file] |= names_in(project, file)
    fed = {str(source.path): {*_FED.findall(source.text)} for source in sources}
    elsewhere = handing.read_elsewhere({file: names | fed[file] for file, names in ours.items()})
    variables = {str(source.path): ours[str(source.path)] | _flags(source.text) for source in sources}
    replaced = Replaced(handing, project.graph, project.texts).of(variables)
    questions = Questions(project.graph, project.texts)
    everything = [*sources, *around]
    reached = _reached(project, everything)
    forks = _forks(project)
    users = [source for source in everything if _uses_operator(source.text)]
    calling = [str(source.path) for source in users if not is_copy(source.text)]
    unpassed, given = _by_callers(project, calling) if not options.only_exact else ({}, {})
    masks = _of_masks(project, settings, everything)
    own_switches = has_own_switches(source.text for source in everything)
    for source in sources:
        if is_copy(source.text):
            continue
        file = str(source.path)
        alone = _SHIPPED_ALONE.search(source.path.as_posix()) is not None
        yield Job(
            Source(
                source.path, b"", source.text, source.encoding, source.bom, source.newline
            ),  # a process needs no more
            Options(
                settings,
                only_exact=options.only_exact,
                handed_on=taken[file],
                replaced=replaced[file],
                elsewhere=elsewhere[file],
                compat=_helper(options) if not alone or options.helper == "import" else None,
                meanings=handing.meanings_for(file) | (meanings_in(project, file) if options.returning else {}),
                asking=questions.known_to(file),
                reached=file in reached or (bool(users) and not _SWITCHES.search(source.text)),
                migrating=bool(users),
                loaded_alone=alone,
                own_library=any(home in source.path.resolve().parents for home in forks),
                own_modules=_own_modules(project, source),
                own_functions=_own_functions(project, source),
                never_passed=unpassed.get(file, {}),
                passed=given.get(file, {}) if not alone else {},
                seen=options.seen.get(source.path.resolve(), {}),
                **masks,
                **_of_diffusers(project, source, own_switches=own_switches),
            ),
        )


def _by_callers(project: Project, calling: Sequence[str]) -> tuple[dict[str, NeverPassed], dict[str, Passed]]:
    """What callers tell of the functions with calls: the masks that nothing passes, and what is passed."""
    index = Index(project, functools.partial(meanings_in, project))
    callers = Callers(index)
    return never_passed(index, callers, calling), passed(index, callers, calling)


def _of_masks(project: Project, settings: Settings, sources: Sequence[Source]) -> dict[str, Any]:
    """What must be known for masks: why they need no guard, if so, and whether the project makes mask objects."""
    if not any(ATTENTION in source.text or GUARD_NEEDLE.search(source.text) for source in sources):
        return {"plain_masks": None, "mask_objects": True}
    return {
        "plain_masks": _plain_masks(project, settings),
        "mask_objects": names_mask_objects(project.texts.values()),
    }


def _of_diffusers(project: Project, source: Source, *, own_switches: bool) -> dict[str, Any]:
    """What a file that switches diffusers to xformers must know: classes that are diffusers', its newest release."""
    if not any(word in source.text for word in ("_xformers", "XFormers", "attention_backend")):
        return {}
    known = frozenset() if own_switches else subclasses_in(project, str(source.path))
    inherited = inherited_in(project, str(source.path))
    return {
        "subclasses": known,
        "inherited": inherited,
        "own_switches": own_switches,
        "diffusers": newest_admitted(_LIBRARY, source.path),
    }


def _uses_operator(text: str) -> bool:
    """Whether a text reads the operator, by any name, or speaks of it: to import it and do no more is no use."""
    if not (NEEDLE.search(text) and _CALLS.search(text)):
        return False
    rest = _FROM.sub("", text)
    names = _RENAMED.findall(text)
    return bool(_CALLS.search(rest)) or any(re.search(rf"\b{name}\b", rest) for name in names)


def _flags(text: str) -> set[str]:
    """The variables that a text sets to True in one place and to False in another."""
    found = set(_FLAG.findall(text))
    return {name for name, value in found if value == "True" and (name, "False") in found}


def _helper(options: RunOptions) -> str | None:
    """The module that files import the helper by, before a copy has its place; None if there is to be none."""
    return {"copy": MODULE_NAME, "import": PACKAGE_NAME, "none": None}[options.helper]


_WITH_THE_CORNER = ((2, 11), (2, 14))
"""The torch versions whose SDPA prefers a cuDNN that can give NaN gradients."""
_NO_GRADIENT = "nothing in this project takes a gradient"


def _plain_masks(project: Project, settings: Settings) -> str | None:
    """Why masked calls need no guard in a project: empty if its torch is, an assumption; None if they need one."""
    first, last = _WITH_THE_CORNER
    if settings.torch is not None and settings.torch > last:
        return ""
    root = Path(project.root)
    if settings.torch is None and excluded(root, first, last):
        return ""
    whole = not project.lacking(list_files([root]))
    return _NO_GRADIENT if whole and takes_no_gradient(project.texts, root) else None


def _forks(project: Project) -> set[Path]:
    """The folders whose files mean the project's own copy of the library when they import it."""
    inits = (Path(file).resolve() for file in project.files if file.endswith(f"{_LIBRARY}/__init__.py"))
    homes = (init.parent.parent for init in inits if init.parent.name == _LIBRARY)
    return {home.parent if home.name == "src" else home for home in homes}


def _own_modules(project: Project, source: Source) -> frozenset[str]:
    """The modules that a file imports by absolute paths and that are files of its own project."""
    file, graph = str(source.path), project.graph
    found = set()
    for statement in (s for s in project.imports(file) if not s.dots):
        whole = f"{statement.module}.{statement.name}".strip(".")
        if graph.module(file, 0, statement.module) or graph.candidates(file, statement):
            found.add(statement.module)
        elif graph.module(file, 0, whole):  # of a folder without `__init__.py`
            found.add(whole)
    return frozenset(found)


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
        body = parse_once(text).tree.body if "scaled_dot_product_attention" in text else []
    except (SyntaxError, ValueError, RecursionError):
        return ""
    bound = [s for s in body if isinstance(s, ast.FunctionDef) and s.name == name]
    return ast.unparse(bound[0]) if len(bound) == 1 else ""


def _reached(project: Project, sources: Sequence[Source]) -> set[str]:
    """The files that those with call sites import from, and what these import from."""
    calling = [str(s.path) for s in sources if NEEDLE.search(s.text) and not is_copy(s.text)]
    modules = (file for file in calling if file.endswith((".py", ".ipynb")))
    return set().union(*(project.graph.reached_from(file) - {file} for file in modules))
