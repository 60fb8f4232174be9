"""What mkdocs needs besides the pages: README as the home page, links out of docs/, the codes in the menu, breaks.

Plain files link to each other and to the rest of the repository. On the site README is `index.md`, and what lies
outside of docs/ is no page: such a link goes to the repository if `repo_url` in mkdocs.yml says where it is, and else
keeps its text only.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File

ROOT = Path(__file__).resolve().parents[2]
LINK = re.compile(r"(!?)\[((?:[^\[\]]|\[[^\]]*\])*)\]\((?!https?:|#)([^()\s]+)\)")
SHORT_CODE = re.compile(r"<code>([^<\n]{1,32})</code>")
"""Inline code that has room on a line of its own even on a phone; a browser would break it after each hyphen."""
PAIR = re.compile(r"(?<=<td style=\"text-align: right;\">)([\d.,]+) / ([\d.,]+)(?=</td>)")
FENCE = re.compile(r"(^```.*?^```$)", re.MULTILINE | re.DOTALL)


def on_config(config: Any) -> Any:
    """The codes by name in the navigation, each below its family's index."""
    codes = sorted(page.stem for page in Path(config.docs_dir, "codes").glob("XF*.md"))
    for entry in config.nav:
        if "Codes" in entry:
            entry["Codes"] += [f"codes/{code}.md" for code in codes]
    return config


def on_files(files: Any, config: Any) -> Any:
    """README as the home page."""
    text = (ROOT / "README.md").read_text("utf-8")
    files.append(File.generated(config, "index.md", content=text))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:  # noqa: ARG001
    """A page with its links as the site has them."""
    here = "" if page.file.src_uri == "index.md" else posixpath.join("docs", posixpath.dirname(page.file.src_uri))
    parts = FENCE.split(markdown)
    return "".join(part if part.startswith("```") else linked(part, here, config.repo_url) for part in parts)


def on_page_content(html: str, page: Any, config: Any, files: Any) -> str:  # noqa: ARG001
    """A page whose lines break nowhere in an option or in a pair of figures."""
    return PAIR.sub(r"\1&nbsp;/&nbsp;\2", SHORT_CODE.sub(r'<code class="short">\1</code>', html))


def linked(text: str, here: str, repository: str | None) -> str:
    """Links of a text that lies in the folder `here` of the repository, as they are on the site."""

    def put(found: re.Match[str]) -> str:
        picture, words, link = found.groups()
        path, sign, anchor = link.partition("#")
        place = posixpath.normpath(posixpath.join(here, path))
        if place == "README.md":
            place = "docs/index.md"
        if place.startswith("docs/"):
            return f"{picture}[{words}]({posixpath.relpath(place, here or 'docs')}{sign}{anchor})"
        return f"[{words}]({repository.rstrip('/')}/blob/HEAD/{place})" if repository else words

    return LINK.sub(put, text)
