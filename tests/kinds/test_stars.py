"""`from other import *` binds names that the file has bound already: what comes last counts, as far as the files show.

A star may bring another `F`, another flag, another operator, or nothing of the kind.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.kinds.kinds import NET, SHAPE, Case, check, table

USE = NET.partition("\n\n\n")[2]
XOPS = "import xformers.ops as xops\n"
F = "import torch.nn.functional as F\n"
STAR = "from other import *\n"
FLAG = "try:\n    import xformers.ops as xops\n\n    FAST = True\nexcept ImportError:\n    FAST = False\n"
_FLAG = FLAG.replace("FAST", "_FAST")
ASKED = "\n\ndef fast():\n    if not FAST:\n        raise RuntimeError('off')\n    return 'on'\n"
CLASS = "class F:\n    pass\n\n\nF.resize = len\n"
CALLED = "print(tuple(net.attend(q, k, v).shape))"
CHECKED = f"try:\n    print(net.fast())\nexcept RuntimeError as error:\n    print(error)\n{CALLED}"


def star(
    name: str,
    head: str,
    other: str,
    run: str = CALLED,
    printed: str = SHAPE,
    *,
    has: str = "",
    use: str = USE,
    stays: bool = False,
    **files: str,
) -> Case:
    """A file that star-imports another one: it prints the same before and after, with xformers and without.

    Args:
        name: what the case is called.
        head: the file without its call.
        other: the text of `other.py`; if empty, it is a library's, out of sight.
        run: what is run.
        printed: what that prints.
        has: what the new text must hold.
        use: its function with the call.
        stays: whether the call may be left, with a finding.
        files: more modules, by name; dots stand as `__`.
    """
    texts = {f"{path.replace('__', '/')}.py": text for path, text in files.items()}
    own = {"other.py": other} if other else {}
    return Case(
        name=name,
        files={"net.py": f"{head}\n\n{use}", **own, **({} if not other else texts)},
        libraries={} if other else texts,
        run=f"import net\n{run}",
        present=printed,
        absent=printed,
        has=(("net.py", has),) if has else (),
        unless_said=r"XF40[1-9]" if stays else "",
    )


INLINE = r"F\.scaled_dot_product_attention\("
WHOLE = r"torch\.nn\.functional\.scaled_dot_product_attention\("
OWN = "from xformers.ops import memory_efficient_attention\n"
OWN_USE = USE.replace("xops.memory", "memory").replace("return", "out =") + "    return out\n"
CASES = [
    star("another F behind", f"{F}{XOPS}{STAR}", CLASS),
    star("another F in front", f"{STAR}{F}{XOPS}", CLASS, has=INLINE),
    star("another F, which is read", f"import torch\n{XOPS}{STAR}\nSIZE = F.resize([1])\n", CLASS),
    star(
        "another F, which a function reads",
        f"import torch\n{XOPS}{STAR}\n\ndef size():\n    return F.resize([1])\n",
        CLASS,
        f"print(net.size())\n{CALLED}",
        f"1\n{SHAPE}",
    ),
    star("another F that nothing reads", f"import torch\n{XOPS}{STAR}", CLASS),
    star("another F that nothing reads, without torch", f"{XOPS}{STAR}", CLASS),
    star("another F that is read, without torch", f"{XOPS}{STAR}\nSIZE = F.resize([1])\n", CLASS),
    star("another F that is read, in front", f"{STAR}{XOPS}\nSIZE = F.resize([1])\n", CLASS),
    star("an F of a library that is read", f"{XOPS}from library import *\n\nSIZE = F.resize([1])\n", "", library=CLASS),
    star("an F of a library that nothing reads", f"{XOPS}from library import *\n", "", library=CLASS),
    star("the same F", f"{F}{XOPS}{STAR}", F, has=INLINE),
    star("the same F, by another import", f"{F}{XOPS}{STAR}", "from torch.nn import functional as F\n", has=INLINE),
    star("a private F", f"{F}{XOPS}{STAR}", "class _F:\n    pass\n", has=INLINE),
    star("an F that is not listed", f"{F}{XOPS}{STAR}", f"__all__ = ['x']\nx = 1\n{CLASS}", has=INLINE),
    star("an F that is listed", f"{F}{XOPS}{STAR}", f"__all__ = ['F']\n{CLASS}"),
    star("an F that is listed by parts", f"{F}{XOPS}{STAR}", f"__all__ = ['x']\n__all__ += ['F']\nx = 1\n{CLASS}"),
    star("an F through another star", f"{F}{XOPS}{STAR}", "from further import *\n", further=CLASS),
    star("an F of a package", f"{F}{XOPS}from box import *\n", "", box____init__=CLASS),
    star("an F of a library", f"{F}{XOPS}from library import *\n", "", library=CLASS),
    star(
        "an F of a library, which is not read",
        f"{F}{XOPS}from library import *\n\n\ndef act(x):\n    return F.softmax(x, -1)\n",
        "",
        has=INLINE,
        library="x = 1\n",
    ),
    star("an F that is bound in a branch", f"{F}{XOPS}{STAR}", "if True:\n    class F:\n        pass\n"),
    star("an F that is a loop's", f"{F}{XOPS}{STAR}", "for F in (1, 2):\n    pass\n"),
    star("another F, behind a try", f"{F}{XOPS}try:\n    {STAR}except ImportError:\n    pass\n", CLASS),
    star("another flag behind", f"{FLAG}{STAR}{ASKED}", "FAST = False\n", CHECKED, f"off\n{SHAPE}"),
    star("another flag in front", f"{STAR}{FLAG}{ASKED}", "FAST = False\n", CHECKED, f"on\n{SHAPE}"),
    star("the same flag behind", f"{FLAG}{STAR}{ASKED}", FLAG, CHECKED, f"on\n{SHAPE}"),
    star(
        "another flag, looked up",
        f"from importlib.util import find_spec\n\n{XOPS}\nFAST = find_spec('xformers') is not None\n{STAR}{ASKED}",
        "FAST = False\n",
        CHECKED,
        f"off\n{SHAPE}",
    ),
    star(
        "a flag of a library", f"{FLAG}from library import *\n{ASKED}", "", CHECKED, f"off\n{SHAPE}",
        library="FAST = False\n",
    ),
    star(
        "another function that asks",
        f"{XOPS}from importlib.util import find_spec\n\n\ndef available():\n    return "
        f"find_spec('xformers') is not None\n\n\n{STAR}\n\ndef fast():\n    return available()\n",
        "def available():\n    return 'theirs'\n",
        f"print(net.fast())\n{CALLED}",
        f"theirs\n{SHAPE}",
    ),
    star(
        "another operator behind", f"{OWN}{STAR}", "def memory_efficient_attention(q, k, v):\n    return q[:1]\n",
        printed="(1, 5, 3, 8)", use=OWN_USE,
    ),
    star(
        "another operator in front", f"{STAR}{OWN}", "def memory_efficient_attention(q, k, v):\n    return q[:1]\n",
        use=OWN_USE,
    ),
    star(
        "another module behind", f"{XOPS}{STAR}",
        "class xops:\n    @staticmethod\n    def memory_efficient_attention(q, k, v):\n        return q[:1]\n",
        printed="(1, 5, 3, 8)",
        stays=True,
    ),
    star(
        "another operator behind, and the helper's", f"import xformers.ops\n{STAR}",
        "def memory_efficient_attention(q, k, v):\n    return q[:1]\n",
        f"{CALLED}\nprint(tuple(net.theirs(q, k, v).shape))", f"{SHAPE}\n(1, 5, 3, 8)",
        use="def attend(q, k, v, bias=None):\n"
        "    return xformers.ops.memory_efficient_attention(q, k, v, attn_bias=bias)\n\n\n"
        "def theirs(q, k, v):\n    return memory_efficient_attention(q, k, v)\n",
    ),
    star("the same operator behind", f"{OWN}{STAR}", OWN, use=OWN_USE),
    star("the same module behind", f"{XOPS}{STAR}", f"{XOPS}\n\n{USE.replace('attend', 'other')}"),
]  # fmt: skip
RED: dict[str, str] = {}


@pytest.mark.parametrize("case", table(CASES, RED))
def test_stars(case: Case, tmp_path: Path) -> None:
    check(case, tmp_path)
