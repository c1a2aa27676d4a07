"""Labels as they were before they were corrected, kept with their layer."""

from __future__ import annotations

from collections.abc import Mapping

from napari.layers import Labels

from napari_nucseg.core.images import Labels as LabelImage

_KEY = "nucseg originals"


def remember(layer: Labels, plane: int, before: LabelImage) -> None:
    """Keep a field's labels as they were before the first edit."""
    known = originals_of(layer)
    if plane not in known:
        layer.metadata = layer.metadata | {_KEY: {**known, plane: before.copy()}}


def forget(layer: Labels) -> None:
    """Take a layer's labels, which were replaced, for the original."""
    layer.metadata = {key: value for key, value in layer.metadata.items() if key != _KEY}


def originals_of(layer: Labels) -> Mapping[int, LabelImage]:
    """Return the labels of edited fields as they were before."""
    known: Mapping[int, LabelImage] = layer.metadata.get(_KEY, {})
    return known
