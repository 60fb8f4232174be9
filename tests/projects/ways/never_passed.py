"""Masks that nothing passes: by hooks, functions on all parts, `super()`, bases, strings, what is loaded."""

# ruff: noqa: E501 - programs in one line

from __future__ import annotations

from tests.projects.ways import ATTENTION, MODEL, PROJECT, Way, by_class, changed, in_main, model, on_base

NN = "import torch.nn as nn\n\n\n"
META = (
    "class Meta(type):\n    def __init__(cls, *more):\n        super().__init__(*more)\n        KINDS.append(cls)\n\n\n"
)
USE = "\n\ndef use(x, m):\n    return [k(24, 3)(x, m) for k in KINDS]\n"
SUB = "class Sub(MemEff):\n    def {}(self, x, extra=None):\n        {}\n\n\ndef use(x, m):\n    return Sub(24, 3){}(x, extra=m)"
DECORATED = "def masked(f):\n    def inner(self, x, m=None):\n        return f(self, x, x)\n\n    return inner\n\n\nclass MemEff"


def sub(body: str, name: str = "forward", method: str = "") -> dict[str, str]:
    return by_class(SUB.format(name, body, method))


def block(base: str, before: str = "import library\n\n\n", made: str = "", attribute: str = "attn") -> dict[str, str]:
    """A class of another library's kind that holds the attention."""
    init = f"    def __init__(self):\n        super().__init__({made})\n        self.{attribute} = MemEff(24, 3)"
    return by_class(f"{before}class Block({base}):\n{init}")


WAY = Way(
    "attention.py",
    accepted={
        "weights by a function": in_main("def weights(m):\n    print(m)\n\n\ndef prepare(net):\n    net.apply(weights)"),
        "a base in another file": on_base(f"{NN}class Base(nn.Module):\n    def size(self):\n        return self.heads\n"),
        "super by name": by_class(
            "class Sub(MemEff):\n    def forward(self, x):\n        return super().forward(x)\n\n\n"
            "def use(x):\n    return Sub(24, 3)(x)"
        ),
        "no gradients in forward": changed(
            attention=ATTENTION.replace("    def forward", "    @torch.autocast('cpu', enabled=False)\n    def forward")
            .replace("import torch.nn as nn", "import torch\nimport torch.nn as nn")
        ),
        "partial of the class": by_class("from functools import partial\n\nmake = partial(MemEff, 24, heads=3)\nmake()"),
        "a module that is read": in_main("import attention\n\nprint(attention.MemEff, hasattr(attention, 'x'))"),
        "asked for": in_main(
            "def weights(part: nn.Module):\n    if isinstance(part, MemEff):\n        nn.init.zeros_(part.qkv.bias)",
            "import torch.nn as nn\nfrom attention import MemEff\n",
        ),
        "weights are loaded": in_main("def load(net, path):\n    net.load_state_dict(torch.load(path))"),
    },
    refused={
        "a hook for all modules": in_main("def hook(f):\n    torch.nn.modules.module.register_module_forward_pre_hook(f)"),
        "a hook with keywords": model("self.attn(x)", "\n\ndef hook(net, f):\n"
            "    net.attn.register_forward_pre_hook(f, with_kwargs=True)\n"),
        "a hook by apply": in_main(
            "def prepare(part):\n    part.register_forward_pre_hook(lambda m, a, k: (a, k), with_kwargs=True)\n\n\n"
            "def hook(net):\n    net.apply(prepare)"
        ),
        "a hook by apply and a lambda": in_main(
            "def hook(net, f):\n    net.apply(lambda m: m.register_forward_pre_hook(f))"
        ),
        "apply that is told what to apply": in_main("def hook(net, f):\n    net.apply(f)"),
        "apply that calls": in_main(
            "def prepare(part):\n    print(part(1, 2))\n\n\ndef hook(net):\n    net.apply(fn=prepare)"
        ),
        "apply of another library": in_main("def hook(net):\n    net.apply(library.prepare)", "import library\n"),
        "a part by its name": in_main("def use(net, x, m):\n    return net.get_submodule('attn')(x, m)"),
        "a part out of the table": in_main("def use(net, x, m):\n    return net._modules['attn'](x, m)"),
        "super().forward handed on": sub(
            "return torch.utils.checkpoint.checkpoint(super().forward, x, extra, use_reentrant=False)"
        ),
        "super().forward in a variable": sub("go = super().forward\n        return go(x, extra)"),
        "super() in a variable": sub("up = super()\n        return up.forward(x, extra)"),
        "super() called": sub("return super().__call__(x, extra)", "masked", ".masked"),
        "super() looked up": sub("return getattr(super(), 'forward')(x, extra)"),
        "partial of an object": by_class(
            "from functools import partial\n\n\ndef use(net, x, m):\n    return partial(net.attn, attn_bias=m)(x)"
        ),
        "a decorated forward": changed(
            attention=ATTENTION.replace("    def forward", "    @masked\n    def forward").replace("class MemEff", DECORATED)
        ),
        "a call of its own": changed(
            attention=ATTENTION + "\n    def __call__(self, x):\n        return super().__call__(x, x)\n"
        ),
        "a base's call": on_base(
            f"{NN}class Base(nn.Module):\n    def __call__(self, x):\n        return super().__call__(x, x)\n"
        ),
        "a base that calls itself": on_base(
            f"{NN}class Base(nn.Module):\n    def masked(self, x, m):\n        return self(x, m)\n"
        ),
        "a base that calls forward": on_base(
            f"{NN}class Base(nn.Module):\n    def masked(self, x, m):\n        return self.forward(x, m)\n"
        ),
        "a base that registers": on_base(
            f"{NN}KINDS = []\n\n\nclass Base(nn.Module):\n    def __init_subclass__(cls, **more):\n"
            f"        KINDS.append(cls)\n{USE}"
        ),
        "a base's metaclass": on_base(f"{NN}KINDS = []\n\n\n{META}class Base(nn.Module, metaclass=Meta):\n    pass\n{USE}"),
        "all subclasses": on_base(f"{NN}class Base(nn.Module):\n    pass\n{USE.replace('KINDS', 'Base.__subclasses__()')}"),
        "a library's Module": changed(attention="import library\n" + ATTENTION.replace("nn.Module", "library.Module")),
        "this in the place of self": model("self.attn(x, None)") | {
            "attention.py": ATTENTION.replace("forward(self,", "forward(this,").replace("self.qkv(x)", "this.qkv(x)")
            .replace("3, self.heads, c // self.heads", "3, this.heads, c // this.heads")
        },
        "a library's class holds it": block("library.Block"),
        "torch's layer holds it": block(
            "nn.TransformerEncoderLayer", "import torch.nn as nn\n\n\n", "24, 3", "self_attn"
        ),
        "put into another's object": in_main(
            "def put(block):\n    from attention import MemEff\n\n    block.attn = MemEff(24, 3)"
        ),
        "a path with a colon": by_class('KIND = "attention:MemEff"'),
        "a path that goes on": by_class('KIND = "attention.MemEff.build"'),
        "a string in a statement": by_class('import library\n\nlibrary.make("MemEff")'),
        "code in a string": by_class('CODE = "MemEff(24, 3)(x, m)"\n\n\ndef use(x, m):\n    return eval(CODE)'),
        "other settings": PROJECT | {"run.conf": "attention = attention.MemEff\n"},
        "a module handed on": in_main("def use(pick, name):\n    return pick(attention, name)", "import attention\n"),
        "a module gone through": in_main(
            "def use(x, m):\n    return [f(24, 3)(x, m) for f in vars(attention).values()]", "import attention\n"
        ),
        "a module by import_module": in_main(
            "def use(name):\n    return getattr(importlib.import_module('attention'), name)", "import importlib\n"
        ),
        "its own names": changed(attention=ATTENTION + "\n\ndef pick(name):\n    return globals().get(name)\n"),
        "loaded into an attribute": in_main(
            "class Runner:\n    def __init__(self, path):\n        self.part = torch.load(path)\n\n"
            "    def use(self, x, m):\n        return self.part(x, m)"
        ),
        "loaded by a function": in_main(
            "def use(f, x, m):\n    part = load(f)\n    return part(x, m)", "from pickle import load\n"
        ),
        "asked for and called": in_main(
            "def use(parts, x, m):\n    return [p(x, m) for p in parts if isinstance(p, MemEff)]",
            "from attention import MemEff\n",
        ),
        "asked for and hooked": in_main(
            "def use(part, f):\n    if type(part) is MemEff:\n        part.register_forward_pre_hook(f, with_kwargs=True)",
            "from attention import MemEff\n",
        ),
        "annotated and called": in_main(
            "def use(part: MemEff, x, m):\n    return part(x, m)", "from attention import MemEff\n"
        ),
        "its class annotated": in_main(
            "def use(kind: type[MemEff], x, m):\n    return kind(24, 3)(x, m)", "from attention import MemEff\n"
        ),
        "what returns it": in_main(
            "def part(net) -> MemEff:\n    return net.first\n\n\ndef use(net, x, m):\n    return part(net)(x, m)",
            "from attention import MemEff\n",
        ),
        "a hook in the table of hooks": in_main("def hook(net, f):\n    net.attn._forward_pre_hooks[1] = f"),
        "a part out of a table by its name": in_main(
            "def use(net, x, m):\n    return vars(net)['_modules']['attn'](x, m)"
        ),
        "super() of another base": by_class(
            "class Mix:\n    def forward(self, x):\n        return super().forward(x, self.m)\n\n\n"
            "class Sub(Mix, MemEff):\n    pass\n\n\ndef use(x, m):\n    part = Sub(24, 3)\n    part.m = m\n    return part(x)"
        ),
        "super() of another base in another file": changed(
            mix="class Mix:\n    def forward(self, x):\n        return super().forward(x, self.m)\n",
            sub="from attention import MemEff\nfrom mix import Mix\n\n\nclass Sub(Mix, MemEff):\n    pass\n\n\n"
            "def use(x, m):\n    part = Sub(24, 3)\n    part.m = m\n    return part(x)\n",
        ),
        "by the type of an argument": in_main(
            "@functools.singledispatch\ndef go(part, x, m):\n    return x\n\n\n@go.register(torch.nn.Module)\n"
            "def _(part, x, m):\n    return part(x, m)\n\n\ndef use(net, x, m):\n    return go(net.attn, x, m)",
            "import functools\n",
        ),
        "kept in a default": in_main(
            "def keep(part, to=[]):\n    to.append(part)\n    return to\n\n\ndef use(net, x, m):\n    keep(net.attn)\n"
            "    return keep(None)[0](x, m)"
        ),
        "taken apart by a pattern": in_main(
            "def use(net, x, m):\n    match net:\n        case torch.nn.Module(attn=part):\n            return part(x, m)"
        ),
        "a hook by its name": in_main("def use(net, f):\n    getattr(net.attn, 'register_forward_pre_hook')(f)"),
        "a class made by type": by_class("Kind = type('Kind', (MemEff,), {})\n\n\ndef use(x, m):\n    return Kind(24, 3)(x, m)"),
        "by names in a list": in_main("def use(net, x, m):\n    return [getattr(net, n)(x, m) for n in ('attn', 'other')]"),
        "by a default name": in_main("def use(net, x, m, name='attn'):\n    return getattr(net, name)(x, m)"),
        "a parameter set before": changed(
            model=MODEL.replace("(self, x):", "(self, x, mask=None):").replace(
                "        return x + self.attn(x)", "        mask = mask or None\n        return x + self.attn(x, mask)"
            )
        ),
    },
)  # fmt: skip
