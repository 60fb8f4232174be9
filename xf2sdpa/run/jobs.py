"""The work of a run, file by file: what each must be told of the others."""

from __future__ import annotations

import ast
import functools
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

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
from xf2sdpa.project.others import OtherFiles
from xf2sdpa.project.questions import Questions
from xf2sdpa.project.ranks_from_callers import FromCallers, ranks_from_callers
from xf2sdpa.project.replaced import Replaced
from xf2sdpa.project.stars import Stars
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


_ASKED = re.compile(r"^(\w+)[ \t]*=[ \t]*(?!=)[^\n]*\b(?:find_spec|is_\w*available)\(", re.MULTILINE)
_PRIVATE = re.compile(r"^[ \t]*(_\w+)[ \t]*=[ \t]*(?:True\b|[^\n]*(?:xformers|mslk))", re.MULTILINE)
"""A private variable that may say whether xformers is there."""


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
    everything = [*sources, *around]
    users = [source for source in everything if _uses_operator(source.text)]
    shared = Options(settings, only_exact=options.only_exact, compat=_helper(options), migrating=bool(users))
    others = OtherFiles(project)
    steps = (
        _masks(project, everything, settings),
        _names(project, sources, returning=options.returning),
        _surroundings(project, everything),
        _diffusers(project, everything),
        _callers(project, others, users, options),
        _others(others, users),
    )
    for source in sources:
        if is_copy(source.text):
            continue
        told = shared
        for tell in steps:
            told = tell(source, told)
        if _is_alone(source):
            helper = told.compat if options.helper == "import" else None
            told = replace(told, loaded_alone=True, compat=helper, passed={})
        yield Job(_needed(source), told)


_Step = Callable[[Source, Options], Options]
"""Adds to what one source is told, having asked the project once."""


def _needed(source: Source) -> Source:
    """What a process needs of a source: its text, and not the bytes, nor the rest of a notebook."""
    return Source(source.path, b"", source.text, source.encoding, source.bom, source.newline)


def _is_alone(source: Source) -> bool:
    return _SHIPPED_ALONE.search(source.path.as_posix()) is not None


def _masks(project: Project, sources: Sequence[Source], settings: Settings) -> _Step:
    """Why masks need no guard, if so, and whether the project makes mask objects."""
    if not any(ATTENTION in source.text or GUARD_NEEDLE.search(source.text) for source in sources):
        return lambda _, told: told
    plain, objects = _plain_masks(project, settings), names_mask_objects(project.texts.values())
    return lambda _, told: replace(told, plain_masks=plain, mask_objects=objects)


def _names(project: Project, sources: Sequence[Source], *, returning: bool) -> _Step:
    """What files hand on to one another, put in the place of one another's names, and ask one another."""
    handing, questions = HandedOn(project.graph, project.texts), Questions(project.graph, project.texts)
    stars = Stars(project.graph, project.texts)
    texts = {str(source.path): source.text for source in sources}
    taken = handing.taken_from([*texts])
    ours = {file: {*handing.ours(file), *(names_in(project, file) if returning else ())} for file in texts}
    asked = {file: {*_FED.findall(text), *_PRIVATE.findall(text)} for file, text in texts.items()}
    elsewhere = handing.read_elsewhere({file: ours[file] | names for file, names in asked.items()})
    variables = {file: ours[file] | _flags(text) for file, text in texts.items()}
    replacing = Replaced(handing, project.graph, project.texts)
    replaced = replacing.of(variables)
    lowered = replacing.lowered({file: _flags(text) for file, text in texts.items()})

    def tell(source: Source, told: Options) -> Options:
        file = str(source.path)
        return replace(
            told,
            handed_on=taken[file],
            replaced=replaced[file] | lowered[file],
            elsewhere=elsewhere[file],
            meanings=handing.meanings_for(file) | (meanings_in(project, file) if returning else {}),
            asking=questions.known_to(file),
            starred=stars.known_to(file),
        )

    return tell


def _surroundings(project: Project, sources: Sequence[Source]) -> _Step:
    """What the file imports of its own project, and whether files with call sites import it."""
    reached, forks = _reached(project, sources), _forks(project)

    def tell(source: Source, told: Options) -> Options:
        return replace(
            told,
            reached=str(source.path) in reached or (told.migrating and not _SWITCHES.search(source.text)),
            own_library=any(home in source.path.resolve().parents for home in forks),
            own_modules=_own_modules(project, source),
            own_functions=_own_functions(project, source),
        )

    return tell


def _diffusers(project: Project, sources: Sequence[Source]) -> _Step:
    """What a file that switches diffusers to xformers must know: classes that are diffusers', its newest release."""
    own_switches = has_own_switches(source.text for source in sources)

    def tell(source: Source, told: Options) -> Options:
        if not any(word in source.text for word in ("_xformers", "XFormers", "attention_backend")):
            return told
        file = str(source.path)
        return replace(
            told,
            subclasses=frozenset() if own_switches else subclasses_in(project, file),
            inherited=inherited_in(project, file),
            own_switches=own_switches,
            diffusers=newest_admitted(_LIBRARY, source.path),
        )

    return tell


def _callers(project: Project, others: OtherFiles, users: Sequence[Source], options: RunOptions) -> _Step:
    """What callers, and recorded runs, tell of the functions with calls: masks that nothing passes, what is passed."""
    if options.only_exact:
        unpassed: Mapping[str, NeverPassed] = {}
        ranks: Mapping[str, FromCallers] = {}
    else:
        index = Index(project, functools.partial(meanings_in, project), others.of)
        callers = Callers(index)
        calling = [str(source.path) for source in users if not is_copy(source.text)]
        unpassed, ranks = never_passed(index, callers, calling), ranks_from_callers(index, callers, calling)

    def tell(source: Source, told: Options) -> Options:
        file, seen = str(source.path), options.seen.get(source.path.resolve(), {})
        return replace(told, never_passed=unpassed.get(file, {}), passed=ranks.get(file, {}), seen=seen)

    return tell


def _others(others: OtherFiles, users: Sequence[Source]) -> _Step:
    """What the other files change of what a file with calls shows."""
    files = {str(source.path) for source in users if not is_copy(source.text)}
    return lambda source, told: replace(told, others=others.of(str(source.path))) if str(source.path) in files else told


def _uses_operator(text: str) -> bool:
    """Whether a text reads the operator, by any name, or speaks of it: to import it and do no more is no use."""
    if not (NEEDLE.search(text) and _CALLS.search(text)):
        return False
    rest = _FROM.sub("", text)
    names = _RENAMED.findall(text)
    return bool(_CALLS.search(rest)) or any(re.search(rf"\b{name}\b", rest) for name in names)


def _flags(text: str) -> set[str]:
    """The variables that a text sets to True in one place and to False in another, or to what is asked of xformers."""
    found = set(_FLAG.findall(text))
    both = {name for name, value in found if value == "True" and (name, "False") in found}
    return both | set(_ASKED.findall(text))


def _helper(options: RunOptions) -> str | None:
    """The module that files import the helper by, before a copy has its place; None if there is to be none."""
    return {"copy": MODULE_NAME, "import": PACKAGE_NAME, "none": None}[options.helper]


_WITH_THE_CORNER = ((2, 11), (2, 14))
"""The torch versions whose SDPA prefers a cuDNN that can give NaN gradients."""
_ENOUGH = (2, 5)
"""The newest torch that any rewritten call needs: a requirement of one older release may become `torch>=2.5`."""
_NO_GRADIENT = "nothing in this project takes a gradient"


def _plain_masks(project: Project, settings: Settings) -> str | None:
    """Why masked calls need no guard in a project: empty if its torch is, an assumption; None if they need one."""
    first, last = _WITH_THE_CORNER
    if settings.torch is not None and settings.torch > last:
        return ""
    root = Path(project.root)
    if settings.torch is None and excluded(root, first, last, kept_from=_ENOUGH):
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
