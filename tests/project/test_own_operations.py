"""Classes with operations that tensors have, too, and which files may meet their objects."""

from __future__ import annotations

import pytest

from xf2sdpa.project.files import Project
from xf2sdpa.project.own_operations import OwnOperations

HELD = "class Held:\n    def view(self, *sizes):\n        return self\n"
NO_PYTHON = "class Held:\n    def view(self, *sizes:\n"


def of(file: str, **files: str) -> frozenset[str]:
    texts = {f"/p/{name}.py": text for name, text in files.items()}
    return OwnOperations(Project(texts, texts)).of(f"/p/{file}.py")


def test_its_own_those_it_imports_and_those_that_its_importers_know() -> None:
    assert of("a", a=HELD) == {"view"}
    assert of("a", a="import b", b="import c", c=HELD) == {"view"}
    assert of("a", a="", b=f"import a\n{HELD}") == {"view"}
    assert of("a", a="", b="import a, c", c=HELD) == {"view"}


@pytest.mark.parametrize(
    "body",
    [
        "    def view(s, *sizes):\n        return s\n",
        "    def show(self):\n        return self\n\n    view = show\n",
        "    view: object = lambda self: self\n",
        "    def __init__(self, t):\n        self.view = t\n",
        "    def view(\n        self, *sizes\n    ):\n        return self\n",
    ],
)
def test_all_ways_to_have_one(body: str) -> None:
    assert of("a", a=f"class Held:\n{body}") == {"view"}


def test_a_variable_of_a_method_is_none() -> None:
    assert (
        of("a", a="class Held:\n    def show(self):\n        view = 1\n        x[0] = 1\n        return view\n")
        == set()
    )


def test_attributes_whose_values_methods_change() -> None:
    kept = "class Kept:\n    def __init__(self):\n        self.one = 1\n        self.two = 2\n\n"
    kept += "    def fold(self):\n        self.two = self.three = 3\n\n    @property\n    def four(self): ...\n"
    reading = "import b\n\nx.one, x.two, x.four, self.three\n"
    texts = {"/p/a.py": reading, "/p/b.py": kept, "/p/c.py": kept.replace("two", "one")}
    assert OwnOperations(Project(texts, texts)).attributes_of("/p/a.py") == {"two", "four"}
    assert OwnOperations(Project(texts, texts)).attributes_of("/p/b.py") == frozenset()


def test_no_others() -> None:
    assert of("a", a="", b=HELD) == frozenset()
    assert of("a", a="", b="import a, c", c="import d", d=HELD) == frozenset()


def test_modules_are_called_and_take_part_in_no_formula() -> None:
    module = "class Held(nn.Module):\n    def view(self, x):\n        return x\n"
    assert of("a", a=module) == frozenset()
    assert of("a", a=module + HELD) == {"view"}
    assert of("a", a="class Held:\n    def show(self):\n        pass\n") == frozenset()
    assert of("a", a=NO_PYTHON) == frozenset()
