"""Imports go whose last readers went, and only those."""

from __future__ import annotations

import pytest

from tests.rules.common import Case, by_name, codes_in, examples_hold, holds, rule

USE = "\n\ndef attend(q, k, v, bias):\n    return xops.memory_efficient_attention(q, k, v, attn_bias=bias)\n"
ASKED = "importlib.util.find_spec('xformers') is not None"


def guarded(imports: str, *handler: str, after: str = "") -> str:
    lines = "".join(f"    {line}\n" for line in handler)
    return f"{imports}\ntry:\n    import xformers.ops as xops\nexcept ImportError:\n{lines}{after}{USE}"


EMITTED = {
    "of a message": Case(
        guarded("import logging\n", "logging.info('slow')"), ("finding XF146",), lacks=("logging",), helper=True
    ),
    "one name of several": Case(
        guarded("import logging, json\n", "logging.info('slow')"),
        ("finding XF146",),
        has=("import json\n",),
        helper=True,
    ),
    "a name of a module": Case(
        guarded("from logging import getLogger\n", "getLogger('a').info('slow')"),
        ("finding XF146",),
        lacks=("getLogger",),
        helper=True,
    ),
    "of a question": Case(
        f"import importlib.util\nimport xformers.ops as xops\n\nF = {ASKED}\n{USE}",
        ("finding XF146",),
        lacks=("importlib",),
        helper=True,
    ),
    "of two of a package": Case(
        "import importlib.metadata\nimport importlib.util\nimport xformers.ops as xops\n\n"
        f"F = {ASKED}\nG = importlib.metadata.version('numba')\n{USE}",
        ("finding XF146",),
        has=("import importlib.metadata\n", "importlib.metadata.version('numba')"),
        lacks=("importlib.util",),
        helper=True,
    ),
    "beside the package itself": Case(
        "import importlib\nimport importlib.util\nimport xformers.ops as xops\n\n"
        f"F = {ASKED}\nimportlib.reload(F)\n{USE}",
        ("finding XF146",),
        has=("import importlib\n",),
        lacks=("importlib.util",),
        helper=True,
    ),
}
EMITTED |= {
    "a function of a module that is imported for others": Case(
        guarded("import logging\nfrom lib.tools import C, named\n", "logging.info(named('slow'))", after="print(C)\n"),
        ("finding XF146",),
        has=("from lib.tools import C\n",),
        helper=True,
    ),
}
EMITTED |= {
    "in a branch that goes on": Case(
        f"import xformers.ops as xops\n\nif n:\n    import importlib.util\n\n    set_up()\n    F = {ASKED}\n{USE}",
        ("finding XF146",),
        has=("if n:\n    set_up()\n    F = True\n",),
        helper=True,
    ),
    "in a function that goes on": Case(
        f"import xformers.ops as xops\n\n\ndef f():\n    import importlib.util\n\n    return {ASKED}\n{USE}",
        ("finding XF146",),
        has=("def f():\n    return True\n",),
        helper=True,
    ),
    "of a package's __init__.py, which read it": Case(
        guarded("import logging\n", "logging.info('slow')"),
        ("finding XF146",),
        lacks=("logging",),
        helper=True,
        path="pkg/__init__.py",
    ),
}
SAID = "logging.info('slow')"
NEAR_MISSES = {
    "a module that is imported for itself": Case(
        guarded("from lib.tools import named\n", "print(named('slow'))"),
        has=("from lib.tools import named\n",),
        helper=True,
    ),
    "what may be a module": Case(
        guarded("from lib import C, tools\n", "print(tools.named('slow'))", after="print(C)\n"),
        has=("from lib import C, tools\n",),
        helper=True,
    ),
    "read elsewhere": Case(
        guarded("import logging\n", SAID, after="logging.info(1)\n"), has=("import logging\n",), helper=True
    ),
    "never read": Case(guarded("import logging\nimport warnings\n", "pass"), has=("import warnings\n",), helper=True),
    "of another kind": Case(guarded("import json\n", "print(json.x('slow'))"), has=("import json\n",), helper=True),
    "listed in __all__": Case(
        guarded("import logging\n", SAID, after="__all__ = ['logging']\n"), has=("import logging\n",), helper=True
    ),
    "nothing went": Case(guarded("import logging\n", SAID), ("left XF201",), same=True),
    "its failing matters": Case(
        guarded("try:\n    import logging\nexcept ImportError:\n    logging = None\n", SAID),
        has=("    import logging\n",),
        helper=True,
    ),
    "its failing matters, beside something else": Case(
        "import xformers.ops as xops\n\ntry:\n    import importlib_metadata\n\n    set_up()\n"
        "    F = importlib_metadata.version('xformers') is not None\nexcept ImportError:\n    F = False\n" + USE,
        has=("    import importlib_metadata\n",),
        helper=True,
    ),
    "its failing is suppressed": Case(
        f"import xformers.ops as xops\n\nwith suppress(ImportError):\n    import importlib.util\n\n    set_up()\n"
        f"    F = {ASKED}\n{USE}",
        has=("    import importlib.util\n", "    F = True\n"),
        helper=True,
    ),
    "an attribute of a class": Case(
        guarded("", "pass", after="\n\nclass A:\n    import logging\n\n    logging.info('a')\n"),
        has=("import logging",),
        helper=True,
    ),
    "handed on": Case(
        guarded("import logging\n", SAID), has=("import logging\n",), helper=True, handed_on=frozenset({"logging"})
    ),
    "a name read elsewhere": Case(
        guarded("from logging import info\n", "info('slow')", after="x = info\n"), has=("import info\n",), helper=True
    ),
    "read elsewhere by another name": Case(
        guarded("import logging as log\n", "log.info('slow')", after="x = log.y\n"), has=("as log\n",), helper=True
    ),
    "new text reads it": Case(
        guarded("import os\n", "pass").replace("as xops\n", "as xops\n\n    SEP = os.sep\n"),
        has=("import os\n", "SEP = os.sep\n"),
        helper=True,
    ),
}


@by_name(EMITTED)
def test_it_is_told(case: Case) -> None:
    holds(case)


@by_name(NEAR_MISSES)
def test_a_near_miss_goes_elsewhere(case: Case) -> None:
    holds(case, never=tuple(rule("orphaned_imports").codes))


def test_every_code_is_told_somewhere() -> None:
    assert set(rule("orphaned_imports").codes) <= codes_in(EMITTED)


def test_the_examples_hold() -> None:
    examples_hold("orphaned_imports")


@pytest.mark.parametrize(
    "module",
    ["contextlib", "importlib", "importlib_metadata", "logging", "os", "packaging", "pkg_resources", "pytest", "sys",
     "traceback", "warnings"],
)  # fmt: skip
def test_what_messages_are_made_of_goes(module: str) -> None:
    holds(Case(guarded(f"import {module}\n", f"print({module}.x)"), lacks=(f"import {module}\n",), helper=True))


@pytest.mark.parametrize(
    ("imports", "after"),
    [
        ("import importlib.util\n", "importlib.reload(F)\n"),
        ("import importlib.metadata as meta\nimport importlib.util\n", "importlib.reload(F)\n"),
        ("from importlib import metadata\nimport importlib.util\n", "importlib.reload(F)\n"),
        ("import json\nimport importlib.util\n", "importlib.reload(json)\n"),
        ("import importlib.util\n", "\n\ndef g():\n    import importlib\n\n\nimportlib.reload(F)\n"),
        ("import importlib.util, json\nimport importlib\n", "importlib.reload(json)\n"),
        ("import importlib\nimport importlib.util\n", "importlib.util.find_spec('numba')\n"),
    ],
)
def test_an_import_that_binds_a_package_for_others_stays(imports: str, after: str) -> None:
    text = f"{imports}import xformers.ops as xops\n\nF = {ASKED}\n{after}{USE}"
    holds(Case(text, has=("importlib.util", "F = True\n"), helper=True))
