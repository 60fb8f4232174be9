"""Faults of guards and look-ups, planted on purpose: the judge of generated projects must find each of them.

A fault changes the new files as a faulty rule would have left them. None: it would not show in this project.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from tests.property.asked import Result
from tests.property.asking import Project

Texts = dict[str, str]
Fault = Callable[[Project, Result], Texts | None]


def _replaced(texts: Texts, pattern: str, by: str, *, where: Callable[[str], bool] = lambda _: True) -> Texts | None:
    """The files with the first place of a pattern in each changed; None if nothing changes."""
    changed = {
        name: re.sub(pattern, by, text, count=1, flags=re.MULTILINE) if where(name) and name != "eager.py" else text
        for name, text in texts.items()
    }
    return changed if changed != texts else None


def flag_false(project: Project, result: Result) -> Texts | None:
    """A flag stays False though the call was migrated."""
    return _replaced(result.texts, r"\bFLAG = True$", "FLAG = False") if result.migrated else None


def function_false(project: Project, result: Result) -> Texts | None:
    """A function of the project goes on answering no."""
    return _replaced(result.texts, r"return True$", "return False") if result.migrated else None


def flag_gone(project: Project, result: Result) -> Texts | None:
    """A flag is dropped that another file takes by name."""
    return _replaced(result.texts, r"^FLAG = True\n", "", where=lambda name: name != "main.py")


def taking_gone(project: Project, result: Result) -> Texts | None:
    """The import of a flag that is still read is dropped."""
    return _replaced(result.texts, r"^(from (flags|pkg) import .*|import flags)\n", "")


def lookup_answered(project: Project, result: Result) -> Texts | None:
    """A look-up is answered in a project without a migrated call."""
    if result.migrated:
        return None
    return _replaced(result.texts, r"""[\w.]*find_spec\((?:"xformers"|name)\) is not None""", "True")


def version_answered(project: Project, result: Result) -> Texts | None:
    """A question about the release goes, though nothing was migrated."""
    return None if result.migrated else _replaced(result.texts, r"importlib\.metadata\.version\(.*\)", "pass")


def guard_answered(project: Project, result: Result) -> Texts | None:
    """A guard becomes its flag though nothing was migrated, and the flag is True without xformers."""
    return None if result.migrated else _replaced(result.texts, r"FLAG = False", "FLAG = True")


def import_gone(project: Project, result: Result) -> Texts | None:
    """An import goes whose failing decides."""
    if result.migrated or project.guard.name not in ("flag at the end", "flag first", "else", "suppress"):
        return None
    return _replaced(result.texts, rf"^ +{re.escape(project.imports.line)}$", "    pass")


def lookup_left(project: Project, result: Result) -> Texts | None:
    """A look-up stays in front of a migrated call: the slow path once xformers is gone."""
    if not result.migrated:
        return None
    asked = '__import__("importlib.util").util.find_spec("xformers") is not None'
    return _replaced(result.texts, r"(FLAG =|return) True$", rf"\1 {asked}")


def arms_swapped(project: Project, result: Result) -> Texts | None:
    """Of two arms the other stays."""
    swapped = {name: _swap(text) if name == "main.py" else text for name, text in result.texts.items()}
    return swapped if swapped != result.texts else None


def _swap(text: str) -> str:
    return text.replace('"fast"', '"\0"').replace('"slow"', '"fast"').replace("\0", "slow")


def refusal_left(project: Project, result: Result) -> Texts | None:
    """What is raised without xformers stays, and is raised always."""
    if not result.migrated or project.question.name != "raise":
        return None
    return _replaced(
        result.texts, r"^    (return .*)$", r'    raise RuntimeError("slow")', where=lambda n: n == "main.py"
    )


def turned_round_wrongly(project: Project, result: Result) -> Texts | None:
    """A variable that is the opposite of a flag gets the flag's value, where it is still there."""
    if project.question.name != "turned round":
        return None
    return _replaced(result.texts, r"^SLOW = not ", "SLOW = ")


def none_left(project: Project, result: Result) -> Texts | None:
    """The import goes, and what stood for the module without xformers stays in its place."""
    if result.migrated or project.guard.name != "None":
        return None
    return _replaced(result.texts, rf"^    {re.escape(project.imports.line)}$", f"    {project.imports.bound} = None")


def operator_left(project: Project, result: Result) -> Texts | None:
    """A call is migrated and its import stays where nothing guards it."""
    if not result.migrated:
        return None
    return {**result.texts, "main.py": f"{project.imports.line}\n{result.texts['main.py']}"}


FAULTS: tuple[Fault, ...] = (
    flag_false,
    function_false,
    flag_gone,
    taking_gone,
    lookup_answered,
    version_answered,
    guard_answered,
    import_gone,
    lookup_left,
    arms_swapped,
    refusal_left,
    turned_round_wrongly,
    none_left,
    operator_left,
)

OF_GUARD = {version_answered: "version", none_left: "None"}
"""Faults that only one kind of guard can have, in projects without a call."""
