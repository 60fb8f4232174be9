"""The picture of a report of `xf2sdpa verify`, made by a browser from the report's page and a stored result.

python docs/make/report_picture.py            # writes docs/pictures/verify-h200.png; needs chromium or Chrome
python docs/make/report_picture.py --check    # exit 1 if it was made from another result; needs no browser
"""

from __future__ import annotations

import argparse
import hashlib
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import zlib
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from pages import PICTURES, ROOT

from xf2sdpa.verify.report import html, json

RESULT = ROOT / "benchmarks/results/h200_verify_xformers_0.0.34.json"
PICTURE = PICTURES / "verify-h200.png"
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
WIDTH = 1280
END = "<h2>Errors</h2>"
"""Where the picture ends: what follows is for who looks into one call."""
HEIGHT = "<script>document.title = 'height ' + Math.ceil(document.body.getBoundingClientRect().bottom)</script>"
KEY = b"Source"
"""The chunk of the picture that says, by its digest, from which result it was made."""


def page() -> str:
    """The beginning of the report's page, and what tells its height."""
    whole = html.render(json.load(RESULT.read_text("utf-8")))
    top, end, _ = whole.partition(END)
    if not end:
        raise ValueError(f"the report's page has no {END}")
    # The page forbids all scripts, also the one that tells how high it is.
    return re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", top) + f"</main>{HEIGHT}</body></html>"


def source() -> bytes:
    """What the picture is to be made from."""
    return hashlib.sha256(RESULT.read_bytes()).hexdigest().encode()


def taken(browser: str) -> bytes:
    """The picture, as the browser takes it."""
    with tempfile.TemporaryDirectory() as place:
        file, shot = Path(place) / "report.html", Path(place) / "shot.png"
        file.write_text(page(), "utf-8")
        common = [browser, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"]
        common += ["--force-device-scale-factor=1", f"--user-data-dir={place}/profile"]
        read = [*common, f"--window-size={WIDTH},600", "--dump-dom", file.as_uri()]
        seen = re.search(r"height (\d+)", subprocess.run(read, capture_output=True, text=True, check=True).stdout)
        if seen is None:
            raise ValueError(f"{browser} did not tell how high the page is")
        height = int(seen[1]) + 16
        subprocess.run(
            [*common, f"--window-size={WIDTH},{height}", f"--screenshot={shot}", file.as_uri()],
            capture_output=True,
            check=True,
        )
        return shot.read_bytes()


def marked(picture: bytes) -> bytes:
    """A PNG with a text chunk that names its source, behind the chunk that comes first."""
    data = KEY + b"\0" + source()
    chunk = struct.pack(">I", len(data)) + b"tEXt" + data + struct.pack(">I", zlib.crc32(b"tEXt" + data))
    return picture[:33] + chunk + picture[33:]


def is_fresh() -> bool:
    """Whether the picture was made from the result that is stored now."""
    return PICTURE.is_file() and KEY + b"\0" + source() in PICTURE.read_bytes()[:256]


def main() -> int:
    """Take the picture; or with `--check` only say whether it is stale."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if the picture is stale")
    if parser.parse_args().check:
        if not is_fresh():
            print(PICTURE.relative_to(ROOT), file=sys.stderr)
        return int(not is_fresh())
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        print(f"no picture was made: none of {', '.join(BROWSERS)} is installed", file=sys.stderr)
        return 2
    PICTURE.write_bytes(marked(taken(browser)))
    print(PICTURE.relative_to(ROOT))
    return 0


if __name__ == "__main__":
    sys.exit(main())
