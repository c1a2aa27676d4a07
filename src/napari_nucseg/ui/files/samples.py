"""Sample data: a drawn field that is always there, and BBBC039 by download."""

from __future__ import annotations

from typing import Any

from napari_nucseg.core.datasets import open_dataset
from napari_nucseg.core.synthetic import PIXEL_SIZE_UM, draw_field
from napari_nucseg.ui.files.downloading import download_in_window
from napari_nucseg.ui.files.reader import LayerData, read_dataset
from napari_nucseg.ui.layers import GROUND_TRUTH, IMAGE, LayerRecord, tag

SYNTHETIC = "U2OS-like field"


def synthetic() -> list[LayerData]:
    """Draw a field of U2OS-like nuclei with its exact ground truth."""
    field = draw_field()
    placed: dict[str, Any] = {
        "scale": (PIXEL_SIZE_UM, PIXEL_SIZE_UM),
        "units": ("um", "um"),
        "axis_labels": ("y", "x"),
    }
    stems = (SYNTHETIC,)
    image = {"name": SYNTHETIC, "metadata": tag(LayerRecord(IMAGE, stems)), **placed}
    truth = {
        "name": f"{SYNTHETIC} {GROUND_TRUTH}",
        "metadata": tag(LayerRecord(GROUND_TRUTH, stems)),
        **placed,
    }
    return [(field.image, image, "image"), (field.labels, truth, "labels")]


def bbbc039() -> list[LayerData]:
    """Open BBBC039; when it is not here yet, download it first, with the window alive.

    Raises
    ------
    OSError
        If it cannot be had, the download was cancelled, or another is on its way.
    """
    from napari_nucseg.runs.download import dataset_folder, missing_archives

    folder = dataset_folder()
    if missing_archives(folder):
        download_in_window(folder)
    return read_dataset(open_dataset(folder))
