"""Imports of xformers that somebody reads stay: by their name, in a string, in another file, in a call that is left."""

from __future__ import annotations

import pytest

from tests.rules.common import IMPORTS, Case, by_name, holds
from tests.rules.test_imports import ASKED, DONE, NONE, OURS, THEIRS, imported

STAYING = {
    "tried beside another, without a helper": Case(
        imported("try:\n    import json\n    import xformers.ops as xops\nexcept ImportError:\n    setup()\n"),
        ("finding XF401",),
        has=("    import xformers.ops as xops\n", "setup()"),
    ),
    "tried beside another that is counted, without a helper": Case(
        imported("n = 0\ntry:\n    import json\n    import xformers.ops as xops\nexcept ImportError:\n    n += 1\n"),
        ("finding XF401",),
        has=("    import xformers.ops as xops\n", "n += 1"),
    ),
    "listed in __all__": Case(DONE + "\n\n__all__ = ['xops']\n", ("finding XF401",)),
    "listed in __all__, and asked for by its failing": Case(
        imported(ASKED) + "\n\n__all__ = ['xops']\n", ("finding XF401",), has=(ASKED,)
    ),
    "a default that is handed on, as an import of the helper may take its place": Case(
        imported(f"{NONE}\nif n:\n    {THEIRS}import xformers.ops as xops\n"),
        ("finding XF140",),
        has=(f"{NONE}\nif n:\n    {OURS}",),
        handed_on=frozenset({"memory_efficient_attention"}),
        helper=True,
    ),
    "handed on, and asked for by its failing": Case(
        imported(ASKED), ("finding XF401",), has=(ASKED,), handed_on=frozenset({"xops"})
    ),
    "read by a string": Case(DONE + "\n\nx = getattr(f, 'xops')\n", ("finding XF401",)),
    "handed on": Case(DONE, ("finding XF401",), handed_on=frozenset({"xops"})),
    "of an __init__.py that uses it": Case(DONE, ("finding XF140",), path="pkg/__init__.py", lacks=("xops",)),
    "of an __init__.py that does not": Case(
        IMPORTS.replace("as xops", "as other") + DONE, ("finding XF401",), path="pkg/__init__.py", has=("as other",)
    ),
    "an attribute of a class": Case(
        DONE + "\n\nclass A:\n    import xformers.ops as own\n\nx = A.own\n", ("finding XF401",), has=("as own",)
    ),
    "a comment asks for it": Case(
        DONE.replace("flatten(2)", "flatten(2)  # xf2sdpa: ignore"), ("left XF906",), same=True
    ),
    "registered operators": Case(
        DONE + "\n\nOP = torch.ops.xformers_flash.flash_fwd\n",
        ("finding XF401",),
        "it registers operators",
        has=("xops",),
    ),
}


BY_NAME = {
    "an item": "globals()['xops']",
    "an item, perhaps": "globals().get('xops')",
    "an item, or something else": "vars().get('xops', None)",
    "an item that is taken out": "locals().pop('xops')",
    "an item of a module": "vars(module)['xops']",
    "an item of its dictionary": "module.__dict__['xops']",
    "an item of its dictionary, perhaps": "module.__dict__.get('xops')",
    "an attribute": "operator.attrgetter('xops')(module)",
    "an attribute of an attribute": "attrgetter('xops.memory_efficient_attention')(module)",
}
NOT_BY_NAME = {
    "an item of something else": "settings['xops']",
    "an item of something else, perhaps": "settings.get('xops')",
    "a value": "globals().get(f, 'xops')",
}


@pytest.mark.parametrize("read", BY_NAME.values(), ids=list(BY_NAME))
def test_an_import_stays_that_is_read_by_its_name(read: str) -> None:
    holds(Case(f"{DONE}\n\nx = {read}\n", ("finding XF401",), has=("import xformers.ops as xops\n",)))


@pytest.mark.parametrize("read", NOT_BY_NAME.values(), ids=list(NOT_BY_NAME))
def test_an_import_goes_whose_name_is_another_word(read: str) -> None:
    holds(Case(f"{DONE}\n\nx = {read}\n", ("finding XF140",), lacks=("import xformers",)))


@by_name(STAYING)
def test_an_import_that_somebody_reads_stays(case: Case) -> None:
    holds(case)
