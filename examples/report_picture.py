"""Make the documentation's picture of a report: its beginning, and the worst fields beside it.

    napari-nucseg benchmark BBBC039 --split validation -m fluo-nuclei -m otsu --out comparison
    python examples/report_picture.py comparison/report.html

Chromium or Chrome has to be installed.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image

PICTURE = Path(__file__).parents[1] / "docs" / "images" / "report.png"
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
WIDTH, HEIGHT = 1120, 1430
"""Of the window that each part is seen in."""
SIZE = 1568, 1001
"""Of the picture of both."""
PARTS = ("", "#worst-1")


def main() -> None:
    """Take the picture of the report that the command line names."""
    if len(sys.argv) != 2:
        sys.exit("name one report: python examples/report_picture.py comparison/report.html")
    address = Path(sys.argv[1]).resolve(strict=True).as_uri()
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        sys.exit(f"none of {', '.join(BROWSERS)} is installed; install one")
    with tempfile.TemporaryDirectory() as folder:
        both, taken = Path(folder) / "both.html", Path(folder) / "both.png"
        size = f"width={WIDTH} height={HEIGHT}"
        frames = (f'<iframe {size} src="{address}{part}"></iframe>' for part in PARTS)
        style = "body { margin: 0; display: flex; } iframe { border: 0; }"
        both.write_text(f"<!doctype html><style>{style}</style>{''.join(frames)}")
        take(browser, both, taken)
        with Image.open(taken) as picture:
            small = picture.convert("RGB").resize(SIZE, Image.Resampling.LANCZOS)
            small.save(PICTURE, optimize=True)
    print(PICTURE)


def take(browser: str, page: Path, picture: Path) -> None:
    """Let a browser without a window draw a page."""
    subprocess.run(
        [
            *(browser, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"),
            *("--no-first-run", "--disable-background-networking", "--disable-sync"),
            *("--virtual-time-budget=5000", f"--user-data-dir={page.parent / 'profile'}"),
            *("--log-level=3", "--disable-quic"),
            *(f"--window-size={len(PARTS) * WIDTH},{HEIGHT}", f"--screenshot={picture}"),
            page.as_uri(),
        ],
        check=True,
    )


if __name__ == "__main__":
    main()
