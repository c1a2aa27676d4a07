"""Labels as they were before they were corrected, kept with their layer."""

from __future__ import annotations

from collections.abc import Mapping

from napari.layers import Labels

from napari_nucseg.core.images import Labels as LabelImage

_KEY, _LOST = "nucseg originals", "nucseg originals lost"


def remember(layer: Labels, plane: int, before: LabelImage) -> None:
    """Keep a field's labels as they were before the first edit."""
    known = originals_of(layer)
    if plane not in known:
        layer.metadata = layer.metadata | {_KEY: {**known, plane: before.copy()}}


def lose_track(layer: Labels) -> None:
    """Note that fields were edited of which it is not known how they were before."""
    layer.metadata = layer.metadata | {_LOST: True}


def is_tracked(layer: Labels) -> bool:
    """Whether all fields that were edited are known as they were before."""
    return _LOST not in layer.metadata


def forget(layer: Labels) -> None:
    """Take a layer's labels, which were replaced, for the original."""
    layer.metadata = {
        key: value for key, value in layer.metadata.items() if key not in (_KEY, _LOST)
    }


def originals_of(layer: Labels) -> Mapping[int, LabelImage]:
    """Return the labels of edited fields as they were before."""
    known: Mapping[int, LabelImage] = layer.metadata.get(_KEY, {})
    return known
