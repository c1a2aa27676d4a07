"""Labels in files, paired with their ground truth and scored."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from napari_nucseg.array_types import Windowed, parts_of
from napari_nucseg.io.images import read_label_image
from napari_nucseg.io.label_rules import NPY_SUFFIXES, is_seg
from napari_nucseg.io.large_images import declared_planes, open_large, read_made
from napari_nucseg.io.layouts import find_files_of_one, stem_of_truth
from napari_nucseg.io.limits import is_zarr, max_pixels
from napari_nucseg.io.ome_zarr import labels_within, list_zarrs
from napari_nucseg.io.pictures import (
    JPEG_SUFFIXES,
    PNG_SUFFIXES,
    READ_ELSEWHERE,
    TIFF_SUFFIXES,
    others_in,
)
from napari_nucseg.io.sources import Source, list_folder
from napari_nucseg.metrics.matching import match
from napari_nucseg.metrics.overlap import Overlap, find_overlap, sum_overlaps
from napari_nucseg.metrics.score import (
    DEFAULT_RULE,
    Score,
    ScoreRule,
    score_matching,
    score_with_boundaries,
)
from napari_nucseg.progress import Progress, ignore
from napari_nucseg.wording import say_corrected

_EDGE, _THICK = 2048, 8
"""Edge of a part of labels that is read at once, px, and its planes."""


@dataclass(frozen=True)
class LabelFiles:
    """Two label images of one field."""

    stem: str
    predicted: Source
    truth: Source

    @property
    def made(self) -> Mapping[str, Any]:
        """How the prediction was made; empty if its file does not say."""
        return _made_of(self.predicted)

    @property
    def corrected(self) -> dict[Source, int]:
        """Count the nuclei that were corrected by hand, of each file that says so."""
        both = self.truth, self.predicted
        counts = {one: int(_made_of(one).get("corrected_by_hand", 0)) for one in both}
        return {source: count for source, count in counts.items() if count}

    def score(self, rule: ScoreRule = DEFAULT_RULE) -> Score:
        """Read and score; an error names both files."""
        return self.score_and_note(rule)[0]

    def score_and_note(
        self, rule: ScoreRule = DEFAULT_RULE, *, components: bool = False
    ) -> tuple[Score, tuple[str, ...]]:
        """Read and score, and tell what the user should know of how the files were read.

        Parameters
        ----------
        rule : ScoreRule
            How they are scored.
        components : bool
            Whether the pieces of a binary mask are nuclei of their own.

        Raises
        ------
        ValueError
            If they cannot be scored; the message names both files.
        """
        sources = self.truth, self.predicted
        try:
            if any(map(is_too_large, sources)):
                if components:
                    raise ValueError(
                        "they are larger than memory, and scored in parts, where --components "
                        "finds no pieces; number the nuclei, or crop both"
                    )
                return self._score_in_parts(rule)
            truth, predicted = (read_label_image(one, components=components) for one in sources)
            score = score_with_boundaries(
                truth.data, predicted.data, rule.threshold, rule.preset, ignore=rule.ignored
            )
        except ValueError as error:
            raise ValueError(f"{self.predicted} against {self.truth}: {error}") from error
        by_hand = [f"{one}: {say_corrected(count)}" for one, count in self.corrected.items()]
        return score, (*truth.notes, *predicted.notes, *by_hand)

    def _score_in_parts(self, rule: ScoreRule) -> tuple[Score, tuple[str, ...]]:
        """Score labels of any size, all but their outlines, part by part.

        The counts are those of the labels in one piece: what objects share adds up over the parts.
        """
        if rule.ignored is not None:
            raise ValueError(
                "they are larger than memory, and scored in parts, where --ignore-border leaves "
                "nothing out; count the nuclei at the border, too, or crop both"
            )
        with (
            open_large(self.truth, as_numbers=True) as truth,
            open_large(self.predicted, as_numbers=True) as predicted,
        ):
            overlap = overlap_in_parts(truth, predicted)
        matching = match(overlap, rule.threshold, rule.preset.strict)
        note = f"{self.predicted}: scored in parts, without the distances of outlines"
        return score_matching(matching, rule.preset), (note,)


def overlap_in_parts(truth: Windowed, predicted: Windowed, progress: Progress = ignore) -> Overlap:
    """Count what objects share in labels of any size, which are read part by part.

    Parameters
    ----------
    truth, predicted : Windowed
        Labels of one field or volume; 0 is background.
    progress : Progress, optional
        Called with (parts done, parts in all, what is done); may raise to stop.

    Raises
    ------
    ValueError
        If their shapes differ or they are no labels.
    """
    if truth.shape != predicted.shape:
        raise ValueError(
            f"the ground truth is {truth.shape} px and the prediction {predicted.shape} "
            "px; choose labels of the same field"
        )
    boxes = list(parts_of(truth.shape, (_THICK, _EDGE, _EDGE)[-len(truth.shape) :]))

    def counted() -> Iterator[Overlap]:
        for number, box in enumerate(boxes):
            progress(number, len(boxes), "Comparing")
            yield find_overlap(truth.read(box), predicted.read(box))

    return sum_overlaps(counted())


def is_too_large(source: Source) -> bool:
    """Tell whether labels are read in parts: TIFF and OME-Zarr that are larger than memory."""
    if is_zarr(source.path):
        with open_large(source, as_numbers=True) as labels:
            return math.prod(labels.shape) > max_pixels()
    if source.suffix not in TIFF_SUFFIXES or not source.path.is_file():
        return False
    try:
        shape = declared_planes(source).shape
    except ValueError:
        return False  # it may be a PNG of a wrong name; whoever reads it whole says what is wrong
    return math.prod(shape) > max_pixels()


def _made_of(source: Source) -> Mapping[str, Any]:
    """Read how labels were made; empty if their file does not say."""
    try:
        is_folder = is_zarr(source.path)
        return read_made(labels_within(source.path) if is_folder else source.path)
    except (ValueError, OSError):
        return {}


def is_label_file(path: Path) -> bool:
    """Whether a path is one label image: a file, or a folder of Zarr."""
    return path.is_file() or is_zarr(path)


def pair_labels(predicted: Path, truth: Path) -> tuple[LabelFiles, ...]:
    """Pair two files, or the files of two folders by their stems.

    Raises
    ------
    ValueError
        If one is a file and the other a folder, or a field stands on one side only.
    FileNotFoundError
        If one does not exist.
    """
    for path in (predicted, truth):
        if not path.exists():
            raise FileNotFoundError(f"{path}: there is no such file or folder")
    is_one = [is_label_file(path) for path in (predicted, truth)]
    if all(is_one):
        return (LabelFiles(predicted.stem, Source(predicted), Source(truth)),)
    if any(is_one):
        raise ValueError(f"{predicted} and {truth}: give two files or two folders")
    found, wanted = _by_stem(predicted), _by_stem(truth)
    if found.keys() != wanted.keys():
        found, wanted = _by_image(found), _by_image(wanted)
    for folder, present, others in ((truth, wanted, found), (predicted, found, wanted)):
        alone = sorted(set(others) - set(present))
        if alone:
            raise ValueError(
                f"{folder}: {len(alone)} of the other folder's {len(others)} fields are not here, "
                f"the first is {alone[0]}; give folders with the same fields"
            )
    return tuple(LabelFiles(stem, found[stem], wanted[stem]) for stem in sorted(found))


def _by_stem(folder: Path) -> dict[str, Source]:
    every = list_folder(folder, TIFF_SUFFIXES + PNG_SUFFIXES + NPY_SUFFIXES)
    every += map(Source, list_zarrs(folder))
    listed = [source for source in every if source.suffix not in NPY_SUFFIXES or is_seg(source)]
    if not listed:
        others = others_in(folder, "save the labels as TIFF", JPEG_SUFFIXES + READ_ELSEWHERE)
        raise ValueError(f"{folder}: no label TIFF or mask PNG here{others}")
    sources = {source.stem: source for source in listed}
    if len(sources) < len(listed):
        twice = next(s for s in listed if sources[s.stem] != s)
        raise ValueError(f"{folder}: {twice.name} and {sources[twice.stem].name} are one field")
    return sources


def _by_image(labels: dict[str, Source]) -> dict[str, Source]:
    """Call labels by their images, without _masks and the like; leave out images beside them."""
    images = {stem: stem_of_truth(stem) for stem in labels}
    if any(image != stem and image in labels for stem, image in images.items()):
        return find_files_of_one(labels.values()).truths
    by_image = {images[stem]: source for stem, source in labels.items()}
    return by_image if len(by_image) == len(labels) else labels
