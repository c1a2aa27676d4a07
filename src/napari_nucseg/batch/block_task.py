"""What is done with each block of an image, on any machine, and the files of the blocks' labels."""

from __future__ import annotations

import json
import shutil
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import IO, Any, Self
from zipfile import ZIP_DEFLATED, ZipFile

import numpy as np
from numpy.typing import NDArray

from napari_nucseg.array_types import Box, Labels, intersect, within
from napari_nucseg.batch.field_task import (
    MODEL_TURN,
    check_versions,
    check_weights,
    describe_failure,
)
from napari_nucseg.batch.image_task import Failed, ImageTask
from napari_nucseg.io.atomic import write_whole
from napari_nucseg.io.large_images import LargeImage, open_large
from napari_nucseg.io.sources import Source
from napari_nucseg.io.writers import write_json
from napari_nucseg.progress import ignore
from napari_nucseg.segmenters.api import Stopped
from napari_nucseg.segmenters.blocks import Block, Joined, Place
from napari_nucseg.segmenters.network import NetSegmenter
from napari_nucseg.segmenters.parameters import Depth
from napari_nucseg.segmenters.survey import Survey, survey_image
from napari_nucseg.segmenters.windows import count_cut, plan_windows, scale_of, segment_window
from napari_nucseg.wording import counted

_PLAN = "plan.json"
_KEPT = 2**28
"""Bytes of labels that are kept in memory while they are written."""


@dataclass(frozen=True)
class Surveyed:
    """What a survey found out, and what blocks are planned by; see `plan_windows`.

    Attributes
    ----------
    survey : Survey
        What holds for all blocks.
    shape : tuple of int
        Shape of the image.
    scale : float
        How many times larger nuclei are at the network's own scale.
    reach : int
        The network's `reach`.
    anisotropy : float
        Distance of planes over the edge of a pixel.
    """

    survey: Survey
    shape: tuple[int, ...]
    scale: float
    reach: int
    anisotropy: float

    @classmethod
    def of(cls, record: Mapping[str, Any]) -> Self:
        """Read it from what `dataclasses.asdict` and JSON have made of it."""
        survey, shape = Survey.of(record["survey"]), tuple(record["shape"])
        return cls(**{**record, "survey": survey, "shape": shape})

    def blocks(self, size: int | None) -> tuple[Block, ...]:
        """Cut the image into blocks."""
        extent = self.survey.extent
        return plan_windows(self.shape, self.scale, self.reach, extent, size, self.anisotropy)


@dataclass(frozen=True)
class SurveyTask:
    """Surveys an image, on any machine."""

    work: ImageTask

    def __call__(self, source: Source) -> Surveyed | Failed:
        """Find out what holds for all blocks of an image."""
        with MODEL_TURN:
            try:
                segmenter, params = _load(self.work), self.work.setup.params
                with opened(source, self.work) as image:
                    survey = survey_image(segmenter, image, params, ignore)
                    network = segmenter.network
                    scale = scale_of(network, survey, params)
                    volume = self.work.choice.volume_of(image.calibration)
                    return Surveyed(survey, image.shape, scale, network.reach, volume.anisotropy)
            except Exception as error:  # noqa: BLE001 - it is told, and the other images go on
                return self.blame(source, describe_failure(error))

    def blame(self, source: Source, reason: str) -> Failed:
        """Tell of an image that cannot be segmented, by its name."""
        return self.work.blame(source, reason)


@dataclass(frozen=True)
class BlockTask:
    """Segments blocks of an image, on any machine, and writes a file of each."""

    work: ImageTask
    source: Source
    survey: Survey
    folder: BlockFolder

    def __call__(self, block: Block) -> Block | Failed:
        """Segment a block; what fails with it is told by its name."""
        work = self.work
        with MODEL_TURN:
            try:
                segmenter = _load(work)
                check_versions(work.setup)
                with opened(self.source, work) as image:
                    depth = (
                        work.choice.depth or Depth.STITCHED,
                        work.choice.volume_of(image.calibration),
                    )
                    labels, made = segment_window(
                        segmenter, self.survey, image.read(block.window), work.setup.params,
                        depth, work.progress,
                    )  # fmt: skip
                    cut = count_cut(labels, block, image.shape)
                work.progress(1, 1)  # nothing is written once it was stopped
                check_weights(work.setup, made)
                self.folder.write(block, labels, {**made.as_dict(), "cut": cut})
            except Stopped:
                raise
            except Exception as error:  # noqa: BLE001 - it is told, and the other blocks go on
                return self.blame(block, describe_failure(error))
        return block

    def blame(self, block: Block, reason: str) -> Failed:
        """Tell of a block that cannot be segmented, by its image and its place."""
        return Failed(self.source.name, f"{self.source}: {block.name}: {reason}")


def _load(work: ImageTask) -> NetSegmenter:
    segmenter = work.setup.load()
    if not isinstance(segmenter, NetSegmenter):
        raise ValueError(
            f"{work.setup.model} takes an image as a whole, and this one is segmented in blocks; "
            "choose a model with a network, such as fluo-nuclei"
        )
    return segmenter


@contextmanager
def opened(source: Source, work: ImageTask) -> Iterator[LargeImage]:
    """Open an image, and refuse a stack of which it is not known how to take it."""
    with open_large(source, work.choice.channel) as image:
        if len(image.shape) > 2 and work.choice.depth not in (Depth.STITCHED, Depth.IN_3D):
            raise ValueError(
                f"{source}: a stack of {image.shape[0]} planes; in blocks it is taken as a volume, "
                "stitched or 3d (--volume), or as channels (--channel)"
            )
        yield image


@dataclass(frozen=True)
class BlockFolder:
    """A folder of the labels of blocks, each of which is whole or not there."""

    path: Path

    def read_plan(self) -> dict[str, Any] | None:
        """Read what the blocks were made by; None if none were, or it cannot be read."""
        try:
            found = json.loads((self.path / _PLAN).read_text("utf-8"))
        except (OSError, ValueError):
            return None
        return found if isinstance(found, dict) and "plan" in found else None

    def write_plan(self, plan: Mapping[str, Any]) -> None:
        """Write down what the blocks are made by."""
        write_json(self.path / _PLAN, plan)

    def clear(self) -> None:
        """Remove blocks that were made otherwise."""
        shutil.rmtree(self.path, ignore_errors=True)
        self.path.mkdir(parents=True)

    def stage(self) -> Path:
        """Return a place for a folder that is not yet whole."""
        stage = self.path / "labels"
        shutil.rmtree(stage, ignore_errors=True)
        return stage

    def has(self, block: Block) -> bool:
        """Whether a block is done."""
        return self._file(block).is_file()

    def write(self, block: Block, labels: Labels, made: Mapping[str, Any]) -> None:
        """Write the labels of a block's window, and how they were made."""
        arrays = {"labels": labels, "made": np.array(json.dumps(made, allow_nan=False))}
        write_whole(self._file(block), lambda file: _write_arrays(file, arrays))

    def read_labels(self, block: Block) -> Labels:
        """Read the labels of a block's window."""
        with np.load(self._file(block)) as arrays:
            labels: Labels = arrays["labels"]
        return labels

    def made_of(self, blocks: Sequence[Block]) -> dict[str, Any]:
        """Say how the labels of all blocks were made."""
        notes, seconds, cut = dict[str, None](), 0.0, 0
        made: dict[str, Any] = {}
        for block in blocks:
            with np.load(self._file(block)) as arrays:
                made = json.loads(str(arrays["made"]))
            notes.update(dict.fromkeys(made["notes"]))
            seconds += made["seconds"]
            cut += made.pop("cut")
        core, window = blocks[0].core, blocks[-1].window
        overlap = blocks[-1].core[-1].start - window[-1].start
        size = [one.stop for one in core]
        told = f"{counted(cut, 'nucleus')} may be cut: larger than the overlap of blocks"
        return {
            **made,
            "notes": list(notes),
            "seconds": seconds,
            "blocks": {"count": len(blocks), "size": size, "overlap": overlap, "cut": cut},
            "cut_notes": [told] if cut else [],
        }

    def _file(self, block: Block) -> Path:
        return self.path / f"{block.name}.npz"


def _write_arrays(file: IO[bytes], arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write arrays as `numpy.savez_compressed` does, in a third of its time, for `numpy.load`."""
    with ZipFile(file, "w", ZIP_DEFLATED, compresslevel=1) as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w") as member:
                np.save(member, array)


@dataclass(frozen=True)
class JoinedLabels:
    """Labels of an image in the files of its blocks, of which any part can be read.

    Attributes
    ----------
    blocks : sequence of Block
        All blocks, in their order.
    joined : Joined
        The numbers that their labels get.
    folder : BlockFolder
        Where their labels are.
    """

    blocks: Sequence[Block]
    joined: Joined
    folder: BlockFolder
    _cores: OrderedDict[Place, NDArray[np.uint32]] = field(default_factory=OrderedDict)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the image."""
        return tuple(core.stop for core in self.blocks[-1].core)

    def read(self, box: Box, /) -> NDArray[np.uint32]:
        """Return the labels of a box."""
        edges = [core.stop for core in self.blocks[0].core]
        counts = [place + 1 for place in self.blocks[-1].place]
        found = np.zeros([one.stop - one.start for one in box], dtype=np.uint32)
        spans = (
            range(one.start // edge, -(-one.stop // edge))
            for one, edge in zip(box, edges, strict=True)
        )
        for place in product(*spans):
            block = self.blocks[int(np.ravel_multi_index(place, counts))]
            both = intersect(box, block.core)
            found[within(both, box)] = self._core(block)[within(both, block.core)]
        return found

    def _core(self, block: Block) -> NDArray[np.uint32]:
        """Return the labels of a block's core, and keep them for a while."""
        core = self._cores.pop(block.place, None)
        if core is None:
            labels = self.folder.read_labels(block)
            core = self.joined.numbers[block.place][labels[block.inside(block.core)]]
            while self._cores and sum(one.nbytes for one in self._cores.values()) > _KEPT:
                self._cores.popitem(last=False)
        self._cores[block.place] = core
        return core
