"""Images that are larger than memory: segmented in blocks, whose labels appear one after another.

Labels of blocks are files, of which a pyramid on the disk is made that the viewer shows. So no
step has more in memory than a block, and a run that is stopped goes on where it was.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from napari.components import ViewerModel
from napari.layers import Image, Labels
from napari.utils.notifications import show_warning
from qtpy.QtWidgets import QFileDialog, QWidget

from napari_nucseg.array_types import Box, parts_of
from napari_nucseg.batch.block_run import segment_in_blocks, with_free_name
from napari_nucseg.batch.block_task import BlockFolder, BlockTask, Surveyed
from napari_nucseg.batch.image_task import Choice, Failed, ImageTask, Saved
from napari_nucseg.batch.run_setup import set_up
from napari_nucseg.io.channels import HAEMATOXYLIN, Channel
from napari_nucseg.io.large_images import BAND, LargeImage, OpenImage, fingerprint, read_made
from napari_nucseg.io.limits import is_zarr
from napari_nucseg.io.ome_zarr import create_labels, import_zarr, open_levels, write_part
from napari_nucseg.metrics.score import DEFAULT_RULE
from napari_nucseg.progress import Progress
from napari_nucseg.segmenters.blocks import Block
from napari_nucseg.segmenters.survey import sample_boxes
from napari_nucseg.ui.jobs import Hand, LongSteps, TimeLeft
from napari_nucseg.ui.layer_fields import count_planes, field_shape, pyramid_like
from napari_nucseg.ui.layers import FILE, PREDICTION, LayerRecord, placement, prepare_colours, tag
from napari_nucseg.ui.panel import Panel
from napari_nucseg.ui.segment.image_source import PlanesInParts
from napari_nucseg.ui.segment.result_cache import short_name
from napari_nucseg.ui.segment.worker import Request, load
from napari_nucseg.wording import counted

BLOCK: int | None = None
"""Edge of a block, px; None for what suits the model."""
_WHITES = (np.dtype(np.uint8), np.dtype(np.uint16))
"""Types of colours of which it is known what is white, whatever part of the image is read."""


@dataclass(frozen=True)
class Place:
    """Where the labels of an image go.

    Attributes
    ----------
    folder : Path
        Folder that their own folder is made in.
    image : Path or None
        File or folder that the image is read from, if it is known.
    name : str
        What the folder of the labels is called, without its ending.
    """

    folder: Path
    image: Path | None
    name: str


@dataclass(frozen=True)
class LabelsOnDisk:
    """Labels as far as they are there.

    Attributes
    ----------
    path : Path
        Folder of OME-Zarr in which they are once all blocks are done.
    levels : sequence of zarr.Array
        The pyramid that is shown.
    made : mapping
        How they were made; while they are, what of it is known.
    """

    path: Path
    levels: Sequence[Any]
    made: dict[str, Any]


def find_place(image: Image, model: str, parent: QWidget) -> Place | None:
    """Find a folder for labels: beside the image's file, else the one that the user chooses."""
    told = image.source.path
    file = Path(told) if told and Path(told).exists() else None
    folder = None if file is None else file.absolute().parent
    while folder is not None and is_zarr(folder):
        folder = folder.parent
    if folder is None or not os.access(folder, os.W_OK):
        title = f"Folder for the labels of {image.name}, which are too large for memory"
        chosen = QFileDialog.getExistingDirectory(parent, title)
        folder = Path(chosen) if chosen else None
    stem = "" if file is None else file.stem.removesuffix(".ome")
    names = [image.name] if stem in image.name else [stem, image.name]
    name = re.sub(r"[^\w. -]+", "-", " ".join([*names, short_name(model)])).lstrip(". ")
    return None if folder is None else Place(folder, file, name)


def work_in_blocks(
    panel: Panel, viewer: ViewerModel, image: Image, request: Request
) -> Callable[[], Any] | None:
    """Return what begins the work; None where the user has chosen no folder.

    Parts of a plane are refused, several planes that are no volume, and several volumes.
    """
    if any(key.box is not None for key in request.keys):
        raise ValueError(
            f"{image.name}: labels of a part would be kept with those of all the field, which is "
            "too large for memory. Segment the whole field, or open the part as a layer of its own."
        )
    if count_planes(image) > (1 if request.depth is None else len(request.keys)):
        raise ValueError(
            f"{image.name}: its planes are too large for memory. Several of them are not segmented "
            "in blocks. Open one plane as a layer of its own."
        )
    place = find_place(image, request.keys[0].model, panel.native)
    if place is None:
        return None
    work, show = partial(segment_large, request, place), partial(show_on_disk, viewer, image)
    return partial(panel.run_in_parts, work, show, lambda found: panel.say(describe_saved(found)))


def segment_large(request: Request, place: Place, progress: Progress, hand: Hand) -> Saved:
    """Segment an image in blocks; parameters but the place are those of `segment_fields`.

    Each block that is done is handed over as `LabelsOnDisk`, and all of them in the end.

    Raises
    ------
    ValueError, OSError
        If it cannot be segmented so; blocks that are done stay.
    """
    steps, countdown = LongSteps(progress), TimeLeft()
    import_zarr()
    load(request, steps)
    steps.do(prepare_colours)
    values = asdict(request.params)
    setup = steps.do(partial(set_up, request.model, request.device, values, DEFAULT_RULE))
    channel = Channel.named(request.source.channel) if request.source.channel else None
    choice = Choice(channel, request.depth, request.volume)
    work = ImageTask(setup, place.folder, choice, progress=steps.again)
    steps(0, 1, "Looking over the image")
    source = with_free_name(_open_image(request, place, steps), work)
    blocks = _BlocksShown(request, place.folder / source.labels, steps, hand)

    def tell(done: int, total: int, name: str = "", /) -> None:
        left = countdown.after(done, total)
        words = (
            [f"Block {done + 1} of {total}", *left] if done < total else ["Putting blocks together"]
        )
        steps(done, total, ", ".join(words))

    found = segment_in_blocks(source, work, BLOCK, tell, blocks.run)
    if isinstance(found, Failed):
        raise ValueError(found.error)
    blocks.show(open_levels(found.path), dict(read_made(found.path)))
    return found


def _open_image(request: Request, place: Place, steps: LongSteps) -> OpenImage:
    """Take a layer as an image of which parts are read, and see what it holds now."""
    source = request.source
    if source.channel.lower() == HAEMATOXYLIN and source.data.dtype not in _WHITES:
        raise ValueError(
            f"{request.name}: it is not known what is white in {source.data.dtype}; choose another "
            "channel"
        )
    plane = tuple(source.data.shape[len(source.axes) : len(source.axes) + 2])
    shape = plane if request.depth is None else (len(request.keys), *plane)
    pixels = PlanesInParts(source, tuple(key.plane for key in request.keys), shape)
    digest = hashlib.sha256(repr((source.channel, shape)).encode())
    boxes: Iterator[Box] = parts_of(shape, (1, BAND, shape[-1])[-len(shape) :])
    if place.image is not None:
        # Of a file some pixels tell which of its channels the layer shows
        digest.update(steps.do(partial(fingerprint, place.image)).encode())
        boxes = iter(sample_boxes(shape))
    for box in boxes:
        digest.update(steps.do(partial(pixels.read, box)).tobytes())
    sizes = request.calibration
    image = LargeImage(shape, source.data.dtype, pixels.read, source.channel, calibration=sizes)
    return OpenImage(
        Path(request.name), title=request.name, image=image,
        fingerprint=digest.hexdigest(), labels=f"{place.name}.ome.zarr",
    )  # fmt: skip


class _BlocksShown:
    """Segments blocks one after the other, and shows each as soon as it is done.

    Numbers of nuclei are the blocks' own, made different, until all are put together.
    """

    def __init__(self, request: Request, path: Path, steps: LongSteps, hand: Hand) -> None:
        self._request, self._path = request, path
        self._steps, self._hand = steps, hand
        self._levels: list[Any] = []
        self._highest = 0

    def run(self, task: Any, items: Sequence[Any], progress: Progress, /) -> Iterator[Any]:
        """Survey an image, or segment its blocks; an `Executor`."""
        if isinstance(task, BlockTask):
            self._show_done(task.folder)
        for number, item in enumerate(items):
            if isinstance(task, BlockTask):
                progress(number, len(items), item.name)
            made = self._steps.do(partial(task, item))
            if isinstance(made, Block):
                self._write(task.folder, made)
                self.show(self._levels, {})
            yield made

    def show(self, levels: Sequence[Any], made: dict[str, Any]) -> None:
        """Hand over labels, and what is known of how they were made."""
        key, source = self._request.keys[0], self._request.source
        told: dict[str, Any] = {
            "model": key.model,
            "image": self._request.name,
            "axes": list(source.axes),
        }
        told |= {"channel": key.channel, "box": None}
        self._hand(LabelsOnDisk(self._path, levels, {**made, **told}))

    def _show_done(self, folder: BlockFolder) -> None:
        """Begin a pyramid with the blocks that an earlier run has left."""
        begun, preview = folder.read_plan(), folder.path / "preview"
        if begun is None:
            raise OSError(f"{folder.path}: the plan of the blocks is gone; press Segment again")
        found = Surveyed.of(begun["found"])
        shutil.rmtree(preview, ignore_errors=True)
        self._levels = create_labels(preview, found.shape, {})
        for block in found.blocks(begun["plan"]["size"]):
            if folder.has(block):
                self._steps.again()
                self._write(folder, block)
        self.show(self._levels, {})

    def _write(self, folder: BlockFolder, block: Block) -> None:
        labels = folder.read_labels(block)[block.inside(block.core)].astype(np.uint32)
        labels[labels > 0] += self._highest
        self._highest = max(self._highest, int(labels.max(initial=0)))
        write_part(self._levels, block.core, labels)


def show_on_disk(viewer: ViewerModel, image: Image, part: LabelsOnDisk) -> None:
    """Show labels that are on the disk over their image, in a layer that is refreshed in place."""
    if image not in viewer.layers:
        return
    planes = range(count_planes(image))
    record = LayerRecord(
        PREDICTION,
        source=str(image.unique_id),
        provenance=part.made,
        by_field=dict.fromkeys(planes, part.made) if len(planes) > 1 else None,
        is_copy=True,  # into which no other result is written
    )
    metadata = tag(record) | {FILE: str(part.path)}
    data = pyramid_like(part.levels, field_shape(image))
    known = (one for one in viewer.layers if one.metadata.get(FILE) == metadata[FILE])
    layer = next((one for one in known if isinstance(one, Labels)), None)
    if layer is None:
        name, placed = f"{image.name} {short_name(part.made['model'])}", placement(image)
        # Filled, since napari computes outlines of all in sight anew for each block
        viewer.add_labels(data, multiscale=True, name=name, metadata=metadata, **placed)
        return  # napari has selected it
    layer.metadata = layer.metadata | metadata
    if layer.data[0] is not data[0]:
        layer.data = data
    else:
        layer.refresh(extent=False)


def describe_saved(found: Saved) -> str:
    """Say in a line what was made and where it is, and warn of what is odd about it."""
    for sign in found.suspect:
        show_warning(f"{found.name}: {sign}")
    how = "are there already" if found.is_old else ", ".join(found.read_as)
    return (
        f"{counted(found.count, 'nucleus')} {how}. The labels are in {found.path}. "
        "The sliders do not change them. Press Segment to use other values."
    )
