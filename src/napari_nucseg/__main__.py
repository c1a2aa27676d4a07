"""The command line: ``napari-nucseg``, or ``python -m napari_nucseg``."""

import sys


def main() -> None:
    """Load the command line, which takes a second or more, and run it; Ctrl-C ends both at once."""
    try:
        from napari_nucseg.cli.main import main as run

        run()
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
