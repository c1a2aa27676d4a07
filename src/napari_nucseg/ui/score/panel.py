"""The panel that scores a Labels layer against the ground truth and shows the errors."""

from collections.abc import Mapping
from functools import cached_property, partial
from itertools import pairwise
from typing import Any, TypeVar

import napari
from magicgui.widgets import PushButton
from napari.layers import Labels
from psygnal import Signal
from qtpy.QtWidgets import QTabWidget, QVBoxLayout, QWidget

from napari_nucseg.analysis.comparison import LocatedPair, compare_planes
from napari_nucseg.ui.edits import forget
from napari_nucseg.ui.layer_fields import is_too_large
from napari_nucseg.ui.layers import ERRORS, OVERLAYS, predicted_planes, prepare_colours, role_of
from napari_nucseg.ui.mask_images import MaskOffer
from napari_nucseg.ui.mending import MendingRow
from napari_nucseg.ui.panel import Panel
from napari_nucseg.ui.params_form import DOCK_WIDTH, beside
from napari_nucseg.ui.score.canvas import CanvasPicker, EditTracker, go_to_row
from napari_nucseg.ui.score.comparison_widget import ComparisonWidget
from napari_nucseg.ui.score.controls import BackgroundScoring, ScoreControls
from napari_nucseg.ui.score.corrections import CorrectionControls
from napari_nucseg.ui.score.export import Exporter
from napari_nucseg.ui.score.gallery import Gallery
from napari_nucseg.ui.score.in_parts import ONLY_SCORES, ScoringInParts
from napari_nucseg.ui.score.legend import VerdictLegend
from napari_nucseg.ui.score.marks import MarkControls
from napari_nucseg.ui.score.model import NOTHING_COMPARED, Comparison, ComparisonState
from napari_nucseg.ui.score.object_table import ObjectTable
from napari_nucseg.ui.score.overlay_controls import CurrentOutline, OverlayControls, export_button
from napari_nucseg.ui.score.overlays import Overlays
from napari_nucseg.ui.score.plots import PlotsWidget
from napari_nucseg.ui.score.regions import take_drawn
from napari_nucseg.ui.score.score_table import ScoreTable
from napari_nucseg.ui.widgets import tight

NUCLEI, PLOTS, COMPARE, GALLERY = 1, 2, 3, 4
TABS = (
    ("table", "Scores", "Scores of the field shown and of all fields."),
    ("corrections", "Nuclei", "One row per nucleus. Click a row to go to it, or to correct it."),
    ("plots", "Plots", "Scores, nuclei and fields as plots. Click in a plot to go there."),
    ("comparison", "Compare", "Predictions and saved runs side by side."),
    ("gallery", "Gallery", "The errors as small pictures, the worst first."),
)
"""The tabs: the part of the panel that each shows, its title and its tooltip."""
Part = TypeVar("Part", bound=QWidget)


class ScorePanel(Panel):
    """Compare a prediction with the ground truth.

    Parameters
    ----------
    viewer : napari.Viewer
        The viewer whose Labels layers are compared.
    """

    compared = Signal()
    """Emitted when the scores of the chosen layers are there."""

    def __init__(self, viewer: napari.Viewer) -> None:
        self._layers, self._elsewhere = viewer.layers, ""
        self.model = ComparisonState(viewer)
        self.controls = row = ScoreControls(viewer.layers)
        self.prediction, self.truth, self.threshold = row.prediction, row.truth, row.threshold
        self.score = PushButton(text="Score", tooltip="Compare the two layers as they are now.")
        super().__init__(viewer, [self.score])
        self._make_parts(viewer)
        self._lay_out()
        self._connect()
        self.controls.choose_truth()

    def _make_parts(self, viewer: napari.Viewer) -> None:
        self.table, self.offer = ScoreTable(), MaskOffer(viewer, self.run_errand, self._tell)
        self.legend = VerdictLegend(self.model)
        self.overlays, self.objects = Overlays(viewer, self.model), ObjectTable(self.model)
        self.buttons = OverlayControls(self.native, self.overlays, self.objects.step, self._tell)
        self.outline = CurrentOutline(self.native, self.model, self.overlays)
        self.mending = MendingRow(viewer, lambda: self.prediction.value, self._tell)
        self.picker = CanvasPicker(viewer, self.model, self._choose)
        self.edit_tracker = EditTracker(self.model, self.native, self._begin_anew)
        parts = self.model, self.table, self.run, self.drop_job, self.native
        self.scoring = BackgroundScoring(*parts)
        self.files = export_button(lambda menu: self.export.fill(menu))

    def _lay_out(self) -> None:
        self.tabs = QTabWidget()
        pages = (self.table, self.objects, QWidget(), QWidget(), QWidget())
        for page, (_, title, tip) in zip(pages, TABS, strict=True):
            self.tabs.setTabToolTip(self.tabs.addTab(page, title), tip)
        self.tabs.currentChanged.connect(self._on_tab)
        layout = self.native.layout()
        parts = self.offer, self.controls.widget, self.legend, self.buttons, self.mending, self.tabs
        for position, widget in enumerate(parts):
            layout.insertWidget(position, widget, 1 if widget is self.tabs else 0)
        layout.insertWidget(len(parts), beside(self.score.native, self.files))
        self.native.setMinimumWidth(DOCK_WIDTH)
        for before, after in pairwise((*parts, self.score.native, self.files)):
            QWidget.setTabOrder(before, after)

    @cached_property
    def export(self) -> Exporter:
        """What writes files, built when its menu is first opened."""
        return Exporter(self.native, self.model, self.run_errand, self._tell)

    @cached_property
    def corrections(self) -> CorrectionControls:
        """What corrects labels, below the table of nuclei."""
        parts = self.model, self.objects, self._tell, self.edit_tracker, self.run_errand
        return self._put(NUCLEI, CorrectionControls(*parts))

    @cached_property
    def plots(self) -> PlotsWidget:
        """Plots of the comparison."""
        act = partial(setattr, self.threshold, "value"), self.objects.list_rows, self._tell
        return self._put(PLOTS, PlotsWidget(self._viewer, self.model, *act, self.run_errand))

    @cached_property
    def comparison(self) -> ComparisonWidget:
        """Predictions side by side."""
        parts = self._viewer, self.model, self.run_errand, self._tell, self._add_beside
        return self._put(COMPARE, ComparisonWidget(*parts))

    @cached_property
    def gallery(self) -> Gallery:
        """The errors as thumbnails."""
        return self._put(GALLERY, Gallery(self.model, self.run_errand))

    @cached_property
    def marks(self) -> MarkControls:
        """What marks nuclei, below the tabs that lead to them."""
        parts = self.run_errand, self._tell, self.start, self.controls.ignore
        marks = MarkControls(self.native, self.model, *parts)
        layout = self.native.layout()
        layout.insertWidget(layout.indexOf(self.tabs) + 1, marks)
        return marks

    def _put(self, tab: int, part: Part) -> Part:
        page: Any = self.tabs.widget(tab)
        tight(page.layout() or QVBoxLayout(page)).addWidget(part)
        self.guard_wheel()
        return part

    def _on_tab(self, tab: int) -> None:
        """Build what is in a tab when it is first looked at."""
        self.native.layout().setEnabled(False)  # for each part the window would grow by itself
        getattr(self, TABS[tab][0]).show()
        self.marks.setVisible(tab in (NUCLEI, GALLERY))
        self.native.layout().setEnabled(True)
        self._bind_keys()

    def _connect(self) -> None:
        self.controls.layers_changed.connect(self._begin)
        self.controls.ignore.changed.connect(self._on_regions)
        self.controls.rule_changed.connect(lambda: self.model.use_rule(self.controls.rule))
        self.score.changed.connect(self.start)
        self.model.changed.connect(self._on_changed)
        self.model.chosen.connect(self._go)
        self._viewer.dims.events.current_step.connect(self.model.follow_viewer)
        self._layers.events.inserted.connect(self._on_layer_inserted)
        self._layers.events.removed.connect(self._on_layer_removed)

    @property
    def state(self) -> Comparison:
        """The comparison as it is now."""
        return self.model.now

    @property
    def running(self) -> bool:
        """Whether work is on its way in the background, or about to be."""
        return super().running or self.scoring.is_waiting or self.controls.ignore.is_waiting

    def reset_choices(self, *events: Any) -> None:
        """Offer the layers that there are now; napari calls this when layers change."""
        self.controls.reset()

    def start(self) -> None:
        """Compare the chosen layers, in the background."""
        prediction, truth = self.prediction.value, self.truth.value
        self.drop_job()
        if self.controls.problem:
            self.model.choose_layers(None, None)
            self._tell(NOTHING_COMPARED)
            return
        if is_too_large(prediction) or is_too_large(truth):
            parts = self.model, self.score, self.start, self.run, self._tell
            self.in_parts = vars(self).get("in_parts") or ScoringInParts(*parts)
            self.in_parts.start(self.controls)
            return
        self.model.choose_layers(prediction, truth, self.controls.ignore.regions_of(prediction))
        self._elsewhere = self.controls.remarks
        self._tell(f"{self._elsewhere}Comparing...")
        planes, copies = predicted_planes(prediction), self.model.copy_labels(self.model.copies)
        read, what = self.state.label_reader(), self.state.ignored
        self.run(partial(compare_planes, read, planes, copies, what=what), self._show_comparison)

    def show_errors(self) -> None:
        """Add or refresh the layer of verdicts."""
        self.buttons.show_overlay(ERRORS)

    def on_progress(self, done: int, total: int, what: str) -> None:
        """Tell how far a comparison of many fields is."""
        if total > 1 and not self.state.is_there:
            self._tell(f"{what}: field {done + 1} of {total}")

    def on_errand(self, done: int, total: int, what: str) -> None:
        """Tell how far work on many fields is."""
        if total > 1:
            self._tell(f"{what}: {done + 1} of {total}")

    def disconnect_viewer(self) -> None:
        """Disconnect from the field slider, the layer list, the pointer and the chosen layers."""
        self._viewer.dims.events.current_step.disconnect(self.model.follow_viewer)
        self._layers.events.inserted.disconnect(self._on_layer_inserted)
        self._layers.events.removed.disconnect(self._on_layer_removed)
        self.picker.disconnect()
        self.controls.ignore.follow(None)
        self._bind([])
        self.outline.clear()
        for part in {"plots", "overlays", "mending", "in_parts"} & vars(self).keys():  # if built
            vars(self)[part].disconnect_viewer()
        self.edit_tracker.watch()
        self.scoring.stop()

    def _tell(self, text: str) -> None:
        missing = (self.truth.value is None and self.offer.advice) or self.controls.problem
        missing = missing or (ONLY_SCORES if self.state.in_parts else "")
        self.status.value = (missing or text) if text == NOTHING_COMPARED else text

    def _show_comparison(self, pairs: Mapping[int, LocatedPair]) -> None:
        self.model.show(pairs)
        self.edit_tracker.look()  # for what was painted meanwhile
        self.scoring.score_dataset()
        self.run_errand(prepare_colours, lambda done: None)
        self.compared.emit()

    def _on_changed(self, old: Comparison, new: Comparison) -> None:
        if new.score is not old.score:
            self.table.show_field(new.score)
        if new.is_there and (new.objects is not old.objects or new.plane != old.plane):
            self._tell(self._elsewhere + new.describe_field())

    def _choose(self, row: int) -> None:
        """Select what was clicked on in the canvas."""
        layer = self.state.truth if self.state.objects.is_true[row] else self.state.prediction
        if layer is not None:
            layer.selected_label = int(self.state.objects.label[row])
        self.outline.point_at(row)
        if marks := vars(self).get("marks"):
            marks.point_at(row)
        hidden = "" if self.objects.show_row(row) else " A filter hides it in the table."
        self._tell(f"{self.state.describe(row)}.{hidden}")

    def _go(self, row: int) -> None:
        go_to_row(self._viewer, self.state, row)
        self.objects.show_row(row)
        self._tell(f"{self.state.describe(row)}.")

    def _on_layer_inserted(self, event: Any) -> None:
        self.offer.look()
        self.controls.offer(event.value)
        self._bind_keys()

    def _add_beside(self, layer: Labels) -> None:
        """Add labels to compare the chosen ones with, which stay chosen."""
        with self._layers.events.inserted.blocker(self._on_layer_inserted):
            self._viewer.add_layer(layer)
        self.reset_choices()

    def _on_layer_removed(self, event: Any) -> None:
        self.offer.look()
        self.reset_choices()
        if self.edit_tracker.watches(event.value):
            self.controls.choose_truth()

    def _begin(self) -> None:
        """Score the chosen layers at once, and again when they change."""
        self.edit_tracker.watch(self.prediction.value, self.truth.value)
        self._bind_keys()
        self.start()

    def _bind_keys(self) -> None:
        chosen = (self.prediction.value, self.truth.value)
        self._bind([one for one in self._layers if one in chosen or role_of(one) in OVERLAYS])

    def _bind(self, layers: list[Labels]) -> None:
        self.buttons.keys.bind(layers)
        if marks := vars(self).get("marks"):
            marks.keys.bind(layers)

    def _on_regions(self) -> None:
        take_drawn(self.native, self.model, self.prediction.value, self.controls.ignore, self.start)

    def _begin_anew(self, layer: Any = None) -> None:
        if layer is not None:
            forget(layer)
        self.start()
