"""Imports of xformers in a `try` beside others, asked for by their failing, and in branches."""

from __future__ import annotations

import pytest

from tests.rules.common import Case, attend, holds
from tests.rules.test_imports import ASKED, DONE, imported

XOPS = "    import xformers.ops as xops\n"
JSON = "try:\n    import json\n"
FAILS = "except ImportError:\n    "
WITHOUT = {
    "passing": f"{JSON}{XOPS}{FAILS}pass\n",
    "raising": f"{JSON}{XOPS}{FAILS}raise\n",
    "speaking": f"{JSON}{XOPS}{FAILS}print('no')\n",
    "setting the other to None": f"{JSON}{XOPS}{FAILS}json = None\n",
    "setting it to None, and speaking": f"{JSON}{XOPS}{FAILS}json = None\n    print('no')\n",
    "setting a package to None": f"try:\n    import os.path\n{XOPS}{FAILS}os = None\n",
}
STAYING = {
    "with a finally": f"{JSON}{XOPS}{FAILS}pass\nfinally:\n    k()\n",
    "with an else": f"{JSON}{XOPS}{FAILS}pass\nelse:\n    k()\n",
    "with a call": f"{JSON}{XOPS}    k()\n{FAILS}pass\n",
    "asked for with a call": ASKED.replace("except", "    k()\nexcept"),
    "asked for, and a call behind the import": f"{ASKED}    k()\n",
    "asked for, with an else": f"{ASKED}else:\n    k()\n",
    "asked for, with a finally": f"{ASKED}finally:\n    k()\n",
    "asked for, and another module": ASKED.replace("as xops", "as xops, json"),
}
OTHER = "try:\n    k\nexcept NameError:\n    k = 1\n"
ANOTHER = "try:\n    json\nexcept NameError:\n    import json\n"
TRIED = f"{JSON}{FAILS}json = None\n"
BARE = "try:\n    unicode\nexcept NameError:\n    pass\n"
INNER = "    if m:\n        k()\n"
GOING = {
    "asked for behind another name": (f"{OTHER}{ASKED}", OTHER),
    "asked for behind another module": (f"{ANOTHER}{ASKED}", ANOTHER),
    "asked for behind an import that is tried": (f"{TRIED}{ASKED}", TRIED),
    "asked for behind a name that nothing binds": (f"{BARE}{ASKED}", BARE),
    "in the second of two branches": (f"if n:\n    k()\nif m:\n{XOPS}", "if n:\n    k()\n"),
    "in an elif, and behind it": (
        f"if n:\n    pass\nelif m:\n{XOPS}if m:\n{XOPS}",
        "if n:\n    pass\nelif m:\n    pass\n",
    ),
    "before an else with an if": (f"if n:\n{XOPS}else:\n{INNER}", f"if not n:\n{INNER}"),
}


@pytest.mark.parametrize("guard", WITHOUT.values(), ids=list(WITHOUT))
def test_without_a_helper_it_goes_from_beside_another(guard: str) -> None:
    holds(Case(imported(guard), ("finding XF140",), has=(guard.replace(XOPS, ""),)))


@pytest.mark.parametrize("guard", STAYING.values(), ids=list(STAYING))
def test_without_a_helper_it_stays_where_more_is_done(guard: str) -> None:
    holds(Case(imported(guard), ("finding XF401",), has=(guard,)))


@pytest.mark.parametrize(("before", "after"), GOING.values(), ids=list(GOING))
def test_what_is_left_beside_it(before: str, after: str) -> None:
    head = "import torch\nimport torch.nn.functional as F\n"
    assert holds(Case(imported(before), helper=True)).new.startswith(f"{head}{after}\n\ndef attend")


def test_a_package_is_asked_for_by_its_first_name() -> None:
    text = DONE.replace("xops.", "xformers.ops.").replace(
        "import xformers.ops as xops\n", "try:\n    xformers\nexcept NameError:\n    import xformers.ops\n"
    )
    holds(Case(text, ("finding XF140",), lacks=("xformers", "try"), helper=True))


def test_what_a_package_asks_for_and_uses_itself_goes() -> None:
    holds(Case(imported(ASKED), ("finding XF140",), lacks=("try",), helper=True, path="pkg/__init__.py"))


def test_what_only_a_function_needs_is_imported_behind_torch() -> None:
    imports = "import torch\nimport json\n\n\ndef g():\n    import xformers.ops as xops\n\n    return xops.SwiGLU\n"
    new = holds(Case(attend("c(json)", imports=imports), helper=True)).new
    assert new.startswith("import torch\nfrom _attention_compat import SwiGLU\nimport json\n")
