"""The fields that times are taken on: from few nuclei to many."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from napari_nucseg.io.datasets import open_dataset
from napari_nucseg.io.synthetic import draw_field

SHAPE = (520, 696)
NUCLEI = {"O13_s3": 24, "B19_s7": 93, "A02_s1": 110, "J20_s1": 142, "K12_s7": 231}
"""Fields of the validation split, and the nuclei of their ground truth."""


def images(dataset: Path | None) -> list[NDArray[Any]]:
    """Read the fields, or draw as many with as many nuclei."""
    if dataset is None:
        return [draw_field(n, shape=SHAPE, nuclei=n).image for n in NUCLEI.values()]
    fields = {field.name: field for field in open_dataset(dataset, "validation").fields}
    return [fields[name].read_image().data for name in NUCLEI]
