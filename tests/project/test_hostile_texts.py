"""What looks into every text of a project takes time in proportion to it, whatever stands there.

Each of these took from seven seconds to more than a minute once; now all of them together take about one.
"""

from __future__ import annotations

import time

import pytest

from xf2sdpa.project.files import Project
from xf2sdpa.project.others import OtherFiles

TEXTS = {
    "a bracket after another": "setattr(" + "(a, " * 20_000 + "\n",
    "one long name": "setattr(" + "a" * 100_000 + "\n",
    "many names that are computed": ("setattr(a, " + "b" * 50 + ")\n") * 20_000,
    "many functions that compute them": "".join(
        f"def f{i}(x, y):\n    setattr(x, y, 1)\n    f{i}(a, 'b')\n" for i in range(5_000)
    ),
    "a long tuple": "a.b, " * 100_000 + "\n",
    "many classes of one base": "class A(B):\n" * 50_000,
    "a loop over a long line": "for a in b.c[0" * 20_000 + "\n",
    "tables that are never closed": "vars(" * 50_000,
    "a long function that sets much": "def f(x):\n" + "    x.a = 1\n" * 20_000,
}


@pytest.mark.parametrize("text", TEXTS.values(), ids=list(TEXTS))
def test_it_ends_soon(text: str) -> None:
    texts = {"/p/a.py": text, "/p/b.py": "import a\n\n\nclass B:\n    pass\n"}
    began = time.process_time()
    OtherFiles(Project(texts, texts)).of("/p/b.py")
    assert time.process_time() - began < 5
