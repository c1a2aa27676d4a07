"""The diameter: what automatic means, measured at a line or at labels, and as a circle."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from napari.components import ViewerModel
from napari.layers import Image, Layer, Shapes
from numpy.typing import NDArray
from qtpy.QtCore import QSignalBlocker

from napari_nucseg.ui.layer_fields import DIAMETER_CIRCLE, field_shape
from napari_nucseg.ui.panel import LayerWatch
from napari_nucseg.ui.segment.hand_edits import provenance_by_field
from napari_nucseg.ui.segment.measurement_tables import propose_diameter
from napari_nucseg.ui.segment.model_selector import ModelSelector

_TO_BEGIN_WITH = 30.0
"""Diameter of the circle in pixels where none is known."""
_LEAST_CHANGE = 0.05
"""Of a diameter in pixels, as the form shows it."""
_COLOUR = "#FF00FF"
_NO_DIAMETER = (
    "Draw a line across a nucleus in a Shapes layer, or press Segment. Then press Measure again."
)


class DiameterHelp:
    """Finds the diameter for the user.

    Parameters
    ----------
    viewer : ViewerModel
        The viewer with the image.
    model_selector : ModelSelector
        Selector of the model, for the image and by the form that it knows.
    tell : callable
        Called with a line of text, to show it.
    rest : callable
        Called when the diameter has changed, for which the network has to run.
    """

    def __init__(
        self,
        viewer: ViewerModel,
        model_selector: ModelSelector,
        tell: Callable[[str], None],
        rest: Callable[[], None],
    ) -> None:
        self._viewer = viewer
        self._model_selector = model_selector
        self._selection = selection = model_selector.selection
        self._tell = tell
        self._rest = rest
        self._row = selection.form.params["diameter"]
        self._circle = Circle(viewer, self._resize, self._show_button)
        self._watch = LayerWatch(viewer, Image, ("data",), model_selector.forget_image)
        selection.form.measure.changed.connect(self.measure)
        selection.form.circle.native.toggled.connect(self._toggle)
        self._row.changed.connect(self._on_value)
        selection.form.image.changed.connect(self._on_image)
        selection.form.model.changed.connect(self.show)
        viewer.dims.events.current_step.connect(self.show)
        self.show()

    def disconnect_viewer(self) -> None:
        """Take the circle away, and let go of the viewer."""
        self._viewer.dims.events.current_step.disconnect(self.show)
        self._watch.disconnect_viewer()
        self._circle.disconnect_viewer()

    @property
    def automatic(self) -> float | None:
        """The diameter that the field in sight was segmented for by itself, in pixels."""
        made = self._made
        return None if made is None or made["diameter"] is None else float(made["diameter"])

    @property
    def _made(self) -> Mapping[str, Any] | None:
        """How the field in sight was made, if that was with the automatic diameter."""
        labels = self._selection.prediction
        made = {} if labels is None else provenance_by_field(labels).get(self._selection.plane, {})
        was_set = made.get("parameters", {}).get("diameter", 1)
        return made if "diameter" in made and not was_set else None

    def show(self, *_: Any) -> None:
        """Say what the automatic diameter is for the field in sight, once it was run."""
        made, known = self._made, self._model_selector.model.capabilities
        text = ""
        if self._row.value or made is None:
            pass
        elif made["diameter"] is not None:
            how = "found in this field" if made["is_estimated"] else "the model's own"
            text = f"auto: {made['diameter']:.0f} px, {how}"
        elif known is not None and known.unscaled:
            text = "auto: fits nuclei of {:.0f} to {:.0f} px".format(*known.unscaled)
        self._selection.form.size.value = text

    def _toggle(self, is_on: bool) -> None:
        image = self._selection.image
        if not is_on or image is None:
            self._circle.hide()
            self._show_button(is_on=False)
            return
        diameter = self._row.value or self.automatic or self._usual()
        self._circle.put(image, diameter)
        self._tell(f"The circle has a diameter of {diameter:.0f} px. Drag it onto a nucleus.")

    def _usual(self) -> float:
        """Return a diameter to begin with where none is known: of the nuclei in sight, if any."""
        found = propose_diameter(self._viewer, self._selection.image, self._selection.prediction)
        return _TO_BEGIN_WITH if found is None else found.diameter

    def _resize(self, diameter: float) -> None:
        """Set the diameter to that of the circle."""
        if self._row.enabled:
            self._row.value = round(diameter, 1)
            self._rest()
            self._tell(f"Diameter {self._row.value:g} px. Press Segment to use it.")

    def _on_value(self) -> None:
        if self._row.value:
            self._circle.resize(self._row.value)
        self.show()

    def _on_image(self) -> None:
        self._circle.hide()
        self._show_button(is_on=False)
        self.show()

    def _show_button(self, is_on: bool) -> None:
        """Show by the button whether the circle is seen, which acts on nothing."""
        button = self._selection.form.circle.native
        with QSignalBlocker(button):
            button.setChecked(is_on)

    def measure(self) -> None:
        """Set the diameter to what a drawn line or the labels say."""
        found = propose_diameter(self._viewer, self._selection.image, self._selection.prediction)
        if found is None:
            self._tell(_NO_DIAMETER)
            return
        self._row.value = found.diameter
        self._rest()
        self._tell(f"{found} Press Segment to use it.")


class Circle:
    """A circle in a Shapes layer of its own, which can be dragged and resized.

    Where it is put away the layer is hidden, because napari takes a quarter of a second to add
    another, and fails to delete several layers if one of them goes with another.

    Parameters
    ----------
    viewer : ViewerModel
        The viewer that the layer is added to.
    resized : callable
        Called with the new diameter, in pixels of the image, when the user has resized it.
    shown : callable
        Called with whether it is seen when the user has shown, hidden or deleted it.
    """

    def __init__(
        self, viewer: ViewerModel, resized: Callable[[float], None], shown: Callable[[bool], None]
    ) -> None:
        self._viewer = viewer
        self._resized = resized
        self._shown = shown
        self._layer: Shapes | None = None
        self._diameter = 0.0
        self._before = set[Layer]()  # what was selected
        viewer.layers.events.removed.connect(self._on_removed)

    def disconnect_viewer(self) -> None:
        """Take the circle away, and let go of the viewer."""
        self.remove()
        self._viewer.layers.events.removed.disconnect(self._on_removed)

    def put(self, image: Image, diameter: float) -> None:
        """Show a circle in the middle of what is seen of an image, and select it."""
        layers = self._viewer.layers
        self._before = set(layers.selection)
        world = np.array(self._viewer.dims.point[-image.ndim :], dtype=float)
        world[-2:] = self._viewer.scene.camera.center[-2:]
        height, width = field_shape(image)[-2:]
        middle = np.clip(image.world_to_data(world)[-2:], 0, (height - 1, width - 1))
        layer = self._layer
        if layer is None:
            self._layer = layer = self._add(image, middle, diameter)
        else:
            layer.name, layer.affine = f"{image.name} diameter", _affine_of(image)
            layer.units, layer.axis_labels = image.units[-2:], image.axis_labels[-2:]
            self._draw(layer, diameter, middle)
            layer.edge_width = _edge_width(diameter)
            self._set_visible(layer, visible=True)
            layers.move(layers.index(layer), len(layers))
        layers.selection = {layer}

    def _add(self, image: Image, middle: NDArray[np.float64], diameter: float) -> Shapes:
        """Add its layer."""
        self._diameter = diameter
        layer = self._viewer.add_shapes(
            [_square(middle, diameter)],
            shape_type="ellipse",
            name=f"{image.name} diameter",
            face_color="transparent",
            edge_color=_COLOUR,
            edge_width=_edge_width(diameter),
            affine=_affine_of(image),
            units=image.units[-2:],
            axis_labels=image.axis_labels[-2:],
            metadata={DIAMETER_CIRCLE: True},
        )
        layer.mode = "select"
        layer.selected_data = {0}
        layer.events.data.connect(self._on_data)
        layer.events.visible.connect(self._on_visible)
        return layer

    def hide(self) -> None:
        """Put the circle away, and select what was selected before."""
        layer = self._layer
        if layer is None or not layer.visible:
            return
        self._set_visible(layer, visible=False)
        if self._viewer.layers.selection == {layer}:
            self._viewer.layers.selection = self._before & set(self._viewer.layers)

    def remove(self) -> None:
        """Take the circle away, where the user has not."""
        layer, self._layer = self._layer, None
        if layer is not None and layer in self._viewer.layers:
            self._viewer.layers.remove(layer)

    def _set_visible(self, layer: Shapes, *, visible: bool) -> None:
        with layer.events.visible.blocker(self._on_visible):
            layer.visible = visible

    def _on_visible(self) -> None:
        """Notice that the user has shown or hidden it among the layers."""
        self._shown(self._layer is not None and self._layer.visible)

    def resize(self, diameter: float) -> None:
        """Give the circle another diameter, where it is."""
        layer = self._layer
        if layer is not None and abs(diameter - self._diameter) > _LEAST_CHANGE:
            self._draw(layer, diameter, np.mean(layer.data[0], axis=0))

    def _on_data(self, event: Any) -> None:
        """Notice that the user has resized it, or deleted it within its layer."""
        layer = self._layer
        if layer is None:
            return
        if not len(layer.data):
            self._layer = None
            self._shown(False)
            return
        corners = np.asarray(layer.data[0])
        edges = np.linalg.norm(corners[[1, 3]] - corners[0], axis=1)
        diameter = float(np.sqrt(edges.prod()))
        if np.abs(edges - self._diameter).max() > _LEAST_CHANGE:
            self._draw(layer, diameter, np.mean(corners, axis=0))
            self._resized(diameter)

    def _draw(self, layer: Shapes, diameter: float, middle: NDArray[np.float64]) -> None:
        """Make it round, with a diameter, around a place."""
        self._diameter = diameter
        with layer.events.data.blocker(self._on_data):
            layer.data = [_square(middle, diameter)]
        layer.selected_data = {0}

    def _on_removed(self, event: Any) -> None:
        if self._layer is not None and event.value == self._layer:
            self._layer = None
            self._shown(False)


def _edge_width(diameter: float) -> float:
    return max(diameter / 20, 0.5)


def _square(middle: NDArray[np.float64], edge: float) -> NDArray[np.float64]:
    """Return the corners of the square around a circle."""
    return middle + edge / 2 * np.array([[-1, -1], [-1, 1], [1, 1], [1, -1]])


def _affine_of(image: Image) -> NDArray[np.float64]:
    """Return where the last two axes of an image lie, as a matrix."""
    start, *ends = (
        image.data_to_world((*np.zeros(image.ndim - 2), *end))[-2:]
        for end in ((0, 0), (1, 0), (0, 1))
    )
    matrix = np.eye(3)
    matrix[:2, 2] = start
    matrix[:2, :2] = np.column_stack([np.subtract(end, start) for end in ends])
    return matrix
