"""What the walk over a file is told of the others, put together."""

from __future__ import annotations

from xf2sdpa.analysis.others import Others
from xf2sdpa.project.files import Project
from xf2sdpa.project.others import OtherFiles

TEXTS = {
    "/p/a.py": "from b import put\n\n\nclass A:\n    def f(self, x):\n        put(x)\n",
    "/p/b.py": "class Held:\n    def view(self): ...\n\n\ndef put(x): ...\n\n\ndef less(t):\n    t.t_()\n",
    "/p/c.py": "from a import A\n\n\nclass C(A):\n    def f(self, x): ...\n\n\nC().layer = 1\n",
}


def test_each_kind_has_its_place() -> None:
    told = OtherFiles(Project(TEXTS, TEXTS)).of("/p/a.py")
    assert told == Others(
        overridden=frozenset({("A", "f")}),
        parts=frozenset({"layer"}),
        of_ranks=frozenset({"less"}),
        operations=frozenset({"view"}),
    )


def test_a_file_alone_is_told_nothing() -> None:
    assert OtherFiles(Project(["/p/a.py"], {"/p/a.py": TEXTS["/p/a.py"]})).of("/p/a.py") == Others()
