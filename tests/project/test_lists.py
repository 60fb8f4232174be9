"""Whether a path for lists is ever taken: what may give one, and what a list can no longer be."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.project.test_never_passed import asked

LISTS = """\


class Listed(MemEff):
    def forward(self, x{annotation}):
        if {test}:
            return [super(Listed, self).forward(part, self.mask) for part in x]
        {before}
        return super().forward(x)


def f(net, x, *many):
    {made}
    return Listed()({given})
"""
NO_LISTS = {
    "a number of a shape": ("b, n = x.shape", "b"),
    "computed": ("y = x * 2 + 1", "y"),
    "one of two that are computed": ("y = x * 2 if many else -x", "y"),
    "changed in place": ("y = x + 1\n    y += 2", "y"),
    "a part by a slice": ("pass", "x[:, 1:]"),
    "what torch makes": ("import torch\n    y = torch.zeros(2)", "y"),
    "its size is read": ("n = x.shape[0]", "x"),
    "nothing": ("pass", ""),
    "what a method of tensors gives": ("y = x.flatten(2)", "y"),
    "what a function returns": ("y = plain(x)", "y"),
}
MAYBE_LISTS = {
    "what a function returns at once": ("pass", "at_once(x)"),
    "what an object that nobody knows returns": ("pass", "net.strange(x)"),
    "a list": ("pass", "[x, x]"),
    "made by list": ("y = list(many)", "y"),
    "one of two": ("y = x * 2 if many else [x]", "y"),
    "an item": ("pass", "many[0]"),
    "an attribute": ("pass", "net.x"),
    "of the module": ("pass", "MANY"),
    "what a function returns": ("pass", "listed(x)"),
    "what an object of its own returns": ("pass", "net.listed(x)"),
    "all": ("pass", "*many"),
}


MAKERS = """

MANY = [1]


def listed(x):
    made = [x]
    return made


def at_once(x):
    return [x, x]


def plain(x):
    def inner():
        return [x]

    return x * len(inner())
"""


def listed(folder: Path, made: str, given: str, **changes: str) -> bool:
    """Whether the path for lists, which passes a mask, is known never to be taken."""
    fields = {"annotation": "=None", "test": "isinstance(x, list)", "before": "pass", "made": made, "given": given}
    more = LISTS.format(**fields | changes) + MAKERS
    return asked(folder, more=more)


@pytest.mark.parametrize(("made", "given"), MAYBE_LISTS.values(), ids=list(MAYBE_LISTS))
def test_a_list_may_come(made: str, given: str, tmp_path: Path) -> None:
    assert not listed(tmp_path, made, given)


@pytest.mark.parametrize(("made", "given"), NO_LISTS.values(), ids=list(NO_LISTS))
def test_no_list_comes(made: str, given: str, tmp_path: Path) -> None:
    assert listed(tmp_path, made, given)


SETTLED = """\


class Inner(nn.Module):
    def __init__(self):
        super().__init__()
        self.attn = MemEff()

    def forward(self, x):
        if isinstance(x, list):
            return [self.attn(part, self.mask) for part in x]
        return self.attn(x)


class Outer(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = Inner()

    def forward(self, x):
        {before}
        {call}
        return x


def f(batch):
    return Outer()(batch)
"""


@pytest.mark.parametrize(
    ("before", "call", "known"),
    [
        ("x = x * 2", "x = self.inner(x)", True),
        ("x = x * 2", "x = self.inner(\n            x\n        )", True),
        ("if isinstance(x, list):\n            return None", "x = self.inner(x)", True),
        ("if isinstance(x, list):\n            return None", "return self.inner(\n            x\n        )", True),
        ("pass", "x = self.inner(x)", False),
        ("pass", "x = self.inner(\n            x\n        )", False),
        ("x = [x]", "x = self.inner(x)", False),
        ("pass", "x = [x]; x = self.inner(x)", False),
        ("x = x * 2", "for _ in range(2):\n            x = self.inner(x)", False),
    ],
)
def test_a_parameter_is_no_list_any_more(before: str, call: str, known: bool, tmp_path: Path) -> None:
    """What a statement assigns counts below it, not on its own lines."""
    assert asked(tmp_path, more=SETTLED.format(before=before, call=call)) is known


def chain(length: int, given: str) -> str:
    """Functions that hand `x` on, the last of them a number."""
    links = [f"\n\ndef g{n}(x):\n    return g{n - 1}(x)\n" for n in range(1, length)]
    return f"\n\ndef g0(x):\n    return Listed()({given})\n" + "".join(links) + f"\n\ng{length - 1}(1 + 2)\n"


@pytest.mark.parametrize("given", ["x", "x if x else x"])
@pytest.mark.parametrize(("length", "known"), [(3, True), (30, False)])
def test_lists_are_followed_so_far_and_no_farther(length: int, given: str, known: bool, tmp_path: Path) -> None:
    listing = LISTS.partition("\n\ndef f(")[0].format(annotation="", test="isinstance(x, list)", before="pass")
    assert asked(tmp_path, more=listing + chain(length, given)) is known


@pytest.mark.parametrize(("length", "known"), [(3, False), (30, False)])
def test_a_list_that_many_functions_hand_on_comes(length: int, known: bool, tmp_path: Path) -> None:
    """Farther than it is followed, a function may return whatever it is given."""
    listing = LISTS.partition("\n\ndef f(")[0].format(annotation="", test="isinstance(x, list)", before="pass")
    links = "".join(f"\n\ndef h{n}(x):\n    return h{n - 1}(x)\n" for n in range(1, length))
    handing = f"\n\ndef h0(x):\n    return x\n{links}\n\ndef f(x):\n    return Listed()(h{length - 1}({{}}))\n"
    assert asked(tmp_path, more=listing + handing.format("[x]")) is known


INNER = """\


class Wrapped(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = Listed()

    def forward(self, x{annotation}):
        {body}
        return x


class Listed(nn.Module):
    def __init__(self):
        super().__init__()
        self.attn = MemEff()

    def forward(self, x):
        if isinstance(x, list):
            return [self.attn(part, self.mask) for part in x]
        return self.attn(x)


def f(batch, *rest):
    {more}
    return Wrapped()(batch)
"""


@pytest.mark.parametrize(
    ("annotation", "body", "more", "known"),
    [
        ("", "x = x * 2\n        return (lambda: self.inner(x))()", "pass", True),
        ("", "x = [x]\n        return (lambda: self.inner(x))()", "pass", False),
        (": nn.Tensor", "return self.inner(x)", "pass", True),
        (": nn.Tensor", "return self.inner(x)", "Wrapped()([batch])", False),
        (": nn.Tensor", "return self.inner(x)", "Wrapped()(*rest)", True),
        (": nn.Tensor", "return self.inner(x)", "Wrapped()(*rest), Wrapped()([batch])", False),
        (": nn.Tensor", "return self.inner(x)", "rest[0].module = Wrapped()", True),
        (": nn.Tensor", "return self.inner(x)", "Wrapped()()", True),
        ("", "return self.inner(x)", "Wrapped()(*rest)", False),
    ],
)
def test_where_a_value_is_read(annotation: str, body: str, more: str, known: bool, tmp_path: Path) -> None:
    assert asked(tmp_path, more=INNER.format(annotation=annotation, body=body, more=more)) is known
