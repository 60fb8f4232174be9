"""Whether a string may be what a program finds a class or a function by: its name, its path, or code that is run."""

from __future__ import annotations

import re

RUNS_CODE = re.compile(r"(?<![\w.])(?:eval|exec)\(|\b(?:timeit|Timer)\(")
"""What runs code that stands in a string."""


def names_it(value: str, name: str, *, runs_code: bool) -> bool:
    """Whether a string is a name, or a path that ends in it: `pkg.mod.name`, `pkg.mod:name`, `mod.Class.method`.

    Args:
        value: the string.
        name: of a class or a function.
        runs_code: whether the project runs code that stands in strings.

    >>> names_it("models.blocks:Attend", "Attend", runs_code=False)
    True
    >>> names_it("blocks.attend.weight", "attend", runs_code=False)
    False
    """
    if name not in value:
        return False
    if runs_code and re.search(rf"(?<!\w){re.escape(name)}\s*[(.\[]", value):
        return True
    more = r"(?:[.:]\w+)?" if name[:1].isupper() else ""  # `mod.Class.method`, not `mod.function.weight`
    return re.search(rf"(?:^|[.:/]){re.escape(name)}{more}$", value) is not None
