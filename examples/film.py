"""Make the film of the README: segment, move a slider, score, and walk through the errors.

    make pictures

The field is drawn, so that the film is the same everywhere.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import napari
from PIL import Image
from qtpy.QtCore import QEventLoop, QTimer
from screenshots import IMAGES, wait

from napari_nucseg.cli.main import PLUGIN, SCORE, SEGMENT
from napari_nucseg.segmenters import catalogue

FILM = IMAGES / "film.gif"
WIDTH = 900
"""Pixels of the film's width: enough to read."""
USUAL, RARE = 160, 95
"""Colours of a frame: those of most pixels, without which greys turn green, and those of few
pixels, without which thin lines in bright colours turn grey."""
SLIDER = "cellprob_threshold"
STEPS = (-1.0, -2.0, -3.0, -4.0, -3.0, -1.0, 1.0, 3.0, 4.0, 2.0, 0.0)
ERRORS_SHOWN = 4


@dataclass
class Film:
    """Frames of a window, each with how long it is shown, in milliseconds."""

    viewer: napari.Viewer
    frames: list[Image.Image] = field(default_factory=list)
    times: list[int] = field(default_factory=list)

    def take(self, shown_for: int, settle: int = 700) -> None:
        """Take a picture of the whole window once it has settled."""
        pause(settle)
        shot = Image.fromarray(self.viewer.screenshot(canvas_only=False, flash=False))
        size = WIDTH, round(shot.height * WIDTH / shot.width)
        small = shot.convert("RGB").resize(size, Image.Resampling.LANCZOS)
        self.frames.append(small)
        self.times.append(shown_for)

    def save(self, path: Path) -> None:
        """Write the frames; of each only what changes is kept."""
        none = Image.Dither.NONE
        frames = [one.quantize(palette=palette_of(one), dither=none) for one in self.frames]
        frames[0].save(
            path, save_all=True, append_images=frames[1:], duration=self.times, loop=0,
            optimize=True,
        )  # fmt: skip
        print(f"{path}: {path.stat().st_size / 1e6:.1f} MB, {len(frames)} frames")


def palette_of(frame: Image.Image) -> Image.Image:
    """Return a picture with the palette that suits a frame."""
    usual = frame.quantize(USUAL, Image.Quantize.MEDIANCUT).getpalette() or []
    rare = frame.quantize(RARE, Image.Quantize.MAXCOVERAGE).getpalette() or []
    holder = Image.new("P", (1, 1))
    holder.putpalette(usual[: 3 * USUAL] + rare[: 3 * RARE])
    return holder


def pause(milliseconds: int) -> None:
    """Let the window live for a while."""
    loop = QEventLoop()
    QTimer.singleShot(milliseconds, loop.quit)
    loop.exec()


def main() -> None:
    """Go through the steps that a user would."""
    viewer = napari.Viewer(show=True)
    viewer.window._qt_window.resize(1280, 800)
    film = Film(viewer)
    viewer.open_sample(PLUGIN, "synthetic")
    dock, segment = viewer.window.add_plugin_dock_widget(PLUGIN, SEGMENT)
    score_dock, score = viewer.window.add_plugin_dock_widget(PLUGIN, SCORE, tabify=True)
    viewer.layers[1].visible = False
    segment.form.model.value = catalogue.BUNDLED  # whatever was used last
    segment.model_selector.use_defaults()
    pause(1500)
    dock.raise_()
    viewer.reset_view()
    film.take(1200)

    segment.start()
    wait(lambda: not segment.running)
    film.take(1500, settle=1500)
    for value in STEPS:
        segment.form.params[SLIDER].value = value
        film.take(250)
    film.times[-1] = 1200

    score_dock.raise_()
    wait(lambda: not score.running)
    score.show_errors()
    film.take(2000, settle=1500)
    score.tabs.setCurrentWidget(score.objects)
    for _ in range(ERRORS_SHOWN):
        score.buttons.step(1)
        film.take(1300, settle=1000)
    film.save(FILM)
    viewer.close()


if __name__ == "__main__":
    main()
