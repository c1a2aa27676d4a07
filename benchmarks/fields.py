"""From a field to labels: with the model at hand, and in a process that has just begun."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage as ndi
from skimage.feature import peak_local_max
from skimage.filters import gaussian, threshold_otsu
from skimage.measure import label
from skimage.segmentation import watershed

from benchmarks.rows import Peer, Row, Within
from benchmarks.sample import images
from benchmarks.setting import Setting
from benchmarks.timing import in_fresh_process, interleave, timed
from napari_nucseg.array_types import Labels
from napari_nucseg.segmenters import catalogue

COLD_RUNS = 3
_COLD = """
import sys
import numpy as np
from napari_nucseg.segmenters import catalogue

model = catalogue.find(catalogue.BUNDLED)
segment = catalogue.load(model, "cpu")
segment(np.load(sys.argv[1]), model.defaults, lambda done, total: None)
"""


def measure(setting: Setting) -> list[Row]:
    """Take the times of the bundled model."""
    fields = images(setting.dataset)
    return [_warm(fields, setting.runs), *_cold(fields[0], min(setting.runs, COLD_RUNS))]


def otsu_watershed(image: NDArray[Any], sigma: float = 1.0, distance: int = 10) -> Labels:
    """Segment as many a tutorial does: Otsu's threshold, then a watershed of the distances."""
    smooth = gaussian(image, sigma, preserve_range=True)
    nuclei = smooth > threshold_otsu(smooth)
    depth = ndi.distance_transform_edt(nuclei)
    peaks = peak_local_max(depth, min_distance=distance, labels=label(nuclei))
    seeds = np.zeros(image.shape, dtype=np.int32)
    seeds[tuple(peaks.T)] = np.arange(1, len(peaks) + 1)
    return np.asarray(watershed(-depth, seeds, mask=nuclei))


def _warm(fields: list[NDArray[Any]], runs: int) -> Row:
    model = catalogue.find(catalogue.BUNDLED)
    segment = catalogue.load(model, "cpu")
    ours, otsu = interleave(
        [
            timed(lambda image: segment(image, model.defaults, lambda done, total: None), fields),
            timed(otsu_watershed, fields),
        ],
        runs,
    )
    return Row(f"{model.name}, a field", ours, Peer("Otsu + watershed", otsu), Within(0.3))


def _cold(field: NDArray[Any], runs: int) -> list[Row]:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "field.npy"
        np.save(path, field)

        def without_machine_code(path: Path) -> None:
            with TemporaryDirectory() as cache:
                in_fresh_process(_COLD, str(path), NUMBA_CACHE_DIR=cache)

        cold, first = interleave(
            [
                timed(lambda path: in_fresh_process(_COLD, str(path)), [path]),
                timed(without_machine_code, [path]),
            ],
            runs,
        )
    what = f"{catalogue.BUNDLED}, a new process and one field"
    return [
        Row(what, cold, bar=Within(1.8)),
        Row(f"{what}, the very first time", first, bar=Within(8)),
    ]
