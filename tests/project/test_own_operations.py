"""Classes with operations that tensors have, too, and which files may meet their objects."""

from __future__ import annotations

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


def test_no_others() -> None:
    assert of("a", a="", b=HELD) == frozenset()
    assert of("a", a="", b="import a, c", c="import d", d=HELD) == frozenset()


def test_modules_are_called_and_take_part_in_no_formula() -> None:
    module = "class Held(nn.Module):\n    def view(self, x):\n        return x\n"
    assert of("a", a=module) == frozenset()
    assert of("a", a=module + HELD) == {"view"}
    assert of("a", a="class Held:\n    def show(self):\n        pass\n") == frozenset()
    assert of("a", a=NO_PYTHON) == frozenset()
