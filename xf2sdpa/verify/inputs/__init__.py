"""Inputs for a call site where there is no program: values for its atoms, made from what the analysis knows of them.

Whole arguments are made as xformers takes them: query, key, value `[B, M, H, K]` (3-D `[B, M, K]`, 5-D
`[B, M, G, H, K]`), a bias `[B, H, M, N]`, mask objects of xformers' own classes. Where an atom is only a part of an
argument, a value for it is looked for: candidates are tried on a tiny shape whose sizes all differ, until the old side
calls its operator with query, key, value and bias of the shapes wanted. The new side has no say in this. What no
candidate fits needs a program.
"""

from xf2sdpa.verify.inputs.candidates import DROPOUT, SCALE
from xf2sdpa.verify.inputs.maker import Atoms, Maker, Reason, make
from xf2sdpa.verify.inputs.shapes import CPU_SHAPES, GPU_SHAPES, Shape

__all__ = ["CPU_SHAPES", "DROPOUT", "GPU_SHAPES", "SCALE", "Atoms", "Maker", "Reason", "Shape", "make"]
