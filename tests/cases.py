"""The fixtures: how a `fixtures/<rule>/<case>.py` is read.

A case is a small program, a line `# output`, and the program it must become. Without that line it must come
out as it went in. It begins with a head of comment lines `# key: value` that ends at the first other line
(one blank line after it belongs to it); the head is part of neither text. A value that ends in a comma goes
on in the next line, which then has no key of its own. The keys:

* `expect`: how many sites of which class, as `exact 2, left 1 XF201`; codes, if given, must be among those
  of the sites of that class. Classes not named have no site; `expect: nothing`: there is no site at all.
* `idiom`: the rows of `tests/idioms.py` that the case stands for, separated by commas.
* `settings`: keyword arguments of `xf2sdpa.settings.Settings`, as in `torch=(2, 1)`.
* `helper: yes`: there may be a helper module, and what comes from it is executed with the rest.
* `mask-objects: none`: nothing in the project makes a mask object.
* `final-newline: no`: both texts end without a newline.
* `layout: free`: the results of `run` need not be contiguous because they were.
* `note`: for the reader.

Where a case defines `run`, both texts are executed on the CPU and compared, as `tests/test_fixtures.py` says.
`INPUTS` at module level then holds what `run` is called with, or a list of such dicts:
`shape` (of q), `kv_shape` (of k and v, if they differ), and for other parameters a value: a tuple is the
shape of a tensor, anything else is passed on as it is. Without `INPUTS`, q, k and v are (2, 5, 3, 8).
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.equivalence import Given, Namespace

FIXTURES = Path(__file__).parent.parent / "fixtures"
SEPARATOR = re.compile(r"^# output[ \t]*\r?\n", re.MULTILINE)
HEAD_LINE = re.compile(r"# (?:(?P<key>[a-z][a-z-]*): )?(?P<value>.*?)\r?\n")
KEYS = {"expect", "idiom", "settings", "helper", "mask-objects", "final-newline", "layout", "note"}
DEFAULT_SHAPE = (2, 5, 3, 8)


@dataclass(frozen=True)
class Expected:
    """The sites of one class: how many, and codes that must be among theirs."""

    count: int
    codes: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Case:
    """One fixture."""

    path: Path
    old: str
    new: str
    expect: dict[str, Expected]
    idioms: tuple[str, ...] = ()
    settings: dict[str, Any] = field(default_factory=dict)
    changes: bool = True
    layout: bool = True
    helper: bool = False
    mask_objects: bool = True

    @property
    def name(self) -> str:
        """`<rule>/<case>`."""
        return self.path.relative_to(FIXTURES).with_suffix("").as_posix()


def read_case(path: Path) -> Case:
    """Read one fixture; ValueError if its head makes no sense."""
    text = path.read_bytes().decode("utf-8")
    head, body = _split_head(text)
    if "expect" not in head:
        raise ValueError(f"{path}: no line '# expect: …' in the head")
    old, *rest = SEPARATOR.split(body, maxsplit=1)
    new = rest[0] if rest else old
    if head.get("final-newline") == "no":
        old, new = (re.sub(r"\r?\n\Z", "", part) for part in (old, new))
    return Case(
        path,
        old,
        new,
        expect=_expectation(head["expect"], path),
        idioms=tuple(filter(None, re.split(r",\s*", head.get("idiom", "")))),
        settings=eval(f"dict({head.get('settings', '')})"),
        changes=bool(rest),
        layout=head.get("layout") != "free",
        helper=head.get("helper") == "yes",
        mask_objects=head.get("mask-objects") != "none",
    )


@functools.cache
def all_cases() -> tuple[Case, ...]:
    """Every fixture there is."""
    return tuple(read_case(path) for path in sorted(FIXTURES.rglob("*.py")))


def _split_head(text: str) -> tuple[dict[str, str], str]:
    head: dict[str, str] = {}
    key, position = "", 0
    while found := HEAD_LINE.match(text, position):
        continues = bool(key) and head[key].endswith(",")
        if found["key"] in KEYS:
            key = found["key"]
            head[key] = found["value"].strip()
        elif continues:
            head[key] += " " + found["value"].strip()
        else:
            break
        position = found.end()
    if blank := re.compile(r"\r?\n").match(text, position):
        position = blank.end()
    return head, text[position:]


def _expectation(value: str, path: Path) -> dict[str, Expected]:
    expect: dict[str, Expected] = {}
    if value == "nothing":
        return expect
    for item in value.split(","):
        kind, count, *codes = item.split()
        if kind not in {"exact", "assumed", "compat", "removed", "left"}:
            raise ValueError(f"{path}: no such class of site: {kind}")
        expect[kind] = Expected(int(count), frozenset(codes))
    return expect


def givens(namespace: Namespace) -> list[Given]:
    """What the case's `run` is to be called with, by its `INPUTS`."""
    inputs = namespace.get("INPUTS", {})
    return [_given(choice) for choice in (inputs if isinstance(inputs, list) else [inputs])]


def _given(inputs: dict[str, Any]) -> Given:
    rest = dict(inputs)
    query = rest.pop("shape", DEFAULT_SHAPE)
    key = rest.pop("kv_shape", query)
    shapes = {"q": query, "k": key, "v": rest.pop("v_shape", key)}
    others = {name: value for name, value in rest.items() if not isinstance(value, tuple)}
    return Given(shapes | {name: value for name, value in rest.items() if name not in others}, others)
