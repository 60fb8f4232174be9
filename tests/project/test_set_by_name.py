"""What is set by names that are computed, by the forms in which they may be."""

from __future__ import annotations

import pytest

from xf2sdpa.project.set_by_name import SetByName, in_brackets, named_in

PUT = "def put(target, name, value):\n    setattr(target, name, value)\n\n\n"
PUT_ALL = "def put(target, **parts):\n    for name, part in parts.items():\n        setattr(target, name, part)\n\n\n"
BY_FUNCTION = "def put(target, f):\n    setattr(target, f.__name__, f)\n\n\n"
TO = "def put(target):\n    def inner(f):\n        setattr(target, f.__name__, f)\n    return inner\n\n\n"
SET = {
    "a function": f"{PUT}put(block, 'norm', 1)\n",
    "a path": f"{PUT}put(block, 'part.norm', 1)\n",
    "a keyword": f"{PUT_ALL}put(block, norm=1)\n",
    "a function's name": f"{BY_FUNCTION}put(block, norm)\n",
    "a decorated function": f"{TO}@put(block)\ndef norm(x):\n    return x\n",
    "a loop": "for name in ['norm', 'other']:\n    setattr(block, name, 1)\n",
    "a loop around a condition": "for name in ['norm', 'other']:\n    if x:\n        setattr(block, name, 1)\n",
    "a condition": "for name in x:\n    if name == 'norm':\n        setattr(block, name, 1)\n",
    "a table": "for name in ['norm']:\n    block._modules[name] = 1\n",
    "a dictionary of a module": "for name in ['norm']:\n    vars(net)[name] = 1\n",
    "a pattern": "setattr(block, f'no{x}', 1)\n",
    "a variable": "norm = block.norm\nnorm.append(1)\n",
    "a variable of an item": "one = block.norm[0]\none.forward = f\n",
    "a loop over parts": "for i, one in enumerate(block.norm):\n    one.register_forward_hook(f)\n",
    "a variable by a name": "one = getattr(block, 'norm')\none[0] = 1\n",
    "a hook under a condition": "for name, one in x:\n    if name == 'norm':\n        one.register_forward_hook(f)\n",
}
NOT_SET = {
    "another function": f"{PUT}other(block, 'norm', 1)\nout_put(block, 'norm', 1)\n",
    "one that sets its own": "def put(self, name):\n    setattr(self, name, 1)\n\n\nput(block, 'norm')\n",
    "settings": "for name in ['norm']:\n    setattr(args, name, 1)\n",
    "a loop beside it": "for name in ['norm']:\n    print(name)\nfor name in x:\n    setattr(block, name, 1)\n",
    "what is read": "for name in ['norm']:\n    print(block._modules[name])\n",
    "another pattern": "setattr(block, f'layer{x}', 1)\n",
    "a pattern of nothing": "setattr(block, f'{x}', 1)\n",
    "a variable that is read": "norm = block.norm\nprint(norm)\n",
    "a list under a condition": "if name == 'norm':\n    found.append(1)\n",
    "all parts": "for name, part in block.named_children():\n    setattr(block, name, part)\n",
}
BLOCK = "class Block:\n    norm = 1\n"


@pytest.mark.parametrize("text", SET.values(), ids=list(SET))
def test_it_is_set(text: str) -> None:
    assert "norm" in SetByName({"a.py": text, "b.py": BLOCK}).of("b.py")


@pytest.mark.parametrize("text", NOT_SET.values(), ids=list(NOT_SET))
def test_it_is_not(text: str) -> None:
    assert "norm" not in SetByName({"a.py": text, "b.py": BLOCK}).of("b.py")


def test_brackets_and_names() -> None:
    assert in_brackets("f(a, (b), c) d", 1) == "a, (b), c"
    assert in_brackets("f(a", 1) == "a"
    assert set(named_in("x, 'a.norm', key=1, other == 2")) == {"norm", "key"}
