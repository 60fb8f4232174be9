"""A `try` around a look-up that has gone leaves what else stood in it, where nothing there asks for a package."""

from __future__ import annotations

from functools import partial

from tests.rules.common import Case as AnyCase
from tests.rules.common import by_name, codes_in, examples_hold, holds, rule

Case = partial(AnyCase, helper=True)
HEAD = """\
import importlib.metadata
import torch
from packaging import version
import xformers.ops as xops

HAVE = True
"""
CALL = """

def attend(q, k, v):
    b, n, h, d = q.shape
    return xops.memory_efficient_attention(q, k, v).flatten(2)
"""
LOOK_UP = "R = importlib.metadata.version('xformers')"
CHECK = "if version.parse(torch.__version__) < version.parse('1.12'):\n        raise ValueError('too old')"


def program(*lines: str, kind: str = "importlib.metadata.PackageNotFoundError", more: str = "") -> str:
    body = "".join(f"    {line}\n" for line in lines)
    return f"{HEAD}try:\n{body}except {kind}:\n    HAVE = False\n{more}{CALL}"


EMITTED = {
    "a check of another version": Case(
        program(LOOK_UP, CHECK), ("finding XF154",), has=("HAVE = True\nif version.parse",), lacks=("try", "False")
    ),
    "with an else": Case(
        program(LOOK_UP, CHECK, more="else:\n    DONE = 1\n"), ("finding XF154",), has=("\nDONE = 1",)
    ),
    "by its bare name": Case(
        program(LOOK_UP, CHECK, kind="PackageNotFoundError").replace(
            "from packaging", "from importlib.metadata import PackageNotFoundError\nfrom packaging"
        ),
        ("finding XF154",),
        lacks=("try",),
    ),
    "an error of another kind, not called": Case(
        program(LOOK_UP, CHECK.replace("ValueError('too old')", "ValueError")), ("finding XF154",), lacks=("try",)
    ),
    "behind one that stays for another reason": Case(
        program(LOOK_UP, "import plugins", kind="Exception").replace(
            CALL, f"try:\n    {LOOK_UP}\n    {CHECK}\nexcept importlib.metadata.PackageNotFoundError:\n    pass\n{CALL}"
        ),
        ("finding XF154",),
        has=("HAVE = False\nif version.parse",),
    ),
    "behind one with a finally": Case(
        program(LOOK_UP, "more = 1", more="finally:\n    DONE = 1\n").replace(
            CALL, f"try:\n    {LOOK_UP}\n    {CHECK}\nexcept importlib.metadata.PackageNotFoundError:\n    pass\n{CALL}"
        ),
        ("finding XF154",),
        has=("finally:\n    DONE = 1\nif version.parse",),
    ),
}
LEFT = {
    "nothing in it has gone": Case(
        program(CHECK).replace(CALL, f"{LOOK_UP}{CALL}"), has=("except importlib",), lacks=("R = ",)
    ),
    "a constant beside it": Case(program(LOOK_UP, "more = 1"), has=("more = 1\n",), lacks=("try",)),
    "whatever error is caught": Case(program(LOOK_UP, "torch.fast = 1", kind="Exception"), has=("except Exception",)),
    "one of two errors is caught": Case(
        program(LOOK_UP, "torch.fast = 1", kind="(ImportError, KeyError)"), has=("except (ImportError",)
    ),
    "another error of importlib": Case(
        program(LOOK_UP, "torch.fast = 1", kind="importlib.metadata.Other"), has=("except importlib.metadata.Other",)
    ),
    "the error is raised": Case(
        program(LOOK_UP, "torch.fast = 1", "if torch.fast:\n        raise importlib.metadata.PackageNotFoundError"),
        has=("except importlib",),
    ),
    "the error is made and raised": Case(
        program(LOOK_UP, "torch.fast = 1", "if torch.fast:\n        raise PackageNotFoundError('no')").replace(
            "import torch\n", "import torch\nfrom importlib.metadata import PackageNotFoundError\n"
        ),
        has=("except importlib",),
    ),
    "nothing of it is left": Case(program(LOOK_UP), lacks=("try",)),
    "another package is looked up": Case(
        program(LOOK_UP, "T = importlib.metadata.version('triton')"), has=("except importlib",)
    ),
    "what an import runs": Case(program(LOOK_UP, "import plugins"), has=("except importlib",)),
    "what a loop runs": Case(program(LOOK_UP, "for part in parts:\n        pass"), has=("except importlib",)),
    "a function that may look one up": Case(program(LOOK_UP, "look()"), has=("except importlib",)),
    "the error itself": Case(
        program(LOOK_UP, "if torch.__version__ < '2':\n        raise importlib.metadata.PackageNotFoundError"),
        has=("HAVE = not (torch.__version__ < '2')",),
    ),
    "other errors are caught": Case(program(LOOK_UP, CHECK, kind="Exception"), has=("HAVE = not (version.parse",)),
    "nothing of it has gone": Case(
        program("T = importlib.metadata.version('triton')", CHECK), has=("except importlib",)
    ),
}


@by_name(EMITTED)
def test_it_goes(case: AnyCase) -> None:
    holds(case)


@by_name(LEFT)
def test_it_stays(case: AnyCase) -> None:
    holds(case, never=("XF154",))


def test_examples() -> None:
    examples_hold("unfailing_tries")


def test_every_code_has_a_case() -> None:
    assert set(rule("unfailing_tries").codes) <= codes_in(EMITTED)
