"""Guards, flags and imports in functions, methods and objects."""

from __future__ import annotations

from tests.projects.guards import Guard

FORMS = [
    Guard(
        "a parameter that is called like the package",
        {
            "main.py": """\
from eager import eager


def choose(xformers):
    if xformers:
        try:
            import xformers.ops
        except ImportError:
            raise ImportError("xformers is not installed")
        return True
    return False


def run(q, k, v, bias=None):
    import xformers.ops as xops

    b, n, h, d = q.shape
    if choose(True):
        return "fast", CALL[xops.memory_efficient_attention]
    return "eager", eager(q, k, v)
"""
        },
    ),
    Guard(
        "a guard in the function",
        {
            "main.py": """\
from eager import eager


def run(q, k, v, bias=None):
    b, n, h, d = q.shape
    try:
        import xformers.ops as xops
    except ImportError:
        return "eager", eager(q, k, v)
    return "fast", CALL[xops.memory_efficient_attention]
"""
        },
    ),
    Guard(
        "the call in the guard",
        {
            "main.py": """\
from eager import eager


def run(q, k, v, bias=None):
    b, n, h, d = q.shape
    try:
        from xformers.ops import memory_efficient_attention

        return "fast", CALL[memory_efficient_attention]
    except ImportError:
        return "eager", eager(q, k, v)
"""
        },
    ),
    Guard(
        "an import in the function",
        {
            "main.py": """\
def run(q, k, v, bias=None):
    import xformers
    import xformers.ops

    b, n, h, d = q.shape
    return "fast", CALL[xformers.ops.memory_efficient_attention]
"""
        },
    ),
    Guard(
        "a flag of the object",
        {
            "main.py": """\
from eager import eager


class Attention:
    def __init__(self):
        self.fast = True
        try:
            from xformers.ops import memory_efficient_attention

            self.attend = memory_efficient_attention
        except ImportError:
            self.fast = False

    def forward(self, q, k, v, bias=None):
        b, n, h, d = q.shape
        if self.fast:
            return "fast", self.attend(q, k, v)
        return "eager", eager(q, k, v)


def run(q, k, v):
    return Attention().forward(q, k, v)
"""
        },
    ),
    Guard(
        "a global of a function",
        {
            "main.py": """\
from eager import eager

FAST = False
xops = None


def prepare():
    global FAST, xops
    try:
        import xformers.ops as xops

        FAST = True
    except ImportError:
        FAST = False


prepare()


def run(q, k, v, bias=None):
    b, n, h, d = q.shape
    if FAST:
        return "fast", CALL[xops.memory_efficient_attention]
    return "eager", eager(q, k, v)
"""
        },
    ),
    Guard(
        "a switch of a training script",
        {
            "main.py": """\
from importlib.metadata import version
from importlib.util import find_spec

from eager import eager


def is_xformers_available():
    return find_spec("xformers") is not None


class Model:
    fast = False

    def use_fast(self):
        self.fast = True

    def forward(self, q, k, v, bias=None):
        b, n, h, d = q.shape
        if self.fast:
            import xformers.ops

            return "fast", CALL[xformers.ops.memory_efficient_attention]
        return "eager", eager(q, k, v)


def run(q, k, v, wanted=True):
    model = Model()
    if wanted:
        if is_xformers_available():
            import xformers

            if version("xformers") == "0.0.16":
                print("xformers 0.0.16 cannot be used for training on some GPUs")
            model.use_fast()
        else:
            raise ValueError("xformers is not available. Make sure it is installed correctly")
    return model.forward(q, k, v)
"""
        },
    ),
    Guard(
        "methods chosen when the module is read",
        {
            "main.py": """\
from eager import eager

try:
    import xformers.ops as xops
    FAST = True
except ImportError:
    FAST = False


class Plain:
    name = "eager"

    def attend(self, q, k, v, bias=None):
        return eager(q, k, v)


class Quick(Plain):
    name = "fast"

    def attend(self, q, k, v, bias=None):
        b, n, h, d = q.shape
        if not FAST:
            return super().attend(q, k, v)
        return CALL[xops.memory_efficient_attention]


Attention = Quick if FAST else Plain


def run(q, k, v):
    attention = Attention()
    return attention.name, attention.attend(q, k, v)
"""
        },
    ),
]
