"""Where xformers is hidden from later imports, it is named, in a project whose calls are rewritten."""

from __future__ import annotations

from tests.rules.common import Case, attend, by_name, codes_in, examples_hold, holds, mea, rule

DONE = attend(mea())


def hiding(line: str, head: str = "import sys\n") -> Case:
    return Case(f"{head}{DONE}\n\n{line}\n", ("finding XF409",), "hides xformers")


def plain(line: str, head: str = "import sys\n") -> Case:
    return Case(f"{head}{DONE}\n\n{line}\n")


EMITTED = {
    "a store": hiding("sys.modules['xformers'] = None"),
    "a store of a part": hiding("sys.modules['xformers.ops'] = None"),
    "a default": hiding("sys.modules.setdefault('xformers', None)"),
    "an update": hiding("sys.modules.update({'xformers': None, 'triton': None})"),
    "by pytest": hiding("def f(monkeypatch):\n    monkeypatch.setitem(sys.modules, 'xformers', None)"),
    "by mock": hiding(
        "p = patch.dict(sys.modules, {'xformers': None})", "import sys\nfrom unittest.mock import patch\n"
    ),
    "by mock and a name": hiding(
        "p = patch.dict('sys.modules', {'xformers': None})", "from unittest.mock import patch\n"
    ),
    "by a name of its own": hiding("modules['xformers'] = None", "from sys import modules\n"),
}
SILENT = {
    "another package": plain("sys.modules['triton'] = None"),
    "another dictionary": plain("known = {}\nknown['xformers'] = None"),
    "taken out": plain("sys.modules.pop('xformers', None)"),
    "one that is computed": plain("sys.modules['xformers'] = sys.modules.get('xformers')"),
    "other packages": plain("sys.modules.update({**sys.modules, 'triton': None}, xformers=1)"),
}


@by_name(EMITTED)
def test_it_is_told(case: Case) -> None:
    holds(case)


@by_name(SILENT)
def test_near_misses_are_not_told(case: Case) -> None:
    holds(case, never=tuple(rule("hidden_package").codes))


def test_every_code_is_told_somewhere() -> None:
    assert set(rule("hidden_package").codes) <= codes_in(EMITTED)


def test_the_examples_hold() -> None:
    examples_hold("hidden_package")
