"""Pairs of label files that are scored against each other."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from napari_nucseg.core.images import PNG_SUFFIXES, TIFF_SUFFIXES, read_labels
from napari_nucseg.core.presets import DEFAULT_RULE, ScoreRule
from napari_nucseg.core.scoring import Score, score_with_boundaries
from napari_nucseg.core.sources import Source, list_folder


@dataclass(frozen=True)
class LabelPair:
    """Two label images of one field."""

    stem: str
    predicted: Source
    truth: Source

    def score(self, rule: ScoreRule = DEFAULT_RULE) -> Score:
        """Read and score; an error names both files."""
        truth, predicted = self.truth, self.predicted
        try:
            labels = read_labels(truth), read_labels(predicted)
            return score_with_boundaries(*labels, rule.threshold, rule.preset)
        except ValueError as error:
            raise ValueError(f"{predicted} against {truth}: {error}") from error


def pair_labels(predicted: Path, truth: Path) -> tuple[LabelPair, ...]:
    """Pair two files, or the files of two folders by their stems.

    Raises
    ------
    ValueError
        If one is a file and the other a folder, or a field stands on one side only.
    FileNotFoundError
        If one is not there.
    """
    for path in (predicted, truth):
        if not path.exists():
            raise FileNotFoundError(f"{path}: there is no such file or folder")
    if predicted.is_file() and truth.is_file():
        return (LabelPair(predicted.stem, Source(predicted), Source(truth)),)
    if predicted.is_file() or truth.is_file():
        raise ValueError(f"{predicted} and {truth}: give two files or two folders")
    found, wanted = _by_stem(predicted), _by_stem(truth)
    for folder, present, others in ((truth, wanted, found), (predicted, found, wanted)):
        alone = sorted(set(others) - set(present))
        if alone:
            raise ValueError(
                f"{folder}: {len(alone)} of the other folder's {len(others)} fields are not here, "
                f"the first is {alone[0]}; give folders with the same fields"
            )
    return tuple(LabelPair(stem, found[stem], wanted[stem]) for stem in sorted(found))


def _by_stem(folder: Path) -> dict[str, Source]:
    listed = list_folder(folder, TIFF_SUFFIXES + PNG_SUFFIXES)
    if not listed:
        raise ValueError(f"{folder}: no label TIFF or mask PNG here")
    sources = {source.stem: source for source in listed}
    if len(sources) < len(listed):
        twice = next(s for s in listed if sources[s.stem] != s)
        raise ValueError(f"{folder}: {twice.name} and {sources[twice.stem].name} are one field")
    return sources
