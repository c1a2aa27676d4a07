"""What is said of labels: signs that the model does not suit, and how they were made."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from magicgui.widgets import Container, PushButton
from napari.components import ViewerModel
from napari.layers import Labels
from qtpy.QtWidgets import QFileDialog

from napari_nucseg.analysis.field_parts import provenance_parts
from napari_nucseg.io.channels import FIELD
from napari_nucseg.io.writers import read_provenance
from napari_nucseg.parameter_spec import describe_values, specs_of
from napari_nucseg.segmenters.api import Concern
from napari_nucseg.segmenters.catalogue import ignored_by
from napari_nucseg.segmenters.parameters import Depth, SegmentParams
from napari_nucseg.ui.edits import changes_of
from napari_nucseg.ui.jobs import tell_user
from napari_nucseg.ui.layer_fields import shown_plane
from napari_nucseg.ui.params_form import side_by_side
from napari_nucseg.ui.segment.hand_edits import provenance_by_field
from napari_nucseg.ui.widgets import TextLine
from napari_nucseg.wording import as_size, counted, say_corrected, terms_of

_TOLD = {"model", "parameters", "versions", "device", "precision", "seconds", "weights_sha256"}
"""What is known of labels that a model made; corrected or foreign ones lack some of it."""

Use = Callable[[str, SegmentParams, Mapping[str, Any]], None]
"""Called with the name of a model, its parameters, and how planes were put together."""


class AdviceWidget(Container[Any]):
    """A line that tells of a concern, and a button that follows its advice.

    Parameters
    ----------
    follow : callable
        Called with the parameters, by name, that another run shall have.
    """

    def __init__(self, follow: Callable[[Mapping[str, Any]], None]) -> None:
        self.text = TextLine(label="")
        self.button = PushButton(text="", tooltip="Segment again with this change.")
        super().__init__(widgets=[self.text, self.button], labels=False)
        self.margins = (0, 0, 0, 0)
        self._follow = follow
        self._change: Mapping[str, Any] = {}
        self._only: int | None = None
        self.button.changed.connect(self.press)
        self.clear()

    def clear(self) -> None:
        """Hide the advice."""
        self.tell({})

    def clear_elsewhere(self, plane: int) -> None:
        """Hide the advice on a field that is not in sight; what is said of several stays."""
        if self._only not in (None, plane):
            self.clear()

    def tell(self, concerns: Mapping[int, Sequence[Concern]]) -> None:
        """Tell of the concerns about the fields that were segmented.

        Parameters
        ----------
        concerns : mapping
            Concerns about each field, by its number in the stack.
        """
        self._only = next(iter(concerns)) if len(concerns) == 1 else None
        told = [field[0] for field in concerns.values() if field]
        self.visible = bool(told)
        if not told:
            return
        first = told[0]
        several = f"Check {len(told)} of {len(concerns)} fields. The first:"
        intro = several if len(concerns) > 1 else "Check the result."
        self.text.value = f"{intro} {first.reason}. {first.advice}."  # no option of the console
        self._change = first.change
        # With several fields the good ones would be segmented anew, too
        self.button.visible = bool(first.change) and len(concerns) == 1
        self.button.text = describe_change(first.change)

    def press(self) -> None:
        """Follow the advice."""
        self._follow(self._change)


def describe_change(change: Mapping[str, Any]) -> str:
    """Say on a button what it sets.

    Examples
    --------
    >>> describe_change({"diameter": 112.0})
    'Use diameter 112 px'
    >>> describe_change({"invert": True}), describe_change({"invert": False})
    ('Switch on Dark nuclei', 'Switch off Dark nuclei')
    """
    told = []
    for name, value in change.items():
        spec = specs_of(SegmentParams)[name]
        unit = f" {spec.unit}" if spec.unit else ""
        if isinstance(value, bool):
            told.append(f"switch {'on' if value else 'off'} {spec.label}")
        else:
            told.append(f"use {spec.label.lower()} {value:g}{unit}")
    text = " and ".join(told)
    return text[:1].upper() + text[1:]


class ProvenanceWidget(Container[Any]):
    """Tells how the selected labels were made, and takes their settings over.

    Parameters
    ----------
    viewer : ViewerModel
        The viewer whose selected layer is described.
    use : callable
        Takes the settings over; raises ValueError where it cannot.
    """

    def __init__(self, viewer: ViewerModel, use: Use) -> None:
        self.text = TextLine(label="")
        self.take_over = PushButton(
            text="Use these settings",
            tooltip="Set the model and the values to those that made the selected labels.",
        )
        self.open = PushButton(
            text="From a file...",
            tooltip="Set the model and the values to those of a label image that napari-nucseg "
            "has written.",
        )
        buttons = side_by_side(self.take_over, self.open)
        super().__init__(widgets=[self.text, buttons], labels=False)
        self.margins = (0, 0, 0, 0)
        self._viewer = viewer
        self._use = use
        self._locked = False
        self.take_over.changed.connect(self.use_selected)
        self.open.changed.connect(self.use_file)
        viewer.layers.selection.events.active.connect(self.show_selected)
        viewer.dims.events.current_step.connect(self.show_selected)
        self.show_selected()

    def disconnect_viewer(self) -> None:
        """Disconnect from the events of the viewer."""
        self._viewer.layers.selection.events.active.disconnect(self.show_selected)
        self._viewer.dims.events.current_step.disconnect(self.show_selected)

    def show_selected(self, event: Any = None) -> None:
        """Describe how the selected labels were made."""
        made = self._selected()
        lines = [describe(made) if made else "Select a Labels layer that this plugin has made."]
        self.text.value = "\n".join(filter(None, [*lines, self._corrected()]))
        self.take_over.enabled = made is not None and not self._locked

    def lock(self, locked: bool) -> None:
        """Take over no settings while a network works with others."""
        self._locked = locked
        self.open.enabled = not locked
        self.show_selected()

    def use_selected(self) -> None:
        """Take over the settings of the selected labels."""
        made = self._selected()
        if made is not None:
            self._take_over(made)

    def use_file(self) -> None:
        """Ask for a label image, and take over its settings."""
        name, _ = QFileDialog.getOpenFileName(self.native, "Label image", "", "*.tif *.tiff")
        if not name:
            return
        try:
            made = read_provenance(Path(name))
        except (ValueError, OSError) as error:
            tell_user(error)
            return
        self._take_over(made)

    def _take_over(self, made: Mapping[str, Any]) -> None:
        if not made.keys() >= _TOLD:
            tell_user(
                ValueError(
                    "this file does not say how its labels were segmented; choose "
                    "one that napari-nucseg has written"
                )
            )
            return
        try:
            params = SegmentParams(**made["parameters"])
            self._use(str(made["model"]), params, made.get("depth") or {})
        except (ValueError, TypeError, LookupError) as error:
            tell_user(ValueError(f"these settings cannot be used here: {error}"))

    def _corrected(self) -> str:
        """Say how many nuclei of the field in sight were edited by hand since."""
        layer = self._viewer.layers.selection.active
        if not isinstance(layer, Labels) or self._selected() is None:
            return ""
        plane = shown_plane(self._viewer.dims.point, layer)
        return say_corrected(changes_of(layer, plane).nuclei).capitalize()

    def _selected(self) -> Mapping[str, Any] | None:
        layer = self._viewer.layers.selection.active
        if not isinstance(layer, Labels):
            return None
        made = provenance_by_field(layer).get(shown_plane(self._viewer.dims.point, layer))
        return made if made and made.keys() >= _TOLD else None


def describe(made: Mapping[str, Any]) -> str:
    """Say in lines how labels were made; of boxes that were segmented later, what differs.

    Parameters
    ----------
    made : mapping
        A `napari_nucseg.segmenters.api.Provenance` as plain values, and of boxes in the field.
    """
    first, *boxes = provenance_parts(made)
    before = _lines(first)
    text = [_where(first), *before]
    for box in boxes:
        lines = _lines(box)
        new = [line for line in lines if line not in before]
        text += ["", f"{_where(box)}, later:", *(new or ["the same way"])]
    return "\n".join(text)


def _where(made: Mapping[str, Any]) -> str:
    name, box = made.get("image", "an image"), made.get("box")
    if box is None:
        return f"All of {name}"
    top, left, bottom, right = box
    return f"Rows {top} to {bottom - 1}, columns {left} to {right - 1} of {name}"


def _lines(made: Mapping[str, Any]) -> list[str]:
    versions = ", ".join(f"{name} {number}" for name, number in made["versions"].items())
    channel, axes = made.get("channel"), made.get("axes", ())
    weights = made["weights_sha256"][:12]
    terms = terms_of(str(made.get("licence", "")), str(made.get("trained_on", "")))
    return [
        f"Model {made['model']}, {made['seconds']:.2f} s",
        *([f"Axes {', '.join(axes)}, y, x"] if set(axes) - {FIELD} else []),
        *([f"Channel {channel}"] if channel else []),
        f"{made['device']}, {made['precision']}",
        *_depth(made.get("depth") or {}),
        *_blocks(made.get("blocks") or {}),
        *describe_values(SegmentParams, made["parameters"], ignored_by(made["model"])),
        *_unused(made),
        *_estimate(made),
        versions,
        *([f"Weights {made.get('weights', '')} {weights}"] if weights else []),
        *([f"Licence {terms}"] if terms else []),
        *made.get("notes", ()),
    ]


def _unused(made: Mapping[str, Any]) -> list[str]:
    """Name the parameters that the model made no use of."""
    ignored, specs = ignored_by(made["model"]), specs_of(SegmentParams)
    names = [specs[name].label for name in made["parameters"] if name in ignored and name in specs]
    return [f"Not used by this model: {', '.join(names).lower()}"] if names else []


def _estimate(made: Mapping[str, Any]) -> list[str]:
    """Say what diameter was found in the image, if that decided anything."""
    if made.get("diameter") is None or not made.get("is_estimated"):
        return []
    return [f"Diameter {made['diameter']:.0f} px (estimated)"]


def _depth(depth: Mapping[str, Any]) -> list[str]:
    """Say how the planes of a volume were put together, if they were."""
    if depth.get("method") == Depth.STITCHED:
        return [
            f"A plane of a volume, stitched at an overlap (IoU) of {depth['stitch_threshold']:g}"
        ]
    if depth.get("method") == Depth.IN_3D:
        return [f"A plane of a volume, segmented in 3-D with anisotropy {depth['anisotropy']:g}"]
    return []


def _blocks(blocks: Mapping[str, Any]) -> list[str]:
    """Say in which blocks an image was segmented, if it was."""
    if not blocks:
        return []
    size = as_size(blocks["size"])
    count = counted(blocks["count"], "block")
    return [f"In {count} of {size} px, which overlap by {blocks['overlap']} px"]
