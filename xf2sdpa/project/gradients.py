"""Whether anything in a project takes a gradient, and whether anything makes a mask object of xformers."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

_TRAINS = re.compile(
    r"\b(backward|autograd|optim|optimi[sz]ers?|Trainer|lightning|accelerate|deepspeed|requires_grad_?|fit|jvp|vjp|"
    r"functional_call|train|training|finetune|LoRA|lora|peft)\b"
)
"""A word of these anywhere, a comment included, and a gradient may be taken."""
_IS_STARTED = re.compile(r"^if __name__ *== *['\"]__main__['\"]", re.MULTILINE)
_PACKAGED = ("setup.py", "setup.cfg", "pyproject.toml")
_MASK_CLASS = re.compile(
    r"\b(LowerTriangular\w*|BlockDiagonal\w*|Attention(Bias|Mask)\b|LocalAttentionFromBottomRightMask|PagedBlock\w*|"
    r"fmha\W+import|attn_bias\s+import|fmha\.attn_bias|import_module|getattr\(\s*(xops|ops|xformers|fmha))"
)


def takes_no_gradient(texts: Mapping[str, str], root: Path) -> bool:
    """Whether a project is an application, not a library, in which no word speaks of gradients or training.

    Args:
        texts: every Python file of the project by its path.
        root: its folder; a packaging file there makes it a library.
    """
    if not any(_IS_STARTED.search(text) for text in texts.values()):
        return False
    if any(_TRAINS.search(text) for text in texts.values()):
        return False
    return not any((root / name).exists() for name in _PACKAGED)


def names_mask_objects(texts: Iterable[str]) -> bool:
    """Whether some text names a mask class of xformers, or looks names up so that it may."""
    return any(_MASK_CLASS.search(text) for text in texts)
