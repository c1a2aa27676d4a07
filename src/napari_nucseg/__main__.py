"""``python -m napari_nucseg`` is the command line."""

from napari_nucseg.cli.main import main

main()
