"""The project's own function takes over only where it is one of the operator's kind, and all calls fit it."""

from __future__ import annotations

import pytest

from xf2sdpa.model import FileResult, SiteClass
from xf2sdpa.rewrite.engine import rewrite_text, rewrite_with
from xf2sdpa.rewrite.options import Options
from xf2sdpa.settings import Settings

TEXT = """\
import torch.nn.functional as F

try:
    from xformers.ops import memory_efficient_attention
except ImportError:
    # ours
    def memory_efficient_attention(q, k, v, attn_bias=None, p=0.0):
        q, k, v = (x.transpose(1, 2) for x in (q, k, v))
        return F.scaled_dot_product_attention(q, k, v, attn_mask=attn_bias).transpose(1, 2)


def attend(q, k, v, mask):
    return memory_efficient_attention(q, k, v)
"""
CALL = "    return memory_efficient_attention(q, k, v)\n"
HEAD = "    # ours\n"


def rewritten(old: str = "", new: str = "", text: str = TEXT) -> FileResult:
    assert old in text
    result = rewrite_text(text.replace(old, new, 1) if old else text, compat="_attention_compat")
    assert not result.failed
    return result


def test_it_takes_over() -> None:
    result = rewritten()
    assert result.new == TEXT.replace(TEXT[TEXT.index("\ntry") : TEXT.index("    # ours")], "\n\n").replace(
        TEXT[TEXT.index("    # ours") : TEXT.index("\n\ndef attend")],
        "# ours\ndef memory_efficient_attention(q, k, v, attn_bias=None, p=0.0):\n"
        "    q, k, v = (x.transpose(1, 2) for x in (q, k, v))\n"
        "    return F.scaled_dot_product_attention(q, k, v, attn_mask=attn_bias).transpose(1, 2)\n",
    )
    assert [(site.kind, site.code) for site in result.sites] == [(SiteClass.ASSUMED, "XF163")]
    assert result.sites[0].assumptions == ("the project's own memory_efficient_attention computes what xformers' does",)
    assert not rewrite_text(result.new, compat="_attention_compat").changed


FLAG = "try:\n    import xformers\n\n    HAVE_XFORMERS = True\nexcept ImportError:\n    HAVE_XFORMERS = False\n"
OWN = TEXT[TEXT.index("    def memory") : TEXT.index("\n\ndef attend")]
IMPORT = "    from xformers.ops import memory_efficient_attention\n"
ATTEND = "\n\ndef attend(q, k, v, mask):\n" + CALL
IF = "import torch.nn.functional as F\n{head}\nif {test}:\n" + IMPORT + "else:\n" + OWN + ATTEND
IF_NOT = "import torch.nn.functional as F\n{head}\nif {test}:\n" + OWN + "else:\n" + IMPORT + ATTEND
COMMENTED = IF.replace("else:\n", "else:\n    # ours\n\n    # and more of it\n")
FIND = "from importlib.util import find_spec\n"


@pytest.mark.parametrize(
    ("text", "head", "test"),
    [
        (IF, FLAG, "HAVE_XFORMERS"),
        (IF_NOT, FLAG, "not HAVE_XFORMERS"),
        (COMMENTED, FLAG, "HAVE_XFORMERS"),
        (IF, FIND, "find_spec('xformers') is not None"),
        (IF_NOT, FIND, "not find_spec('xformers')"),
        (IF_NOT, FIND, "find_spec('xformers') is None"),
        (IF, FIND + "\nHAS_XFORMERS = find_spec('xformers') is not None\n", "HAS_XFORMERS"),
        (IF, FIND + "\nXFORMERS = bool(1)\n", "find_spec('xformers')"),
    ],
)
def test_it_takes_over_from_an_if(text: str, head: str, test: str) -> None:
    result = rewritten(text=text.format(head=head, test=test))
    assert [site.code for site in result.sites] == ["XF163"]
    assert "\ndef memory_efficient_attention(q, k, v, attn_bias=None, p=0.0):\n    q, k, v =" in result.new
    assert "import xformers" not in result.new
    assert "from xformers" not in result.new


@pytest.mark.parametrize(
    ("head", "test"),
    [
        ("import os\n\nUSE_XFORMERS = os.environ.get('X') is not None\n", "USE_XFORMERS"),
        ("import os\n\nXFORMERS = bool(os.environ.get('X'))\n", "XFORMERS"),
        (FLAG + "HAVE_XFORMERS = HAVE_XFORMERS and F is not None\n", "HAVE_XFORMERS"),
        (FLAG + "\n\ndef off():\n    global HAVE_XFORMERS\n    HAVE_XFORMERS = False\n\n", "HAVE_XFORMERS"),
        (FIND, "find_spec('other')"),
        (FIND, "find_spec('xformers') is not None and F is not None"),
    ],
)
def test_a_choice_of_somebody_is_none(head: str, test: str) -> None:
    result = rewritten(text=IF.format(head=head, test=test))
    assert "XF163" not in [site.code for site in result.sites]
    assert "def memory_efficient_attention(q, k, v, attn_bias=None, p=0.0):" in result.new
    assert CALL in result.new  # by whichever of the two


BESIDE = {
    "a message goes": ("    print('slow')\n", "\n\n\ndef memory"),
    "a pass goes": ("    pass\n", "\n\n\ndef memory"),
    "an import stays": ("    import torch\n\n", "functional as F\n\nimport torch\n\ndef memory"),
    "several of them": (
        "    print('slow')\n    import torch\n    pass\n",
        "functional as F\n\nimport torch\ndef memory",
    ),
}


@pytest.mark.parametrize(("beside", "new"), BESIDE.values(), ids=list(BESIDE))
def test_what_stands_beside_the_function(beside: str, new: str) -> None:
    result = rewritten(HEAD, beside)
    assert [site.code for site in result.sites] == ["XF163"]
    assert new in result.new


@pytest.mark.parametrize("arm", [TEXT, IF.format(head=FIND, test="find_spec('xformers')")])
def test_a_message_beside_the_import_goes(arm: str) -> None:
    result = rewritten(IMPORT, f"{IMPORT}    print('fast')\n", arm)
    assert [site.code for site in result.sites] == ["XF163"]
    assert "print" not in result.new


def test_a_comment_may_stand_behind_the_else() -> None:
    text = IF.format(head=FIND, test="find_spec('xformers')")
    assert [site.code for site in rewritten("else:\n", "else:  # ours\n", text).sites] == ["XF163"]


def test_an_else_of_one_line_is_not_taken_apart() -> None:
    text = f"{FIND}if find_spec('xformers'):\n{IMPORT}else: from .own import memory_efficient_attention\n{ATTEND}"
    own = {".own.memory_efficient_attention": TEXT[TEXT.index("def memory") : TEXT.index("\n\ndef attend")]}
    options = Options(Settings(), compat="_attention_compat", own_functions=own)
    assert [site.code for site in rewrite_with(text, "model.py", options).sites] == ["XF161"]


@pytest.mark.parametrize(
    ("docstring", "taken"),
    [
        ('        """Attend.\n\n        As xformers does.\n        """\n', True),
        ('        """Attend.\n\n            More.\n    """\n', True),
        ('        """Attend.\n\n  Less.\n        """\n', False),
        ('        TEXT = """\n        More.\n        """\n', False),
    ],
)
def test_docstrings_move_with_the_function(docstring: str, taken: bool) -> None:
    line = "        q, k, v = (x"
    result = rewritten(line, docstring + line)
    assert ([site.code for site in result.sites] == ["XF163"]) is taken
    assert not rewrite_text(result.new, compat="_attention_compat").changed


def test_a_docstring_moves_where_no_comment_stands_above() -> None:
    text = TEXT.replace(
        "        q, k, v = (x", '        """Attend.\n\n        As xformers does.\n        """\n        q, k, v = (x'
    )
    assert [site.code for site in rewritten(HEAD, "", text).sites] == ["XF163"]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (CALL, CALL.replace("v)", "v, attn_bias=mask)")),
        (CALL, CALL.replace("v)", "v, mask)")),
        (HEAD, "    print('no xformers: slow')\n"),
        (HEAD, "    import torch\n\n"),
        ("except ImportError", "except Exception"),
    ],
)
def test_forms_of_it(old: str, new: str) -> None:
    assert [site.code for site in rewritten(old, new).sites] == ["XF163"]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (CALL, CALL.replace("v)", "v, p=0.1)")),
        (CALL, CALL.replace("v)", "v, scale=2)")),
        (CALL, CALL.replace("(q, k, v)", "(*q)")),
        (CALL, CALL.replace("(q, k, v)", "(q, k, v) + map(memory_efficient_attention, q)")),
        (CALL, CALL.replace("v)", "v, mask, 0.1)")),
        ("attn_bias=None, p=0.0", "p=0.0, attn_bias=None"),
        ("k, v, attn_bias=None", "k, v, how, attn_bias=None"),
        ("F.scaled_dot_product_attention(q, k, v, attn_mask=attn_bias)", "(q @ k @ v + attn_bias)"),
        (HEAD, "    @cache\n"),
        (HEAD, "    OURS = True\n"),
        (HEAD, "    from xformers.ops import unbind\n"),
        (HEAD, "    import json; import torch\n"),
        (CALL, f"{CALL}\n\ndef more(q, k):\n    return memory_efficient_attention(q, *k, k)\n"),
        (CALL, f"{CALL}\n\ndef more(layer, k, v):\n    return apply(memory_efficient_attention, k, v)\n"),
        (CALL, f"{CALL}\n\ndef more(layer, k, v):\n    return layer.apply(memory_efficient_attention, k, v)\n"),
        ("memory_efficient_attention\nexcept", "memory_efficient_attention, unbind\nexcept"),
    ],
)
def test_otherwise_the_helper_does(old: str, new: str) -> None:
    text = TEXT if "p=0.0, attn" not in new else TEXT.replace(CALL, CALL.replace("v)", "v, mask)"))
    assert {site.code for site in rewritten(old, new, text).sites} == {"XF161"}


def test_what_is_one_with_the_line_above_is_not_taken_apart() -> None:
    text = "try:\n    from xformers.ops import memory_efficient_attention\nexcept ImportError: from own import "
    text += "memory_efficient_attention\n\n\ndef attend(q, k, v):\n" + CALL
    assert "XF163" not in [site.code for site in rewritten(text=text).sites]


def test_a_call_with_more_arguments_fits_nothing() -> None:
    result = rewritten(CALL, CALL.replace("(q, k, v)", "(q, k, v, None, 0.0, None)"))
    assert [site.code for site in result.sites] != ["XF163"]


def test_an_arm_of_two_comments_is_taken_over() -> None:
    result = rewritten(HEAD, "    # not\n\n    # theirs\n")
    assert [site.code for site in result.sites] == ["XF163"]


FITTING = {
    "it must be given more": ("p=0.0", "p=0.0, *, scale", "(q, k, v)", False),
    "it may be given more": ("p=0.0", "p=0.0, *, scale=None", "(q, k, v)", True),
    "all that it reads": ("p=0.0", "p=0.0", "(q, k, v, mask)", True),
    "what it does not read": ("p=0.0", "p=0.0", "(q, k, v, mask, 0.1)", False),
    "a kernel, which it need not read": ("p=0.0", "p=0.0, op=None", "(q, k, v, op=None)", True),
    "a name that it does not know": ("p=0.0", "p=0.0", "(q, k, v, scale=1.0)", False),
    "too little": ("attn_bias=None", "attn_bias", "(q, k, v)", False),
    "unpacked, though all are named": ("p=0.0", "p=0.0", "(q, *k, v)", False),
    "all that it reads, and a kernel": ("p=0.0", "p=0.0, op=None", "(q, k, v, mask, op=None)", True),
}


@pytest.mark.parametrize(("old", "new", "call", "fits"), FITTING.values(), ids=list(FITTING))
def test_what_fits(old: str, new: str, call: str, fits: bool) -> None:
    text = TEXT.replace(old, new, 1).replace(CALL, CALL.replace("(q, k, v)", call))
    assert ([site.code for site in rewritten(text=text).sites] == ["XF163"]) is fits


IMPORTED = """\
import torch

try:
    from xformers.ops import memory_efficient_attention
except ImportError:
    from .own import attend_plainly as memory_efficient_attention


def attend(q, k, v, mask):
    return memory_efficient_attention(q, k, v)
"""
THERE = "def attend_plainly(q, k, v, attn_bias=None):\n    return F.scaled_dot_product_attention(q, k, v, attn_bias)\n"
NO_CALL = THERE.replace("    return F.scaled", "    'As scaled_dot_product_attention().'\n    return F.un_scaled")
OTHERS = {
    "it is seen": ("", {".own.attend_plainly": THERE}, True),
    "it is that of another file": ("", {"own.attend_plainly": THERE}, False),
    "it is not seen": ("", {}, False),
    "it only speaks of SDPA": ("", {".own.attend_plainly": NO_CALL.replace("un_scaled_dot", "plain")}, False),
    "it needs xformers": ("", {".own.attend_plainly": THERE.replace("    ret", "    import xformers\n    ret")}, False),
    "it must be given more": ("", {".own.attend_plainly": THERE.replace("attn_bias=None", "attn_bias")}, False),
    "it is imported by a whole path": ("from .own ", {"own.attend_plainly": THERE}, True),
    "it is imported from the package": ("from .own ", {".attend_plainly": THERE}, True),
}


@pytest.mark.parametrize(("old", "own", "takes"), OTHERS.values(), ids=list(OTHERS))
def test_one_of_another_file_takes_over_where_it_is_seen(old: str, own: dict[str, str], takes: bool) -> None:
    new = "from own " if "own.attend_plainly" in own else "from . "
    text = IMPORTED.replace(old, new, 1) if old else IMPORTED
    result = rewrite_with(text, "model.py", Options(Settings(), compat="_attention_compat", own_functions=own))
    assert ([site.code for site in result.sites] == ["XF163"]) is takes
    assert ("from xformers.ops import" in result.new or "_attention_compat import" in result.new) is not takes


WITH_MORE = {
    "finally": "try:\n" + IMPORT + "except ImportError:\n" + OWN + "finally:\n    print(1)\n",
    "an else": "try:\n" + IMPORT + "except ImportError:\n" + OWN + "else:\n    print(1)\n",
    "a name for the error": "try:\n" + IMPORT + "except ImportError as error:\n" + OWN,
    "two handlers": "try:\n" + IMPORT + "except ImportError:\n" + OWN + "except OSError:\n    raise\n",
    "an elif": FIND + "if find_spec('xformers'):\n" + IMPORT + "elif F:\n" + OWN,
    "no handler": "try:\n" + IMPORT + "finally:\n    print(1)\n",
    "no else": FIND + "if find_spec('xformers'):\n" + IMPORT,
    "no import": FIND + "if find_spec('xformers'):\n    pass\nelse:\n" + OWN + IMPORT[4:],
    "more than the import": FIND + "if find_spec('xformers'):\n" + IMPORT + "    register()\nelse:\n" + OWN,
}


@pytest.mark.parametrize("guard", WITH_MORE.values(), ids=list(WITH_MORE))
def test_what_does_more_than_choose_is_no_choice(guard: str) -> None:
    result = rewritten(text="import torch.nn.functional as F\n" + guard + ATTEND)
    assert "XF163" not in [site.code for site in result.sites]


@pytest.mark.parametrize("above", ["", "\n", "\n\n"])
def test_two_blank_lines_stand_above_the_function(above: str) -> None:
    new = rewritten("\n\ntry", f"\n{above}try").new
    assert "import torch.nn.functional as F\n\n\n# ours\ndef memory" in new


@pytest.mark.parametrize("above", ["\nX = 1\n", "\n\nX = 1\nY = 2\n"])
def test_blank_lines_further_above_do_not_count(above: str) -> None:
    new = rewritten("\n\ntry", f"{above}try").new
    assert f"{above}\n\n# ours\ndef memory" in new


def test_under_another_name_the_helper_does() -> None:
    text = TEXT.replace("memory_efficient_attention(", "mea(").replace("attention\n", "attention as mea\n")
    assert [site.code for site in rewritten(text=text).sites] == ["XF161"]


def test_a_name_that_is_handed_on_keeps_its_choice() -> None:
    options = Options(Settings(), compat="_attention_compat", handed_on=frozenset({"memory_efficient_attention"}))
    assert [site.code for site in rewrite_with(TEXT, "model.py", options).sites] != ["XF163"]
