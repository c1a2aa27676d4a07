"""What a user does with the segment panel, and what is found in the viewer then."""

from __future__ import annotations

import threading

from napari_nucseg.ui.layers import PREDICTION, role_of
from napari_nucseg.ui.segment.panel import SegmentPanel
from tests.ui.heartbeat import heartbeat

RUN = 60_000


def run(qtbot, panel: SegmentPanel) -> None:
    panel.form.segment.native.click()
    qtbot.waitUntil(lambda: not panel.running, timeout=RUN)


def predictions(viewer):
    return [layer for layer in viewer.layers if role_of(layer) == PREDICTION]


def move(qtbot, panel, values):
    """Move sliders, and wait until the labels have followed."""
    for name, value in values.items():
        row = panel.form.channel if name == "channel" else panel.form.params[name]
        row.value = value
    qtbot.waitUntil(lambda: not panel.follows and not panel.running, timeout=RUN)


def longest_beat(qtbot, panel, act) -> int:
    """Do something, and return the longest time in ms that the main thread worked on anything."""
    with heartbeat() as heart:
        act()
        qtbot.waitUntil(lambda: not panel.measurements.measuring, timeout=RUN)
    return round(1000 * heart.longest)


class Held:
    """Holds a run between two tiles until it is let go."""

    def __init__(self, stand_in):
        self.reached, self.go_on = threading.Event(), threading.Event()
        stand_in.before = self.hold

    def hold(self, report):
        self.reached.set()
        self.go_on.wait(30)
