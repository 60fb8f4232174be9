"""What the programs are made of: one table for each dimension, one entry for each of its values.

Texts are templates for `str.format`. In all of them `b` is the batch, `n` the number of queries, `m` of keys,
`h` the heads, `d` the width of a head and `c` = h·d; `{n}` is how the program writes its number of tokens.
"""

from __future__ import annotations

from tests.property.options.arguments import DROPOUTS, MASKS, OPS, SCALES, STYLES, Argument, Mask
from tests.property.options.dtypes import CASTS, PROJECTIONS, Cast, Projection
from tests.property.options.heads import EXPRESSIONS, FORMS, FUSED, PARALLEL, STORAGES, Expression, Form, Fused
from tests.property.options.imports import GUARDS, IMPORTS, NAMINGS, Guard, ImportForm, Naming
from tests.property.options.option import Option
from tests.property.options.results import HARD_USES, USES, Use
from tests.property.options.surroundings import NEIGHBOURS, TWISTS, Neighbour, Twist

__all__ = [
    "CASTS",
    "DROPOUTS",
    "EXPRESSIONS",
    "FORMS",
    "FUSED",
    "GUARDS",
    "HARD_USES",
    "IMPORTS",
    "MASKS",
    "NAMINGS",
    "NEIGHBOURS",
    "OPS",
    "PARALLEL",
    "PROJECTIONS",
    "SCALES",
    "STORAGES",
    "STYLES",
    "TWISTS",
    "USES",
    "Argument",
    "Cast",
    "Expression",
    "Form",
    "Fused",
    "Guard",
    "ImportForm",
    "Mask",
    "Naming",
    "Neighbour",
    "Option",
    "Projection",
    "Twist",
    "Use",
]
