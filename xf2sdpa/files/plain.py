"""Text of other people's making, such as a file's name, made fit for terminals, logs and workflow runners."""

from __future__ import annotations

TYPE_CHECKING = False

if TYPE_CHECKING:
    from xf2sdpa.files.patterns import StrPath


def plain(text: str) -> str:
    """Return the text with all shown that does not show itself, or does something when it is printed.

    Control characters, line ends, marks that turn the direction of writing, and bytes of a name that are no UTF-8 are
    written as Python writes them. A runner of GitHub's obeys lines that begin with `::`, and `##[` anywhere.
    """
    if not text.isprintable():
        text = "".join(map(_shown, text))
    if ":" in text and text.lstrip().startswith("::"):
        text = text.replace("::", ":\\:", 1)
    return text.replace("##[", "#\\#[")


def plain_json(document: str) -> str:
    """Return a JSON document that means the same and does nothing when it is printed; it is valid UTF-8, too."""
    if not document.replace("\n", "").isprintable():
        document = "".join(c if c.isprintable() or c == "\n" else _escaped(c) for c in document)
    return document.replace("##[", "#\\u0023[")


def _escaped(character: str) -> str:
    units = character.encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{units[first : first + 4]}" for first in range(0, len(units), 4))


def _shown(character: str) -> str:
    if character.isprintable():
        return character
    if 0xDC80 <= ord(character) <= 0xDCFF:  # a byte of a name that is no UTF-8
        return f"\\x{ord(character) - 0xDC00:02x}"
    return ascii(character)[1:-1]


def shell_word(path: StrPath) -> str:
    """Return the path as one word of a command line that a person may paste."""
    import os  # noqa: PLC0415 - only for a new helper module
    import shlex  # noqa: PLC0415

    name = os.fspath(path)
    if plain(name) == name:
        return shlex.quote(f"./{name}" if name.startswith("-") else name)
    safe = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._-"
    return "$'" + "".join(chr(byte) if byte in safe else f"\\x{byte:02x}" for byte in os.fsencode(name)) + "'"
