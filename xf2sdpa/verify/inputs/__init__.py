"""Makes inputs for a call site without a program: values for its atoms, from what the analysis knows of them.

Whole arguments are made as xformers takes them: query, key, value `[B, M, H, K]` (3-D `[B, M, K]`, 5-D
`[B, M, G, H, K]`), a bias `[B, H, M, N]`, mask objects of xformers' own classes. If an atom is only a part of an
argument, its value is searched for: candidates are tried on a tiny shape whose sizes all differ, until the old side
calls its operator with query, key, value and bias of the right shapes. The new side is not used in the search. A site
for which no candidate fits needs a program.
"""

from xf2sdpa.verify.inputs.candidates import DROPOUT, SCALE
from xf2sdpa.verify.inputs.maker import Atoms, Maker, Reason, make
from xf2sdpa.verify.inputs.shapes import CPU_SHAPES, GPU_SHAPES, Shape

__all__ = ["CPU_SHAPES", "DROPOUT", "GPU_SHAPES", "SCALE", "Atoms", "Maker", "Reason", "Shape", "make"]
