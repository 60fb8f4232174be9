"""Calls that pass a mask and never run: in classes that nobody makes, and in private methods that nothing calls."""

# ruff: noqa: E501 - programs in one line

from __future__ import annotations

from tests.projects.ways import MODEL, Way, changed, model

MADE = (
    "\n\nclass Masked(nn.Module):\n    def __init__(self):\n        super().__init__()\n"
    "        self.attn = MemEff(24, 3)\n\n    def forward(self, x):\n        return self.attn(x, attn_bias=x)\n"
)
RUN = "\n\ndef use(x):\n    return {}\n"
PRIVATE = "\n    def _masked(self, x, m=None):\n        return self.attn(x, m)\n"
CALL = "self.attn(x)"
BASE = "import torch.nn as nn\n\n\nclass Base(nn.Module):\n    def run(self, {}, x, m):\n        return {}\n"


def private(more: str) -> dict[str, str]:
    return model(CALL, PRIVATE + more)


def below(base: str, more: str = "") -> dict[str, str]:
    return changed(model="import base\n" + MODEL.replace("nn.Module", "base.Base") + PRIVATE + more, base=base)


CLASSES = Way(
    "attention.py",
    accepted={
        "one": model(CALL, MADE),
        "named in an annotation": model(CALL, MADE + "\n\ndef use(x: Masked) -> Masked:\n    return x\n"),
        "asked for": model(CALL, MADE + "\n\ndef use(x):\n    return isinstance(x, Masked)\n"),
        "in __all__": model(CALL, MADE + "\n\n__all__ = ['Masked', 'Net']\n"),
    },
    refused={
        "made after all": model(CALL, MADE + RUN.format("Masked()(x)")),
        "made by its type": model(CALL, MADE + RUN.format("type(x)()(x), Masked.__new__(Masked)(x)")),
        "made by a subclass": model(CALL, MADE + "\n\nclass More(Masked):\n    pass\n" + RUN.format("More()(x)")),
        "made by a class method": model(
            CALL,
            MADE + "\n    @classmethod\n    def made(cls):\n        return cls()\n" + RUN.format("Masked.made()(x)"),
        ),
        "made by a table": model(CALL, MADE + "\n\nKINDS = {'a': Masked}\n" + RUN.format("KINDS['a']()(x)")),
        "named in a string": model(CALL, MADE + "\n\nKIND = 'Masked'\n"),
        "handed to a library": model(CALL, MADE + "\n\ndef use(library):\n    return library.make(Masked)\n"),
    },
)
METHODS = Way(
    "attention.py",
    accepted={
        "nothing calls it": private(""),
        "what nothing calls calls it": private("\n    def _outer(self, x):\n        return self._masked(x, x)\n"),
        "another look-up": private("\n    def size(self):\n        return getattr(self, 'training', None)\n"),
        "of a base in another file": below(BASE.format("name", "x")),
    },
    refused={
        "called from another file": private("") | {"other.py": "def use(net, x, m):\n    return net._masked(x, m)\n"},
        "by a name that comes from outside": private("\n    def run(self, name, x, m):\n"
            "        return getattr(self, name)(x, m)\n"),
        "by a name that is built": private("\n    def run(self, kind, x, m):\n"
            "        return getattr(self, f'_{kind}')(x, m)\n"),
        "by a base in another file": below(BASE.format("name", "getattr(self, name)(x, m)")),
        "by a base's base": below(
            BASE.format("name", "getattr(self, name)(x, m)").replace("Base", "Root") + "\n\nclass Base(Root):\n    pass\n"
        ),
        "handed to map": private("\n    def run(self, x, m):\n        return list(map(self._masked, x, m))\n"),
        "torch calls it": model(CALL, PRIVATE.replace("_masked(self, x, m=None)", "_apply(self, x, m=None)")),
        "a hook": private("\n    def hook(self):\n        self.register_forward_hook(self._masked)\n"),
        "mangled": private("").copy() | {"other.py": "def use(net, x, m):\n    return net._Net__masked(x, m)\n",
            "model.py": MODEL + PRIVATE.replace("_masked", "__masked")},
    },
)  # fmt: skip
