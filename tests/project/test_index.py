"""Look-ups of names that are computed: which texts are parsed for them, and what is found there."""

from __future__ import annotations

from pathlib import Path

import pytest

from xf2sdpa.project import index
from xf2sdpa.project.callers import Callers
from xf2sdpa.project.files import Project
from xf2sdpa.project.index import Index, Unknowable
from xf2sdpa.project.never_passed import never_passed
from xf2sdpa.project.ranks_from_callers import ranks_from_callers

NAMED = """\
class Block:
    pass
"""


def asked_about(name: str, text: str, tmp_path: Path) -> tuple[str, list[str]]:
    """Why a name of a file may be looked up in another one, and which files were parsed to find out."""
    files = {str(tmp_path / "net.py"): NAMED, str(tmp_path / "zoo.py"): text}
    found = Index(Project(files, files))
    try:
        found.check_not_looked_up(name, str(tmp_path / "net.py"))
        why = ""
    except Unknowable as error:
        why = str(error)
    return why, sorted(Path(path).name for path in found._parsed)


@pytest.mark.parametrize(
    "text",
    [
        "getattr(args, 'size', None)\n",
        'getattr(model.blocks[0], "size")\n',
        "operator.attrgetter('size')\nlocate('torch.nn')\n",
        "print(vars(args))\nrun(**locals())\n",
        "globals()['size'] = 1\n",
        "self.__dict__.update(more)\n",
        "self.__dict__['size'] = 1\n",
        "__getattr__ = None\n",
    ],
)
def test_names_that_are_written_out_cost_no_parse(text: str, tmp_path: Path) -> None:
    assert asked_about("Block", text, tmp_path) == ("", ["net.py"])


@pytest.mark.parametrize(
    "text",
    [
        "from net import *\nmade = globals()[kind]()\n",
        "from net import *\nmade = (globals()\n    [kind])()\n",
        "import net\nmade = getattr(net, kind)()\n",
        "import net\nmade = getattr (net, kind)()\n",
        "import net\nmade = getattr(getattr(net, 'part'), f'Bl{kind}')()\n",
        "import net\nmade = net.__dict__[kind]()\n",
        "import net\nmade = (net.__dict__  # all that it has\n    [kind])()\n",
        "made = operator.methodcaller('Bl' + kind)(net)\n",
        "getattr(args, 'size')\nmade = getattr(net, 'Bl' 'o' + kind)\n",
    ],
)
def test_names_that_are_computed_are_found(text: str, tmp_path: Path) -> None:
    why, _ = asked_about("Block", text, tmp_path)
    assert why.endswith("looks names up that it computes, and Block may be one")


BASE = "class Base:\n    def run(self, name):\n        return getattr(self, name)()\n"


@pytest.mark.parametrize(
    "head",
    [
        "class Net(base.Base):",
        "class Net(Other, Base, metaclass=Kind):  # it: derives",
        "class Net(\n    Other,  # colon: here\n    Base,\n):",
        "class Net(Generic[Kind, 'a:b'], Base[lambda: 0] if 0 else Base, Base):",
        "class Mid(Base): pass\nclass Net(Mid):",
    ],
)
def test_a_base_looks_up_the_methods_of_what_derives_from_it(head: str, tmp_path: Path) -> None:
    """Whatever the head of the class looks like: the text is searched before it is parsed."""
    texts = {"base.py": BASE, "net.py": f"{head}\n    def step(self):\n        pass\n"}
    files = {str(tmp_path / name): text for name, text in texts.items()}
    found = Index(Project(files, files))
    with pytest.raises(Unknowable, match=r"base\.py:3 looks names up that it computes, and step may be one"):
        found.check_not_looked_up("step", str(tmp_path / "net.py"))
    apart = files | {str(tmp_path / "net.py"): "class Net(Other):\n    base: Base\n    def step(self):\n        pass\n"}
    Index(Project(apart, apart)).check_not_looked_up("step", str(tmp_path / "net.py"))


def test_the_first_that_is_found_is_enough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = {str(tmp_path / f"{name}.py"): "import net\ngetattr(net, kind)\n" for name in "abc"}
    files |= {str(tmp_path / "net.py"): NAMED}
    monkeypatch.setattr(index, "MOST_FILES", 2)
    with pytest.raises(Unknowable, match=r"a\.py:2 looks names up"):
        Index(Project(files, files)).check_not_looked_up("Block", str(tmp_path / "net.py"))


@pytest.mark.parametrize("terms", [300, 600, 900, 1500])
def test_what_nests_too_deep_is_unknown(terms: int, tmp_path: Path) -> None:
    net = (
        "from xformers.ops import memory_efficient_attention\n\n\n"
        "def attend(q, bias=None):\n    return memory_efficient_attention(q, q, q, attn_bias=bias)\n"
    )
    use = "import net\nnet.attend(1)\nmade = getattr(net, " + " + ".join(["kind"] * terms) + ")\n"
    files = {str(tmp_path / "net.py"): net, str(tmp_path / "use.py"): use}
    found = Index(Project(files, files))
    asked = [str(tmp_path / "net.py")]
    assert never_passed(found, Callers(found), asked) == {}
    assert ranks_from_callers(found, Callers(found), asked) == {}
