"""What is seldom written around an import or a question: what goes is all of it, and what stays stays whole."""

from __future__ import annotations

import pytest

from tests.rules.common import attend, mea
from xf2sdpa.rewrite.engine import rewrite_text

INLINE = attend(mea())
HELPED = attend("xops.memory_efficient_attention(q, k, v, attn_bias=bias)")
LINE = "import xformers.ops as xops\n"
FIND = "importlib.util.find_spec"
RELEASE = """\
def release(*given):
    try:
        return importlib.metadata.version('xformers')
    except importlib.metadata.PackageNotFoundError:
        return None


"""
PLAIN_RELEASE = RELEASE.replace("*given", "")
STAYS = {
    "a try of more, a release that is asked with arguments": f"{RELEASE}FAST = release(1)\n",
    "a function that is given something else": (
        f"def there(*given):\n    return {FIND}('xformers')\n\n\nFAST = there(1)\nprint(there)\n"
    ),
    "a function that does more": f"def there(n):\n    look('a')\n    return {FIND}(n)\n\n\nFAST = there('xformers')\n",
    "a release that is handed on": f"{PLAIN_RELEASE}FAST = release() is not None\nkept(release)\n",
    "a release that a comment keeps": (f"{PLAIN_RELEASE}A = release() is not None  # xf2sdpa: ignore[XF142]\n"),
    "a name in a variable": f"N = 'xformers'\nFAST = {FIND}(N) is not None\n",
    "a release shown, as the user wants it": (
        "def shown():\n    return version('xformers') if HAS_XFORMERS else 'none'  # xf2sdpa: ignore[XF142]\n"
    ),
    "what decides for another library, by several targets": (
        f"FAST = {FIND}('xformers') is not None\nself.x, y = FAST, 1\na.b = FAST\nif FAST:\n"
        "    pipe.enable_xformers_memory_efficient_attention()\n"
    ),
    "a flag of a guard that decides for another library": (
        "try:\n    import xformers\n\n    FLAG = True\nexcept ImportError:\n    FLAG = False\nif FLAG:\n"
        "    unet.enable_xformers_memory_efficient_attention()\n"
    ),
    "an attribute that is set where it is missing": (
        "if has_xformers:\n    import xformers.ops as xops\n\n    a.b = None\n"
    ),
}
BECOMES = {
    "beside another package": (
        "try:\n    import json, xformers.ops as xops\nexcept ImportError:\n    assert 1\n",
        "try:\n    import json\nexcept ImportError:\n    assert 1\n",
    ),
    "behind two others": (
        "try:\n    import json, packaging.version\n    import xformers.ops as xops\nexcept ImportError:\n"
        "    assert 1\n",
        "try:\n    import json, packaging.version\nexcept ImportError:\n    assert 1\n",
    ),
    "suppressed with another": (
        "from contextlib import suppress\n\nwith suppress(ImportError):\n    import packaging\n"
        "    import xformers.ops as xops\n",
        "with suppress(ImportError):\n    import packaging\n\n",
    ),
}


@pytest.mark.parametrize("lines", STAYS.values(), ids=list(STAYS))
def test_it_stays(lines: str) -> None:
    head = "import importlib.metadata\nimport importlib.util\nfrom importlib.metadata import version\n"
    result = rewrite_text(head + HELPED.replace(LINE, f"{LINE}\n{lines}"), compat="_attention_compat")
    assert not result.failed, result.findings
    assert lines in result.new


@pytest.mark.parametrize(("old", "new"), BECOMES.values(), ids=list(BECOMES))
def test_it_becomes(old: str, new: str) -> None:
    result = rewrite_text(INLINE.replace(LINE, old), compat="_attention_compat")
    assert not result.failed, result.findings
    assert new in result.new
    assert "xformers" not in result.new


def test_without_a_helper_an_import_of_two_packages_stays_whole() -> None:
    old = "try:\n    import json, xformers.ops as xops\nexcept ImportError:\n    assert 1\n"
    assert old in rewrite_text(INLINE.replace(LINE, old)).new


@pytest.mark.parametrize(
    "function",
    [
        "    try:\n        import xformers.ops as xops\n\n        return True\n    except ImportError:\n"
        "        return False\n    finally:\n        done()\n",
        "    try:\n        import xformers.ops as xops  # xf2sdpa: ignore\n\n        return True\n"
        "    except ImportError:\n        return False\n",
    ],
)
def test_a_function_that_asks_by_an_import_stays(function: str) -> None:
    old = INLINE.replace("def attend", f"def there():\n{function}\n\ndef attend")
    assert function in rewrite_text(old, compat="_attention_compat").new


def test_a_switch_of_its_own_stays_around_what_else_it_sets() -> None:
    guard = "try:\n    if SWITCH:\n        raise ImportError\n    {}SETTING = 3\nexcept ImportError:\n    SETTING = 0\n"
    result = rewrite_text(
        HELPED.replace(LINE, guard.format(f"{LINE}    ")) + "\n\nprint(SETTING)\n", compat="_attention_compat"
    )
    assert guard.format("") in result.new
    assert "from _attention_compat import memory_efficient_attention\n" in result.new


def test_what_is_deleted_later_is_imported_in_its_place() -> None:
    name = "memory_efficient_attention"
    guard = f"try:\n    from {{}} import {name}\nexcept ImportError:\n    {name} = None\n"
    old = HELPED.replace("xops.", "").replace(LINE, guard.format("xformers.ops")) + f"\n\ndel {name}\n"
    assert guard.format("_attention_compat") in rewrite_text(old, compat="_attention_compat").new


def test_a_question_is_answered_beside_a_switch_that_it_does_not_decide() -> None:
    switch = "if fast:\n    unet.enable_xformers_memory_efficient_attention()\n"
    lines = f"if {FIND}('xformers') is not None:\n    look()\n{switch}"
    new = rewrite_text(
        f"import importlib.util\n{HELPED.replace(LINE, f'{LINE}{lines}')}", compat="_attention_compat"
    ).new
    assert "\nlook()\nif fast:" in new


def test_a_name_of_torch_that_may_be_none_is_not_used() -> None:
    guard = "try:\n    import torch.nn.functional as F\nexcept ImportError:\n    F = None\n"
    new = rewrite_text(INLINE.replace("import torch.nn.functional as F\n", guard)).new
    assert "return torch.nn.functional.scaled_dot_product_attention(" in new


def test_a_module_is_held_against_none_alone() -> None:
    new = rewrite_text(f"{HELPED}\n\nprint(xops is 1, xops is not None)\n", compat="_attention_compat").new
    assert "print(False, True)" in new
