"""Opening folders in the background: any images that can be read, and layers one by one."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
from napari.components import ViewerModel
from napari.layers import Layer
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QProgressDialog

from napari_nucseg.io.channels import ChannelNeededError, find_samples
from napari_nucseg.io.fields import Dataset, Field
from napari_nucseg.io.images import Image, read_image
from napari_nucseg.io.layouts import PICTURE_SUFFIXES
from napari_nucseg.io.pictures import READ_ELSEWHERE, look_into, not_read, read_picture
from napari_nucseg.io.sources import Source, describe_folder, list_folder
from napari_nucseg.io.tiff import Header
from napari_nucseg.progress import Progress
from napari_nucseg.ui.files.field_groups import (
    FieldGroup,
    describe_groups,
    group_by_header,
    stack_lazily,
)
from napari_nucseg.ui.files.reader import LayerData, Opened, image_layer
from napari_nucseg.ui.files.samples import main_window, shown_window
from napari_nucseg.ui.jobs import Job, tell_user
from napari_nucseg.ui.layers import prepare_colours
from napari_nucseg.wording import counted

_COLOURS = (3, 4)
"""Samples of a pixel that napari shows as a colour."""
_turns: set[QTimer] = set()
"""What adds layers one after another now, kept until the last of them."""


def read_image_folder(folder: Path, progress: Progress) -> Opened:
    """Open the images directly in a folder as stacks, of which each image is read when shown.

    All of them are read once before, so that those that cannot be are left out. The stack of most
    images is last, and alone visible.

    Parameters
    ----------
    folder : Path
        Folder with TIFF, PNG or JPEG files, grey or in colour.
    progress : Progress
        Called with (images looked at, images in all, name of one); may raise to stop.

    Raises
    ------
    ValueError
        If no image can be read, or they are of too many sizes and pixel types.
    OSError
        If the folder cannot be read.
    """
    sources = list_folder(folder, PICTURE_SUFFIXES)
    failed = {
        source: not_read(source.suffix)
        for source in list_folder(folder, READ_ELSEWHERE)
        if source.suffix not in PICTURE_SUFFIXES
    }
    if not sources:
        raise ValueError(f"{folder}: no images here; {describe_folder(folder)}")
    headers: dict[Source, Header] = {}
    read_as: dict[str, list[str]] = {}
    for number, source in enumerate(sources):
        progress(number, len(sources), source.name)
        try:
            image = _read(source)
        except (ValueError, OSError) as error:
            failed[source] = str(error)
            continue
        headers[source] = image.header
        for note in image.notes:
            read_as.setdefault(note, []).append(source.name)
    if not headers:
        raise ValueError(f"{folder}: no image could be read. The first: {failed[sources[0]]}")
    fields = tuple(Field(stem, source) for source, stem in _stems(list(headers)).items())
    groups = group_by_header(Dataset(folder.name, fields), dict(enumerate(headers.values())))
    notes = [f"{', '.join(names)}: {note}" for note, names in read_as.items()]
    if failed:
        notes.append(_tell_failed(folder, failed))
    notes += describe_groups(folder.name, groups)
    return Opened([_stack(group, group is groups[-1]) for group in groups], tuple(notes))


class OpeningDialog(QProgressDialog):
    """Says how many images of a folder were read; it is seen if that takes more than a moment.

    Parameters
    ----------
    name : str
        Name of the folder.
    """

    def __init__(self, name: str) -> None:
        super().__init__(shown_window())
        self._name = name
        self.setWindowTitle("Open folder")
        self.setMinimumDuration(500)
        self.setAutoReset(False)
        self.setAutoClose(False)

    def show_progress(self, done: int, total: int, what: str) -> None:
        """Show images done and in all, and which is being read."""
        self.setLabelText(f"Opening {self._name}: {what}")
        self.setMaximum(total)
        self.setValue(done)


def open_in_window(viewer: ViewerModel, name: str, read: Callable[[Progress], Opened]) -> None:
    """Read files in the background, and add them to a viewer, while the window says how far it is.

    Parameters
    ----------
    viewer : ViewerModel
        The viewer that the layers are added to.
    name : str
        Name of what is opened.
    read : callable
        Reads it, in a thread; gets a `Progress`.
    """
    job = Job(partial(read_ahead, read))
    job.returned.connect(partial(add_in_turns, viewer))
    job.failed.connect(tell_user)
    _follow(job, name)
    job.start()


def read_ahead(read: Callable[[Progress], Opened], progress: Progress) -> Opened:
    """Read files, and do in this thread what napari would do first in that of the window.

    A field of each stack is read, for which libraries are loaded, and colours are compiled.

    Parameters
    ----------
    read : callable
        Reads the files; gets a `Progress`.
    progress : Progress
        Called with (steps done, steps in all, what is done); may raise to stop.
    """
    opened = read(progress)
    for data, _, _ in opened.layers:
        np.asarray(data[len(data) // 2])
    prepare_colours()
    return opened


def add_in_turns(
    viewer: ViewerModel, opened: Opened, added: Callable[[Layer], object] = lambda layer: None
) -> None:
    """Add layers one after another, so that the window answers in between.

    Parameters
    ----------
    viewer : ViewerModel
        The viewer that the layers are added to.
    opened : Opened
        The layers, and what the user is told of them after the last.
    added : callable, optional
        Called with each layer that was added.
    """
    rest, turn = iter(opened.layers), QTimer(main_window())  # with which it ends

    def add_next() -> None:
        one = next(rest, None)
        if one is None:
            _turns.discard(turn)
            turn.deleteLater()
            opened.told()
        else:
            added(viewer.add_layer(Layer.create(*one)))

    _turns.add(turn)
    turn.timeout.connect(add_next)
    turn.start()


def _follow(job: Job, name: str) -> None:
    """Show how far the opening of a folder is; Cancel, or the window's end, stops it.

    Parameters
    ----------
    job : Job
        Reads the folder, and was not started yet.
    name : str
        Name of the folder.
    """
    dialog = OpeningDialog(name)
    # A function of its own keeps the dialog, which has no parent where no window is seen
    job.progressed.connect(lambda *progress: dialog.show_progress(*progress))
    job.finished.connect(dialog.deleteLater)
    dialog.canceled.connect(job.abandon)
    dialog.canceled.connect(dialog.deleteLater)
    dialog.destroyed.connect(job.abandon)


def _stems(sources: list[Source]) -> dict[Source, str]:
    """Name images by their stems, and two of one stem by their whole names."""
    stems = [source.stem for source in sources]
    return {s: s.stem if stems.count(s.stem) == 1 else s.name for s in sources}


def _read(source: Source) -> Image:
    """Read an image whatever its pixels have: grey, a colour, transparency, or more channels."""
    try:
        return read_image(source, lossy=True)
    except ChannelNeededError:
        picture = read_picture(source, look_into(source), lossy=True)
    samples = find_samples(picture.data.shape, picture.axes)
    assert samples is not None  # else no channel would have to be chosen
    data = np.moveaxis(picture.data, samples, -1)
    if data.shape[-1] == 2:
        data = data[..., 0]  # of grey and transparency
    elif data.shape[-1] not in _COLOURS:
        data = np.moveaxis(data, -1, 0)
    return Image(data, picture.pixel_size, z_spacing=picture.z_spacing, notes=picture.notes)


def _read_again(source: Source, group: FieldGroup) -> np.ndarray:
    """Read an image when it is shown; its file may have changed since it was opened."""
    data = _read(source).data
    group.require_same(source, data.shape, data.dtype)
    return data


def _stack(group: FieldGroup, is_shown: bool) -> LayerData:
    header, in_colour = group.header, group.header.shape[-1] in _COLOURS
    readers = [partial(_read_again, field.image, group) for field in group.fields if field.image]
    data = stack_lazily(readers, header.shape, header.dtype)
    layer = image_layer(data, group.name, header, group.fields, data[0], in_colour=in_colour)
    layer[1]["visible"] = is_shown
    return layer


def _tell_failed(folder: Path, failed: dict[Source, str]) -> str:
    """Name the files that are left out, and say why."""
    names = ", ".join(sorted(source.name for source in failed))
    first = next(iter(failed.values()))
    count = counted(len(failed), "file")
    return f"{folder.name}: {count} could not be opened: {names}. The first: {first}"
