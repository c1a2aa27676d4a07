"""Pixels out of files of any kind that is read, by what a file holds and not by its ending."""

from __future__ import annotations

import io
import struct
from dataclasses import astuple, dataclass, replace
from enum import Enum
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage
from PIL import UnidentifiedImageError

from napari_nucseg.io.channels import find_samples
from napari_nucseg.io.label_rules import is_seg
from napari_nucseg.io.limits import DEFLATED, BadFileError, is_zarr, refuse_large
from napari_nucseg.io.ome_zarr import open_zarr
from napari_nucseg.io.sources import Source, list_folder
from napari_nucseg.io.tiff import (
    COLOUR_PLANES,
    Header,
    find_planes,
    has_palette,
    has_white_for_zero,
    invert,
    open_tiff,
    resolve_palette,
    tiff_header,
    truncated_message,
)

TIFF_SUFFIXES = (".tif", ".tiff", ".stk")
PNG_SUFFIXES = (".png",)
JPEG_SUFFIXES = (".jpg", ".jpeg")
READ_ELSEWHERE = (
    ".npy", ".npz", ".czi", ".nd2", ".lif", ".lsm", ".oib", ".oif", ".vsi", ".ims",
    ".zarr", ".h5", ".hdf5", ".mrc", ".dv", ".svs", ".bmp", ".gif", ".webp",
)  # fmt: skip
"""Endings of images and labels that napari reads, perhaps by another plugin."""

MAX_PNG_PIXELS = 2**26
"""Pixels above which a PNG or JPEG is refused; a TIFF may have more."""

_TAKEN_FOR_STACK = "its tags call its planes colours: they were taken for a stack"
LOSSES = "JPEG has changed its pixels: dim nuclei and outlines may differ from the original image's"
_PNG_HEAD = b"\x89PNG\r\n\x1a\n"
_PNG_END = b"IEND\xaeB`\x82"
HEAD = 26
"""Bytes that tell what a file is, and a PNG's size, bits a sample and kind of colour."""
_DEEP, _SEVERAL_SAMPLES = 16, (2, 4, 6)
"""Bits a sample, and kinds of colour, of a PNG of which Pillow keeps half the bits."""
_SAMPLES = {2: 3, 4: 2, 6: 4}
"""Samples a pixel of each kind of colour of a PNG; one of the others."""
_TIFF_HEADS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


class Kind(Enum):
    """What a file is."""

    TIFF = "TIFF"
    PNG = "PNG"
    JPEG = "JPEG"
    ZARR = "OME-Zarr"
    OTHER = "other"


@dataclass(frozen=True)
class Picture:
    """What a file holds.

    Attributes
    ----------
    data : ndarray
        Pixels; axes of length 1 are left out, but for height and width.
    axes : str
        A letter an axis: Y and X, S for the samples of a colour, others as the file says.
    pixel_size, z_spacing : float or None
        Edge of a pixel and distance of planes in micrometres, where the file states them.
    notes : tuple of str
        What the user should know of how the pixels were taken.
    is_png : bool
        Whether it is a PNG.
    """

    data: NDArray[Any]
    axes: str
    pixel_size: float | None = None
    z_spacing: float | None = None
    notes: tuple[str, ...] = ()
    is_png: bool = False

    @property
    def colours(self) -> NDArray[Any] | None:
        """Its pixels with samples along the last axis, 0 where nothing is shown; None if grey."""
        samples = find_samples(self.data.shape, self.axes)
        if samples is None:
            return None
        colours = np.moveaxis(self.data, samples, -1)
        if not self.is_png or colours.shape[-1] == 3:
            return colours
        is_clear = colours[..., -1:] == 0  # programs leave colours where one has erased
        return np.where(is_clear, 0, colours) if 0 < is_clear.mean() < 1 else colours

    @property
    def is_grey(self) -> bool:
        """Whether it has colours that are one, or equal everywhere, whatever is transparent."""
        if self.axes != "YXS" or not (self.is_png or self.data.shape[-1] > 2):
            return False  # of two samples in a TIFF the other may be a channel
        colours = self.data[..., :1] if self.data.shape[-1] == 2 else self.data[..., :3]
        return bool((colours == colours[..., :1]).all())

    def as_stack(self) -> Picture:
        """Take planes that a TIFF calls colours, and has one after another, for a stack."""
        if self.axes != COLOUR_PLANES:
            return self
        return replace(self, axes="QYX", notes=(*self.notes, _TAKEN_FOR_STACK))


def not_read(suffixes: str, remedy: str = "segment the layer") -> str:
    """Say that files of an ending are not read, and what to do.

    Examples
    --------
    >>> not_read(".czi")
    '.czi files are not read here; open it in napari with its reader, and segment the layer'
    """
    return f"{suffixes} files are not read here; open it in napari with its reader, and {remedy}"


def others_in(
    folder: Path, remedy: str = "segment the layer", endings: tuple[str, ...] = READ_ELSEWHERE
) -> str:
    """Say which endings of images that others read there are in a folder."""
    kinds = {s.suffix for s in list_folder(folder, endings) if not is_seg(s)}
    return f"; {not_read(' and '.join(sorted(kinds)), remedy)}" if kinds else ""


@dataclass(frozen=True)
class Opened:
    """A file whose kind is known, and its bytes if they had to be unpacked for that."""

    kind: Kind
    head: bytes
    content: bytes | None = None


def look_into(source: Source) -> Opened:
    """Tell what kind of file it is; an archive is opened once for all."""
    if is_zarr(source.path):
        return Opened(Kind.ZARR, b"")
    content = None if source.member is None else source.read()
    head = source.read(HEAD) if content is None else content[:HEAD]
    return Opened(_kind_of(source, head), head, content)


def read_picture(source: Source, opened: Opened, *, as_numbers: bool = False) -> Picture:
    """Read the pixels of a TIFF, PNG or JPEG file, or of a folder of OME-Zarr.

    Parameters
    ----------
    source : Source
        The file.
    opened : Opened
        What `look_into` has told of it.
    as_numbers : bool
        Whether pixels are labels, whose numbers count: those of a palette are not turned into its
        colours, nor are those of a TIFF in which white is 0 inverted; a JPEG is refused.

    Raises
    ------
    ValueError
        If the file is damaged, or of another kind.
    OSError
        If it cannot be opened.
    """
    kind, content = opened.kind, opened.content
    if kind is Kind.TIFF:
        return _read_tiff(source, content, as_numbers)
    if kind is Kind.ZARR:
        return _read_zarr(source)
    if kind is Kind.OTHER or (kind is Kind.JPEG and as_numbers):
        raise BadFileError(f"{source}: {_why_not(source, kind, as_numbers)}")
    if kind is Kind.PNG:
        png_shape(source, opened)
    return _decode(source, kind, content, as_numbers)


def png_shape(source: Source, opened: Opened) -> tuple[int, int]:
    """Read height and width from a PNG's header; refuse a file that is cut off or monstrous."""
    head, content = opened.head, opened.content
    if not head.startswith(_PNG_HEAD) or len(head) < HEAD:
        raise BadFileError(f"{source}: not a PNG file; copy it again, or save it as TIFF")
    if source.member is None and not source.tail(16).endswith(_PNG_END):
        raise BadFileError(truncated_message(source))
    width, height = struct.unpack(">II", head[16:24])
    refuse_large(source, (height, width), MAX_PNG_PIXELS)
    bits = head[HEAD - 2] * _SAMPLES.get(head[HEAD - 1], 1)
    size = source.path.stat().st_size if content is None else len(content)
    if height * width * bits > 8 * DEFLATED * size:
        raise BadFileError(truncated_message(source))
    return height, width


def _kind_of(source: Source, head: bytes) -> Kind:
    """Tell what a file is by its first bytes, and if these say nothing by its ending."""
    if head.startswith(_PNG_HEAD):
        return Kind.PNG
    if head.startswith(_TIFF_HEADS):
        return Kind.TIFF
    if head.startswith(b"\xff\xd8\xff"):
        return Kind.JPEG
    endings = {Kind.TIFF: TIFF_SUFFIXES, Kind.PNG: PNG_SUFFIXES, Kind.JPEG: JPEG_SUFFIXES}
    return next((kind for kind, known in endings.items() if source.suffix in known), Kind.OTHER)


def _why_not(source: Source, kind: Kind, as_numbers: bool) -> str:
    if kind is Kind.JPEG and as_numbers:
        return "JPEG changes the numbers of labels; save them as TIFF or PNG where they were made"
    if source.suffix == ".zip":
        return "an archive is not read here; unpack it, and give the folder"
    ending = source.suffix or "such"
    return not_read(ending, "save its labels as TIFF" if as_numbers else "segment the layer")


def _read_tiff(source: Source, content: bytes | None, as_numbers: bool) -> Picture:
    with open_tiff(source, content) as tiff:
        planes = find_planes(source, tiff)
        header = tiff_header(source, tiff, planes)
        arrays = [series.asarray() for series in planes.series]
        data = (arrays[0] if len(arrays) == 1 else np.stack(arrays)).reshape(planes.shape)
        axes, notes, page = planes.axes, planes.notes, planes.series[0].keyframe
        if not as_numbers and has_palette(planes) and page.colormap is not None:
            data, axes = resolve_palette(data, axes, page.colormap)
        if not as_numbers and has_white_for_zero(planes):
            data = invert(data, page)
            notes += ("its tag PhotometricInterpretation is WhiteIsZero: it was inverted",)
    return Picture(data, axes, header.pixel_size, header.z_spacing, notes)


def _read_zarr(source: Source) -> Picture:
    image = open_zarr(source.path)
    refuse_large(source, image.shape)
    data = image.read(tuple(slice(0, length) for length in image.shape))
    return Picture(data, image.axes, image.calibration.pixel_size, image.calibration.z_spacing)


def zarr_header(source: Source) -> Header:
    """Read what is known of a channel of an image of OME-Zarr without its pixels."""
    image = open_zarr(source.path)
    shape = tuple(n for n, axis in zip(image.shape, image.axes, strict=True) if axis != "C")
    return Header(shape, image.dtype, *astuple(image.calibration))


def _decode(source: Source, kind: Kind, content: bytes | None, as_numbers: bool) -> Picture:
    """Read a PNG or JPEG."""
    content = source.read() if content is None else content
    notes: tuple[str, ...] = (LOSSES,) if kind is Kind.JPEG else ()
    try:
        with PillowImage.open(io.BytesIO(content), formats=[kind.value]) as picture:
            refuse_large(source, (picture.height, picture.width), MAX_PNG_PIXELS)
            data = _pixels(picture, content, as_numbers)
            frames = getattr(picture, "n_frames", 1)
    except UnidentifiedImageError as error:
        raise BadFileError(f"{source}: not a {kind.value} file; copy it again") from error
    except BadFileError:
        raise
    except (OSError, SyntaxError, ValueError, struct.error, RuntimeError) as error:
        raise BadFileError(truncated_message(source)) from error
    if kind is Kind.JPEG:
        data = _grey_if_equal(data)
    if frames > 1:
        notes += (f"it holds {frames} pictures, of which the first alone was read",)
    return Picture(data, "YXS"[: data.ndim], notes=notes, is_png=kind is Kind.PNG)


def _pixels(picture: PillowImage.Image, content: bytes, as_numbers: bool) -> NDArray[Any]:
    """Return the pixels of a picture that is open, with all their bits."""
    bits, colour = content[HEAD - 2 : HEAD]
    if picture.format == "PNG" and bits == _DEEP and colour in _SEVERAL_SAMPLES:
        from imagecodecs import png_decode  # most pictures do without

        return np.asarray(png_decode(content))
    if picture.mode in ("P", "PA") and not as_numbers:
        return _grey_if_equal(np.asarray(picture.convert("RGB")))
    return np.asarray(picture.convert("RGB") if picture.mode == "CMYK" else picture)


def _grey_if_equal(data: NDArray[Any]) -> NDArray[Any]:
    """Take one of the colours if red, green and blue are equal everywhere, or one alone is used."""
    if data.ndim == 2:
        return data
    used = [data[..., n] for n in range(data.shape[-1]) if data[..., n].any()] or [data[..., 0]]
    return used[0] if all((one == used[0]).all() for one in used) else data
