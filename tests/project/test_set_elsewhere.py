"""What files set from outside, by the forms in which they may."""

from __future__ import annotations

import pytest

from xf2sdpa.project.set_elsewhere import SetElsewhere

SET = [
    "block.norm = 1",
    "block.norm: object = 1",
    "self.block.norm = 1",
    "make(1).norm = 1",
    "block.norm, old = 1, 2",
    "old, block.norm = 1, 2",
    "block.norm[0] = 1",
    "if hasattr(block, 'norm'):\n            block.norm = 1",
    "block.norm.append(1)",
    "block.norm.register_forward_hook(f)",
    "block.norm.forward = f",
    'setattr(block, "norm", 1)',
    "delattr(block, 'norm')",
    'block.__setattr__("norm", 1)',
    'mock.patch("pkg.net.norm", 1)',
    'mock.patch.object(net, "norm")',
    'monkeypatch.setattr(net, "norm", 1)',
    'block.add_module("norm", 1)',
    'block._modules["norm"] = 1',
    'vars(net)["norm"] = 1',
    'block.set_submodule("part.norm", 1)',
    "block._modules.update(norm=1)",
    'vars(net).update({"norm": 1})',
    "mock.patch.multiple('net', norm=1)",
    "net.norm.__code__ = f.__code__",
    'block.norm._modules["0"] = 1',
    'setattr(block.norm, "0", 1)',
]
NOT_SET = [
    "self.norm = 1",
    "cls.norm = 1",
    "self.norm, self.other = 1, 2",
    "norm = block.norm",
    "block.norm == 1",
    "f(block.norm, key=1)",
    "f(key=block.norm)",
    "block.norm(x)",
    'getattr(block, "norm")',
    'self.add_module("norm", 1)',
    "block.norm += 1",
    "block.norms = 1",
    "# block.norm = 1",
    "if not hasattr(block, 'norm'):\n            block.norm = 1",
    "if not hasattr(block, 'one'):\n            block.one = 1\n\n            block.norm = 1",
]


@pytest.mark.parametrize("line", SET)
def test_it_is_set(line: str) -> None:
    for text in (line, f"def f(self):\n    {line}\n"):
        assert "norm" in SetElsewhere({"a.py": text, "b.py": ""}).of("b.py")


@pytest.mark.parametrize("line", NOT_SET)
def test_it_is_not(line: str) -> None:
    assert "norm" not in SetElsewhere({"a.py": f"class A:\n    def f(self):\n        {line}\n", "b.py": ""}).of("b.py")


@pytest.mark.parametrize("name", ["self", "cls"])
def test_the_self_of_a_function_is_anybodys(name: str) -> None:
    text = f"class A:\n    pass\n\n\ndef f({name}):\n    {name}.norm = 1\n"
    assert "norm" in SetElsewhere({"a.py": text, "b.py": ""}).of("b.py")


def test_what_a_file_sets_itself_it_shows() -> None:
    assert SetElsewhere({"a.py": "block.norm = 1"}).of("a.py") == frozenset()


@pytest.mark.parametrize(
    ("above", "is_set"),
    [
        ('if not hasattr(block, "norm"):\n', False),
        ('if not hasattr(block, "norm"):\n\n    print("missing")\n', False),
        ("if late:\n", True),
        ("    print()\n", True),
    ],
)
def test_what_is_set_where_it_is_missing_replaces_nothing(above: str, is_set: bool) -> None:
    assert ("norm" in SetElsewhere({"a.py": f"{above}    block.norm = 1\n", "b.py": ""}).of("b.py")) == is_set
