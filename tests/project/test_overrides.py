"""What classes of other files have anew: a rank that rests on such a method is not shown by its file."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.run.commands import rewrite
from xf2sdpa.analysis.others import ANY
from xf2sdpa.project.files import Project
from xf2sdpa.project.overrides import Overrides

BASE = """\
import torch
import xformers.ops as xops


class Attend(torch.nn.Module):
    def split(self, x):
        b, n, c = x.shape
        return x.reshape(b, n, 2, c // 2)

    def forward(self, x):
        q, k, v = (self.split(part) for part in x.chunk(3, -1))
        return xops.memory_efficient_attention(q, k, v).sum()
"""
SPLIT = "    def split(self, x):\n        return x\n"
OVERRIDING = {
    "in another file": {"net.py": f"from base import Attend\n\n\nclass Flat(Attend):\n{SPLIT}"},
    "by its module": {"net.py": f"import base\n\n\nclass Flat(base.Attend):\n{SPLIT}"},
    "by a class between": {
        "mid.py": "from base import Attend\n\n\nclass Mid(Attend):\n    pass\n",
        "net.py": f"from mid import Mid\n\n\nclass Flat(Mid):\n{SPLIT}",
    },
    "after a comment in its head": {
        "net.py": f"from base import Attend\n\n\nclass Flat(\n    Attend,  # flat: it is\n):\n{SPLIT}"
    },
    "as a variable": {
        "net.py": "from base import Attend\nfrom ops import keep\n\n\nclass Flat(Attend):\n    split = keep\n",
        "ops.py": "def keep(self, x):\n    return x\n",
    },
    "as a coroutine": {
        "net.py": f"from base import Attend\n\n\nclass Flat(Attend):\n{SPLIT.replace('def', 'async def')}"
    },
    "by a class beside": {
        "fold.py": f"class Folding:\n{SPLIT}",
        "net.py": "from base import Attend\nfrom fold import Folding\n\n\nclass Flat(Folding, Attend):\n    pass\n",
    },
    "in a file that does not parse": {
        "net.py": "from base import Attend\n\n\nclass Flat(Attend):\n    def split(self, x:\n"
    },
}
LEAVING = {
    "another method": {
        "net.py": "from base import Attend\n\n\nclass Flat(Attend):\n    def size(self):\n        return 1\n"
    },
    "a class of the same name": {"net.py": f"class Attend:\n    pass\n\n\nclass Flat(Attend):\n{SPLIT}"},
}


def made(folder: Path, files: dict[str, str]) -> dict[str, str]:
    texts = {str(folder / name): text for name, text in {"base.py": BASE, **files}.items()}
    for path, text in texts.items():
        Path(path).write_text(text)
    return texts


@pytest.mark.parametrize("files", OVERRIDING.values(), ids=list(OVERRIDING))
def test_what_is_overridden_proves_nothing(files: dict[str, str], tmp_path: Path) -> None:
    texts = made(tmp_path, files)
    base = str(tmp_path / "base.py")
    assert ("Attend", "split") in Overrides(Project(texts, texts)).of(base)
    assert "XF101" not in rewrite("--check", tmp_path).stdout


@pytest.mark.parametrize("files", LEAVING.values(), ids=list(LEAVING))
def test_what_is_not_is_assumed_as_before(files: dict[str, str], tmp_path: Path) -> None:
    texts = made(tmp_path, files)
    base = str(tmp_path / "base.py")
    assert ("Attend", "split") not in Overrides(Project(texts, texts)).of(base)
    assert "XF101 assumed" in rewrite("--check", tmp_path).stdout


BELOW = "from base import Base\n\n\nclass A(Base):\n    pass\n"


def above(base: str, text: str = BELOW) -> tuple[frozenset[tuple[str, str]], frozenset[tuple[str, str]]]:
    texts = {"/p/a.py": text, "/p/base.py": base, "/p/root.py": "class Root:\n    def far(self): ...\n"}
    return Overrides(Project(texts, texts)).above("/p/a.py")


def test_what_bases_elsewhere_have() -> None:
    base = "from root import Root\n\n\nclass Base(Root):\n    def near(self):\n        self.norm = 1\n"
    assert above(base) == (frozenset({("A", "near"), ("A", "far")}), frozenset({("A", "norm")}))
    assert above("class Other:\n    def near(self): ...\n") == (frozenset(), frozenset())


@pytest.mark.parametrize(
    "base",
    [
        "class Base:\n    def __setattr__(self, name, value): ...\n",
        "class Base:\n    def __init_subclass__(cls): ...\n",
        "class Base(metaclass=Maker): ...\n",
    ],
)
def test_a_base_that_changes_all(base: str) -> None:
    assert ("A", ANY) in above(base)[1]


def test_a_class_that_sets_what_it_is_told() -> None:
    text = "class A:\n    def f(self, name):\n        setattr(self, name, 1)\n"
    assert above("", text) == (frozenset(), frozenset({("A", ANY)}))
    assert above("", "import abc\n\n\nclass A(metaclass=abc.ABCMeta): ...\n") == (frozenset(), frozenset())
