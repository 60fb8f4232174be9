"""Imports of xformers go with their last use, and those that stay are named."""

from __future__ import annotations

import pytest

from tests.rules.common import Case, attend, by_name, codes_in, examples_hold, holds, mea, rule
from xf2sdpa.rewrite.engine import rewrite_text

DONE = attend(mea())
THEIRS = "from xformers.ops import memory_efficient_attention\n"
OURS = "from _attention_compat import memory_efficient_attention\n"
NONE = "memory_efficient_attention = None"
ASKED = "try:\n    xops\nexcept NameError:\n    import xformers.ops as xops\n"
DYNAMIC = attend("xops.memory_efficient_attention(q, k, v, attn_bias=bias)")
TRIED = "try:\n    import xformers.ops as xops\nexcept ImportError:\n    {}\n"
CHOSEN = "if has_xformers:\n    import xformers.ops as xops\nelse:\n    xops = None\n"
QUOTED = "TEXT = '''\nimport xformers.ops as xops\nmemory_efficient_attention\n'''\n"


def imported(line: str, program: str = DONE) -> str:
    return program.replace("import xformers.ops as xops\n", line)


EMITTED = {
    "one alone": Case(DONE, ("finding XF140",), "takes its names from the helper", lacks=("xformers",)),
    "one of several": Case(imported("import xformers.ops as xops, json\n"), ("finding XF140",), has=("import json\n",)),
    "in a function": Case(
        attend(mea(), "import xformers.ops as xops", imports="import torch.nn.functional as F\n"),
        ("finding XF140",),
        lacks=("xformers",),
    ),
    "a guard of nothing else": Case(imported(TRIED.format("xops = None")), ("finding XF140",), lacks=("try", "xops")),
    "a guard that tells": Case(imported(TRIED.format("print('slow')")), ("finding XF140",), lacks=("try", "print")),
    "a guard that raises": Case(imported(TRIED.format("raise")), ("finding XF140",), lacks=("try", "raise")),
    "a condition": Case(imported(CHOSEN), ("finding XF140",), lacks=("has_xformers", "xops")),
    "from the helper": Case(
        imported("from xformers.ops import memory_efficient_attention\n", DYNAMIC).replace("xops.", ""),
        ("finding XF140",),
        has=(OURS,),
        lacks=("xformers",),
        helper=True,
    ),
    "in a block of the module, in its place": Case(
        imported(
            "import warnings\n\nwith warnings.catch_warnings():\n"
            "    from xformers.ops import memory_efficient_attention\n",
            DYNAMIC,
        ).replace("xops.", ""),
        ("finding XF140",),
        has=(f"with warnings.catch_warnings():\n    {OURS}",),
        helper=True,
    ),
    "beside another, where what is missing is set up": Case(
        imported("try:\n    import json\n    import xformers.ops as xops\nexcept ImportError:\n    setup()\n"),
        ("finding XF140",),
        has=("try:\n    import json\nexcept ImportError:\n    setup()\n",),
        lacks=("xformers",),
        helper=True,
    ),
    "from the helper by a star": Case(
        imported("from xformers.ops import *\n", DYNAMIC).replace("xops.", ""),
        ("finding XF140",),
        has=(OURS,),
        helper=True,
    ),
    "a default that stood in": Case(
        imported("xops = None\n" + TRIED.format("pass")), ("finding XF140",), lacks=("xops",), helper=True
    ),
    "of a switch's question, in a branch that goes on": Case(
        "from diffusers import UNet2DConditionModel\n\nunet = UNet2DConditionModel.from_pretrained(path)\n"
        "if args.fast:\n    from diffusers.utils.import_utils import is_xformers_available\n\n    set_up(unet)\n"
        "    if is_xformers_available():\n        unet.enable_xformers_memory_efficient_attention()\n",
        ("finding XF140",),
        has=("if args.fast:\n    set_up(unet)\n",),
        lacks=("is_xformers_available",),
    ),
    "of a question, in a branch that goes on": Case(
        DONE.replace(
            "import torch\n",
            "import torch\nif torch.cuda.is_available():\n    import importlib.util\n\n    set_up()\n"
            "    FAST = importlib.util.find_spec('xformers') is not None\n",
        ),
        ("finding XF140",),
        has=("if torch.cuda.is_available():\n    set_up()\n    FAST = True\n",),
        lacks=("importlib",),
        helper=True,
    ),
    "some of several in a guard that does more": Case(
        imported(
            "try:\n    from xformers.ops import SparseCSRTensor, memory_efficient_attention\n\n    register()\n"
            "except ImportError:\n    set_up()\n"
        ).replace("xops.", "")
        + "\n\nx = SparseCSRTensor\n",
        ("finding XF140",),
        has=("    from xformers.ops import SparseCSRTensor\n\n    register()\n",),
        helper=True,
    ),
    "a name that is asked for by its failing": Case(
        imported(ASKED),
        ("finding XF140",),
        lacks=("try", "NameError"),
    ),
    "of a switch's question, alone in its branch": Case(
        "from diffusers import UNet2DConditionModel\n\nunet = UNet2DConditionModel.from_pretrained(path)\n"
        "if args.fast:\n    from diffusers.utils.import_utils import is_xformers_available\n"
        "if is_xformers_available():\n    unet.enable_xformers_memory_efficient_attention()\n",
        ("finding XF140",),
        lacks=("is_xformers_available", "if args.fast"),
    ),
    "a branch with a guard of which its flag is left": Case(
        imported("if n:\n    " + TRIED.format("FAST = False").replace("\n", "\n    ") + "else:\n        FAST = True\n"),
        ("finding XF141",),
        has=("if n:\n    FAST = True\n",),
        helper=True,
    ),
    "a branch with a guard of which nothing is left": Case(
        imported("if n:\n    " + TRIED.format("exit()").replace("\n", "\n    ").rstrip() + "\n"),
        ("finding XF140",),
        lacks=("if n", "exit"),
        helper=True,
    ),
    "a branch with an import that goes on from the helper": Case(
        imported(f"if n:\n    {THEIRS}", DYNAMIC).replace("xops.", ""),
        ("finding XF140",),
        has=(f"if n:\n    {OURS}",),
        helper=True,
    ),
    "a branch of which only its else is left": Case(
        imported(CHOSEN.replace("xops = None", "set_up()").replace("has_xformers", "n")),
        ("finding XF140",),
        has=("if not n:\n    set_up()\n",),
        lacks=("xops",),
        helper=True,
    ),
    "a branch of which only its elif is left": Case(
        imported("if n:\n    import xformers.ops as xops\nelif m:\n    set_up()\n"),
        ("finding XF140",),
        has=("elif m:\n    set_up()\n",),
        lacks=("import xformers",),
        helper=True,
    ),
    "a branch of which nothing is left": Case(
        imported("if n:\n    import xformers.ops as xops\n"), ("finding XF140",), lacks=("if n", "xops"), helper=True
    ),
    "a branch whose condition does something": Case(
        imported("if n():\n    import xformers.ops as xops\n"),
        ("finding XF140",),
        has=("if n():\n    pass\n",),
        helper=True,
    ),
    "a default that is read before": Case(
        imported("memory_efficient_attention = None\nprint(memory_efficient_attention)\n" + THEIRS, DYNAMIC).replace(
            "xops.", ""
        ),
        ("finding XF140",),
        has=("memory_efficient_attention = None\nprint(memory_efficient_attention)\n", OURS),
        helper=True,
    ),
    "a default that is read in its own line": Case(
        imported(f"{NONE}; print(memory_efficient_attention)\n{THEIRS}", DYNAMIC).replace("xops.", ""),
        ("finding XF140",),
        has=(f"{NONE}; print(memory_efficient_attention)\n{OURS}",),
        helper=True,
    ),
    "a default that is read in the line of the import": Case(
        imported(f"{NONE}\nprint(memory_efficient_attention); {THEIRS}", DYNAMIC).replace("xops.", ""),
        ("finding XF140",),
        has=(f"{NONE}\nprint(memory_efficient_attention); {OURS}",),
        helper=True,
    ),
    "a value that is put over the import in its line": Case(
        imported(f"{THEIRS[:-1]}; {NONE}\n", DYNAMIC).replace("xops.", ""),
        ("finding XF140",),
        has=(f"{OURS[:-1]}; {NONE}\n",),
        helper=True,
    ),
    "a default between two imports": Case(
        imported(f"import xformers.ops as xops\n{NONE}\n{THEIRS}", DYNAMIC + "\n\nx = xops.SwiGLU\n").replace(
            "xops.memory", "memory"
        ),
        ("finding XF140",),
        has=(f"from _attention_compat import SwiGLU\n{OURS}",),
        lacks=(NONE,),
        helper=True,
    ),
    "repeated in a function": Case(
        "from xformers.ops import memory_efficient_attention\n\n\ndef attend(q, k, v, bias):\n"
        "    from xformers.ops import memory_efficient_attention\n\n"
        "    return memory_efficient_attention(q, k, v, attn_bias=bias)\n",
        ("finding XF140",),
        has=(f"{OURS}\n\ndef attend(q, k, v, bias):\n    return memory",),
        helper=True,
    ),
    "still used": Case(attend(mea() + ", xops.SparseCSRTensor"), ("finding XF401",), "xops is still used"),
    "used by what is left": Case(attend(mea("attn_bias=bias")), ("finding XF401",), "xops is still used", same=True),
    "a guard that sets a flag": Case(
        imported(TRIED.format("FAST = False") + "else:\n    FAST = True\n"),
        ("finding XF401",),
        "decides which path runs",
        has=("FAST = True",),
    ),
    "a guard that does more": Case(
        imported("try:\n    import xformers.ops as xops\n\n    register()\nexcept ImportError:\n    pass\n", DYNAMIC),
        ("finding XF140",),
        has=(OURS, "    register()\n"),
        lacks=("xformers",),
        helper=True,
    ),
    "in a function, from the helper": Case(
        attend(
            "memory_efficient_attention(q, k, v, attn_bias=bias)",
            "from xformers.ops import memory_efficient_attention",
            imports="import torch\n",
        ),
        ("finding XF140",),
        has=(f"    {OURS}",),
        helper=True,
    ),
    "one of two from the helper": Case(
        imported(
            "from xformers.ops import SparseCSRTensor, memory_efficient_attention\n",
            DYNAMIC + "\n\nx = SparseCSRTensor\n",
        ).replace("xops.", ""),
        ("finding XF140",),
        has=(f"from xformers.ops import SparseCSRTensor\n{OURS}",),
        helper=True,
    ),
    "one of two that nothing reads": Case(
        imported("from xformers.ops import SwiGLU, memory_efficient_attention\n", DYNAMIC).replace("xops.", ""),
        ("finding XF140",),
        has=(OURS,),
        lacks=("SwiGLU",),
        helper=True,
    ),
    "two imports become one": Case(
        imported(
            "from xformers.ops import memory_efficient_attention\nfrom xformers.ops import LowerTriangularMask\n",
            DYNAMIC + "\n\nx = LowerTriangularMask()\n",
        ).replace("xops.", ""),
        ("finding XF140",),
        has=("from _attention_compat import LowerTriangularMask, memory_efficient_attention\n",),
        lacks=("xformers",),
        helper=True,
    ),
}
NEAR_MISSES = {
    "of another package": Case(imported("import xops\n"), same=True),
    "in a string": Case(QUOTED, same=True, helper=True),
    "in a comment": Case("# import xformers.ops: memory_efficient_attention\nimport torch\n", same=True, helper=True),
    "a package of the project": Case(imported("from .xformers import ops as xops\n"), same=True),
}


def test_an_import_that_stays_beside_the_helpers_is_named() -> None:
    text = DYNAMIC + "\n\nx = xops.SparseCSRTensor\n"
    holds(Case(text, ("finding XF402",), has=("import xformers.ops as xops\n",), helper=True))
    holds(Case(text, ("finding XF401",), "xops is still used", helper=True))


@pytest.mark.parametrize("helper", [False, True])
def test_a_star_that_nothing_needs_any_more_goes(helper: bool) -> None:
    text = attend(mea().replace("xops.", ""), imports="import torch\nfrom xformers.ops import *\n")
    holds(Case(text, ("finding XF140",), lacks=("xformers",), helper=helper))


def test_blank_lines_below_a_guard_at_the_top_stay() -> None:
    text = attend(mea(), imports=TRIED.format("pass"))
    holds(Case(text, has=("import torch.nn.functional as F\n\n\ndef attend",)))


def test_a_call_that_a_comment_leaves_keeps_its_import() -> None:
    text = attend("memory_efficient_attention(q, k, v, attn_bias=bias)  # xf2sdpa: ignore", imports=THEIRS)
    holds(Case(text, ("left XF906",), helper=True))
    holds(Case(text, ("left XF906",), same=True, helper=True))


def test_the_switch_of_another_library_is_named() -> None:
    text = DONE + "\n\nx = xops.SparseCSRTensor\nunet.enable_xformers_memory_efficient_attention()\n"
    (advice,) = [f.advice for f in holds(Case(text)).findings if f.code == "XF401"]
    assert advice.startswith("If it is only there for diffusers'")


def test_the_helpers_import_takes_the_place_of_the_old_one() -> None:
    text = imported("import os\nfrom xformers.ops import memory_efficient_attention  # why\nimport re\n", DYNAMIC)
    new = holds(Case(text.replace("xops.", ""), helper=True)).new
    assert f"import os\n{OURS.rstrip()}  # why\nimport re\n" in new


@by_name(EMITTED)
def test_it_is_told(case: Case) -> None:
    holds(case)


@by_name(NEAR_MISSES)
def test_a_near_miss_goes_elsewhere(case: Case) -> None:
    holds(case, never=tuple(rule("imports").codes))


def test_every_code_is_told_somewhere() -> None:
    assert set(rule("imports").codes) <= codes_in(EMITTED)


def test_the_examples_hold() -> None:
    examples_hold("imports")


@pytest.mark.parametrize(
    ("head", "new"),
    [
        ("import os\n{}import re\nfrom .a import b\n", "import os\nimport re\nfrom .a import b\n{}"),
        ("import os\n{}import re\n", "import os\nimport re\n{}"),
        ("{}from .a import b\n", "{}from .a import b\n"),
        ("from .a import b\n{}", "from .a import b\n{}"),
        ("{}from .a import *\nimport re\n", "{}from .a import *\nimport re\n"),
    ],
)
def test_a_relative_import_of_the_helper_stands_with_others(head: str, new: str) -> None:
    old = "from xformers.ops import memory_efficient_attention\n"
    text = attend("memory_efficient_attention(q, k, v, attn_bias=bias)", imports=head.format(old))
    result = rewrite_text(text, compat="._attention_compat")
    assert result.new.startswith(new.format(OURS.replace("from ", "from ."))), result.new


def test_a_comment_for_type_checkers_does_not_speak_of_the_helper() -> None:
    old = "from xformers.ops import memory_efficient_attention  # type: ignore\n"
    text = attend("memory_efficient_attention(q, k, v, attn_bias=bias)", imports=f"import os\n{old}")
    assert holds(Case(text, helper=True)).new.startswith(f"import os\n{OURS}\n")


WARNED = """\
import torch
import xformers.ops as xops


def check(args):
    if {}:
        try:
            import xformers
        except ImportError:
            print("xformers is not installed")
    return attend


def attend(q, k, v):
    return xops.memory_efficient_attention(q, k, v)
"""


@pytest.mark.parametrize(
    ("condition", "goes"),
    [
        ("args.old", True),
        ("not args.old", True),
        ("torch.__version__ < '2.0'", True),
        ("args.kinds['old'] and torch", True),
        ("args.counted()", False),
    ],
)
def test_an_if_of_which_nothing_is_left_goes_where_its_condition_does_nothing(condition: str, goes: bool) -> None:
    result = rewrite_text(WARNED.replace("{}", condition), compat="_attention_compat")
    assert not result.failed
    head = "def check(args):\n" + ("" if goes else f"    if {condition}:\n        pass\n")
    assert f"{head}    return attend\n" in result.new


def test_what_asks_for_a_name_stays_while_that_is_read() -> None:
    asking = "try:\n    xops\nexcept NameError:\n    import xformers.ops as xops\n"
    program = imported(f"{asking}\nprint(xops)\n")
    assert asking in rewrite_text(program, compat="_attention_compat").new
    alone = rewrite_text(imported(asking), compat="_attention_compat")
    assert "xops" not in alone.new


@pytest.mark.parametrize("guard", ["try:\n    {}except ImportError:\n    {}", "if has_xformers:\n    {}else:\n    {}"])
def test_without_a_helper_a_guard_stays_that_sets_more(guard: str) -> None:
    """What is set on an object others may read."""
    ours = "import xformers.ops as xops\n"
    kept = imported(guard.format(ours, "a.b = None\n"))
    assert guard.format(ours, "a.b = None\n") in rewrite_text(kept).new
    assert "xops" not in rewrite_text(imported(guard.format(ours, "xops = None\n"))).new


def test_without_a_helper_a_with_of_nothing_else_goes() -> None:
    lines = "from contextlib import suppress\n\nwith suppress(ImportError):\n    import xformers.ops as xops\n"
    new = rewrite_text(imported(lines)).new
    assert "suppress" not in new
    assert "xformers" not in new
