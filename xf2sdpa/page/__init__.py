"""Self-contained HTML pages with tables and charts, for verify and bench.

`render` fills a template that extends `page/base.html`. What goes into it is plain data: `tables.Table`,
`charts.BarChart`, `charts.ErrorPlot`; `page/parts.html` has a macro for each. A page loads nothing from anywhere, needs
no JavaScript, and follows the reader's light or dark setting. Jinja2 is imported by `render` and by nothing else here.
"""

from __future__ import annotations

import functools
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import jinja2
    from markupsafe import Markup


def render(template: str, **values: Any) -> str:
    """A page.

    Args:
        template: path inside this package, such as `verify/report/page.html`; it extends `page/base.html`.
        values: what the template names. All text is escaped: reports hold the user's code.

    Raises:
        jinja2.UndefinedError: the template names something that is not among the values.
    """
    return _environment().get_template(template).render(values) + "\n"


@functools.cache
def _environment() -> jinja2.Environment:
    import jinja2  # noqa: PLC0415 - from the extra `verify`; only pages need it

    from xf2sdpa import __version__  # noqa: PLC0415
    from xf2sdpa.page import numbers  # noqa: PLC0415

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("xf2sdpa", "."),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals.update(tool_version=__version__, numbers=numbers)
    environment.filters["prose"] = prose
    return environment


def prose(text: str) -> Markup:
    """Escaped text in which what stands between backticks is code."""
    from markupsafe import Markup, escape  # noqa: PLC0415 - comes with Jinja2

    pieces = re.split(r"`([^`]+)`", text)
    return Markup("").join(
        Markup("<code>{}</code>").format(piece) if index % 2 else escape(piece) for index, piece in enumerate(pieces)
    )
