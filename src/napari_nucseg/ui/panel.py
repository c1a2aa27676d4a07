"""What all panels share: work in the background, errors in words, and a clean end."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any
from weakref import WeakKeyDictionary

from magicgui.widgets import Container
from magicgui.widgets.bases import Widget
from napari.components import ViewerModel
from napari.layers import Labels, Layer
from qtpy.QtCore import QObject, QTimer
from qtpy.QtWidgets import QDockWidget, QMainWindow, QWidget

from napari_nucseg.progress import Progress
from napari_nucseg.ui.jobs import Hand, Job, Work, single_shot, tell_user
from napari_nucseg.ui.layer_fields import itself
from napari_nucseg.ui.widgets import TextLine, WheelGuard

_SETTLED = 100
"""Milliseconds after which Qt has laid out the docks anew."""
_OFTEN = 150
"""Milliseconds between two looks at the histories of layers, which take microseconds."""
_OURS = "nucseg panel"
"""What Qt knows the widgets of all panels by."""


class Panel(Container):
    """A dock widget that lets go of the viewer, and of its worker, when it is closed.

    Parameters
    ----------
    viewer : ViewerModel
        The viewer that it is docked in.
    widgets : list of Widget
        Placed under one another, above the line of status.
    """

    def __init__(self, viewer: ViewerModel, widgets: list[Widget]) -> None:
        self.status = TextLine(label="")
        self.job: Job | None = None
        self._errands: list[Job] = []
        self._viewer = viewer
        self._docked = False
        super().__init__(widgets=[*widgets, self.status], labels=False)
        self._wheel = WheelGuard(self.native)
        # napari places a dock after it took the widget
        self._joining = single_shot(self.native, self._join_panels)
        self._settling = single_shot(self.native, self._fit_to_screen, _SETTLED)
        self.native.setObjectName(_OURS)
        self.native_parent_changed.connect(self._on_parent)
        self.native.destroyed.connect(self._drop_all)

    @property
    def running(self) -> bool:
        """Whether work is on its way in the background."""
        return self.job is not None or any(not job.is_over for job in self._errands)

    def run(self, work: Work, show: Callable[[Any], None]) -> Job:
        """Do work in a thread and show its result; what ran before is dropped.

        Parameters
        ----------
        work : callable
            Called in a thread with a function to report progress; gets plain values only.
        show : callable
            Called with the result, on the main thread.
        """
        return self._launch(self._job(work, show))

    def run_in_parts(
        self,
        work: Callable[[Progress, Hand], Any],
        show_part: Callable[[Any], None],
        show: Callable[[Any], None],
    ) -> Job:
        """Do work in a thread that hands over parts of its result; see `run`.

        Parameters
        ----------
        work : callable
            Called in a thread with functions to report progress, and to hand over what is done.
        show_part : callable
            Called with each part, on the main thread, also with those done before the work was
            stopped.
        show : callable
            Called with what is returned, after all parts.
        """
        job = self._job(lambda progress: work(progress, job.hand), show)
        job.handed.connect(show_part)
        return self._launch(job)

    def _launch(self, job: Job) -> Job:
        self.drop_job()
        self.job = job
        job.progressed.connect(self.on_progress)
        job.finished.connect(self._on_finished)
        job.start()
        return job

    def run_errand(self, work: Work, show: Callable[[Any], None]) -> Job:
        """Do work that nothing else takes the place of, such as writing a file; see `run`."""
        job = self._job(work, show)
        job.progressed.connect(self.on_errand)
        self._errands = [one for one in self._errands if not one.is_over] + [job]
        job.start()
        return job

    def stop(self) -> None:
        """Ask the work to stop, which ends it at its next step; what is done stays."""
        if self.job is not None:
            self.say("Stopping...")
            self.job.stop()

    def say(self, *told: str) -> None:
        """Show sentences in the line of status; empty ones are left out."""
        self.status.value = " ".join(filter(None, told))

    def come_to_front(self) -> None:
        """Show the dock that it is in, before others."""
        dock = self.native.parent()
        dock.show()
        dock.raise_()

    def guard_wheel(self) -> None:
        """Keep the mouse wheel from what was added to the panel after it was shown."""
        self._wheel.guard_all()

    def on_progress(self, done: int, total: int, what: str) -> None:
        """Show how far the work is; nothing unless overridden."""

    def on_errand(self, done: int, total: int, what: str) -> None:
        """Show how far an errand is; nothing unless overridden."""

    def on_finished(self, job: Job) -> None:
        """Tidy up after work that returned, failed or stopped; nothing unless overridden."""

    def disconnect_viewer(self) -> None:
        """Disconnect from the events of the viewer and its layers."""

    def _job(self, work: Work, show: Callable[[Any], None]) -> Job:
        job = Job(work)
        job.returned.connect(show)
        job.failed.connect(self._on_error)
        return job

    def _on_error(self, error: Exception) -> None:
        self.status.value = f"Failed: {error}"
        tell_user(error)

    def _on_finished(self) -> None:
        job, self.job = self.job, None
        if job is not None:
            self.on_finished(job)

    def drop_job(self) -> None:
        """Stop what runs, and show nothing of it."""
        if self.job is not None:
            self.job.abandon()
            self.job = None

    def _drop_all(self) -> None:
        self.drop_job()
        for job in self._errands:
            if not job.is_over:  # Qt may have deleted the others, as Python ends
                job.abandon()

    def _on_parent(self, parent: Any) -> None:
        """Napari takes a closed dock's widget out of it and forgets it."""
        if parent is not None:
            self._docked = True
            self._joining.start()
        elif self._docked:
            self._drop_all()
            self.disconnect_viewer()
            self.native.deleteLater()

    def _join_panels(self) -> None:
        """Lie over our other panels as a tab, where each has all of the height."""
        self.status.reserve(2)
        dock = self.native.parent()
        window = dock.parent() if isinstance(dock, QDockWidget) else None
        if not isinstance(window, QMainWindow) or window.tabifiedDockWidgets(dock):
            return
        others = (one for one in window.findChildren(QDockWidget) if one is not dock)
        ours = [one for one in others if one.findChild(QWidget, _OURS) and not one.isFloating()]
        beside = [one for one in ours if window.dockWidgetArea(one) == window.dockWidgetArea(dock)]
        if beside and not dock.isFloating():
            window.tabifyDockWidget(beside[-1], dock)
            self.come_to_front()
            # Docked one above the other, both may have made the window higher than the screen
            self._settling.start()

    def _fit_to_screen(self) -> None:
        window = self.native.window()
        screen = window.screen()
        if screen is not None and window.height() > screen.availableSize().height():
            window.resize(window.width(), screen.availableSize().height())


class LayerWatch:
    """Tells of events of all layers of a type, those that are added later included.

    Parameters
    ----------
    viewer : ViewerModel
        The viewer whose layers are watched.
    kind : type
        Type of the layers.
    names : sequence of str
        Names of the events, such as ``"data"``.
    call : callable
        Called with the layer at each event.
    """

    def __init__(
        self,
        viewer: ViewerModel,
        kind: type[Layer],
        names: Sequence[str],
        call: Callable[[Any], object],
    ) -> None:
        self._layers = viewer.layers
        self._kind = kind
        self._names = names
        self._call = call
        self._layers.events.inserted.connect(self._on_inserted)
        self._layers.events.removed.connect(self._on_removed)
        for layer in self._layers:
            self._connect(layer)

    def disconnect_viewer(self) -> None:
        """Let go of the viewer and its layers."""
        self._layers.events.inserted.disconnect(self._on_inserted)
        self._layers.events.removed.disconnect(self._on_removed)
        for layer in self._layers:
            self._disconnect(layer)

    def _connect(self, layer: Any) -> None:
        for name in self._names if isinstance(layer, self._kind) else ():
            layer.events[name].connect(self._on_event)

    def _disconnect(self, layer: Any) -> None:
        for name in self._names if isinstance(layer, self._kind) else ():
            layer.events[name].disconnect(self._on_event)

    def _on_event(self, event: Any) -> None:
        self._call(event.source)

    def _on_inserted(self, event: Any) -> None:
        self._connect(event.value)

    def _on_removed(self, event: Any) -> None:
        self._disconnect(event.value)


class UndoWatch:
    """Tells of every Labels layer in which something was undone or redone.

    Napari has no event for that, and shows nothing anew where the layer is hidden.

    Parameters
    ----------
    viewer : ViewerModel
        The viewer whose layers are looked at.
    call : callable
        Called with a layer, soon after undo or redo.
    parent : QObject
        Owner of the timer, which ends with it.
    """

    def __init__(
        self, viewer: ViewerModel, call: Callable[[Labels], object], parent: QObject
    ) -> None:
        self._viewer, self._call = viewer, call
        self._undone: WeakKeyDictionary[Labels, int] = WeakKeyDictionary()
        self._timer = QTimer(parent)
        self._timer.timeout.connect(self._look)
        self._timer.start(_OFTEN)

    def disconnect_viewer(self) -> None:
        """Stop looking at the histories of layers."""
        self._timer.stop()

    def _look(self) -> None:
        """Compare how many changes can be redone with what it was before.

        That number goes up by undo, and down by redo, or by a change after undo.
        """
        for layer in self._viewer.layers:
            if isinstance(layer, Labels):
                one = itself(layer)
                count = len(one._redo_history)
                before = self._undone.get(one, 0)
                self._undone[one] = count
                if count != before:
                    self._call(layer)
