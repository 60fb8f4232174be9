"""What one requirement says: which package, and which versions of it; and the same with a higher lower bound."""

from __future__ import annotations

import re

from xf2sdpa.model import TorchVersion
from xf2sdpa.uninstall.torch_pin import lowest_admitted

XFORMERS = "xformers"
_NAME = re.compile(r"\s*(?:[\w./-]+::)?([A-Za-z0-9](?:[\w.-]*[A-Za-z0-9])?)\s*(?:\[[^\]]*\])?\s*(?=$|[<>=!~;@(,^*\s])")
_ADDRESS = re.compile(r"(?:^|[/=:])([A-Za-z][\w]*)(?:\.git\b|-\d|@|#|&|/?\s*(?:$|;))")
_EGG = re.compile(r"[#&]egg=([\w.-]+)")
_PARTS = re.compile(
    r"(?P<name>\s*(?:[\w./-]+::)?[\w.-]+(?:\s*\[[^\]]*\])?)(?P<spec>[^;]*?)(?P<rest>\s*(?:;.*)?)$", re.DOTALL
)
_CLAUSE = re.compile(r"\s*(===|==|~=|>=|<=|!=|>|<|=|\^|~)?\s*v?([\w.*+!-]+)\s*")


def package(requirement: str) -> str:
    """The package that a requirement names, in lower case: by its name, or at the end of an address; "" for none."""
    named = _NAME.match(requirement)
    if named:
        return re.sub(r"[-_.]+", "-", named[1]).lower()
    if "/" not in requirement:
        return ""  # else an address, which a package may end
    found = _EGG.search(requirement) or next(reversed(list(_ADDRESS.finditer(requirement.partition("#")[0]))), None)
    return found[1].lower() if found else ""


def requires_xformers(requirement: str) -> bool:
    """Whether a requirement is one of xformers.

    >>> requires_xformers("xformers[all]==0.0.20 ; python_version < '3.11'"), requires_xformers("xformers-stubs")
    (True, False)
    """
    return package(requirement) == XFORMERS


def raised(requirement: str, floor: TorchVersion, style: str) -> str | None:
    """A requirement of torch with `floor` as its lower bound.

    The text is the same where it admits nothing older; None where it cannot be raised by itself: one release is named,
    a wheel, or an upper bound that is too low.
    """
    least = ".".join(map(str, floor))
    parts = _PARTS.match(requirement)
    if parts is None or not style or "@" in parts["spec"] or "/" in parts["name"].partition("::")[2]:
        return None
    spec = parts["spec"].strip()
    wrapped = spec.startswith("(") and spec.endswith(")")
    clauses = [clause for clause in (spec[1:-1] if wrapped else spec).split(",") if clause.strip(" *")]
    lowest = lowest_admitted(f"torch {','.join(clauses)}") if style != "conda" else _lowest_of_conda(clauses)
    if lowest is not None and lowest >= floor:
        return requirement
    new, bounded = [], False
    for clause in clauses:
        made = _raised_clause(clause, floor, least, style)
        if made is None:
            return None
        bounded = bounded or made != clause
        new.append(made)
    if not bounded:
        new = [f">={least}", *new]
    if parts["spec"].strip() in ("", "*"):
        return f"{parts['name']}{new[0]}{parts['rest']}"
    old = parts["spec"]
    made = ",".join(new)
    made = f"({made})" if wrapped else made
    lead = old[: len(old) - len(old.lstrip())]
    return f"{parts['name']}{lead}{made.strip() if lead else made}{parts['rest']}"


def _lowest_of_conda(clauses: list[str]) -> TorchVersion | None:
    return lowest_admitted("torch " + ",".join(re.sub(r"^\s*=(?!=)", "==", clause) for clause in clauses))


def _raised_clause(clause: str, floor: TorchVersion, least: str, style: str) -> str | None:
    """One clause as it must be; the same where it need not change; None where it cannot be raised."""
    said = _CLAUSE.fullmatch(clause)
    if said is None:
        return None
    operator, version = said[1], said[2]
    number = re.match(r"(\d+)(?:\.(\d+))?", version)
    if number is None:
        return None
    release = (int(number[1]), int(number[2] or 0))
    if operator in (">=", ">"):
        return clause.replace(f"{operator}", ">=", 1).replace(version, least, 1) if release < floor else clause
    if operator in ("<", "<="):
        return clause if release > floor or (operator == "<=" and release == floor) else None
    if operator == "!=":
        return clause
    if operator == "^" and style == "poetry":
        return clause.replace(version, least, 1) if release[0] == floor[0] else None
    if operator == "~=" and version.count(".") == 1 and release[0] == floor[0]:
        return clause.replace(version, least, 1)
    return None
