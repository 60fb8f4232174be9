"""Reading a file that may be anything: a pipe that never ends, a device, a giant. Only plain files of a size are read.

A name in somebody else's repository may stand for any of these, directly or by a link.
"""

from __future__ import annotations

import errno
import os
import stat

TYPE_CHECKING = False

if TYPE_CHECKING:
    from xf2sdpa.files.patterns import StrPath


LARGEST = 5 << 20
"""The size of the largest file that is worked on. Parsers take hundreds of bytes for each of its own."""

_FLAGS = os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0)  # a pipe must not keep us waiting


def read_regular(path: StrPath, largest: int = LARGEST) -> bytes:
    """Return the bytes of a plain file.

    Raises:
        OSError: it cannot be read, is no plain file, or is larger than `largest`.
    """
    descriptor = os.open(path, _FLAGS)
    with os.fdopen(descriptor, "rb") as stream:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise OSError(errno.EINVAL, "not a regular file")
        data = stream.read(largest + 1)
    if len(data) > largest:
        raise OSError(errno.EFBIG, f"larger than {largest >> 20} MiB")
    return data
