"""What is done with an image that is segmented in blocks, and with each block, on any machine."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Self

from napari_nucseg.batch.block_labels import BlockFolder, count_cut
from napari_nucseg.batch.field_task import (
    MODEL_TURN,
    check_versions,
    check_weights,
    describe_failure,
)
from napari_nucseg.batch.image_task import Failed, ImageTask
from napari_nucseg.io.large_images import LargeImage, open_large
from napari_nucseg.io.sources import Source
from napari_nucseg.progress import ignore
from napari_nucseg.segmenters.blocks import Block
from napari_nucseg.segmenters.network import NetSegmenter
from napari_nucseg.segmenters.parameters import Depth
from napari_nucseg.segmenters.survey import Survey, survey_image
from napari_nucseg.segmenters.windows import plan_windows, scale_of, segment_window


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
                        depth, ignore,
                    )  # fmt: skip
                    cut = count_cut(labels, block, image.shape)
                check_weights(work.setup, made)
                self.folder.write(block, labels, {**made.as_dict(), "cut": cut})
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
