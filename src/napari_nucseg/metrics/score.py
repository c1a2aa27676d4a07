"""All scores of a field, from one table of overlaps, and by which rule."""

from __future__ import annotations

from dataclasses import dataclass, replace
from operator import add

from napari_nucseg.array_types import Labels
from napari_nucseg.metrics.boundaries import (
    LEAST_IOU,
    Boundaries,
    BoundaryCounts,
    Spacing,
    measure_boundaries,
)
from napari_nucseg.metrics.counts import AreaCounts, CaicedoCounts, ObjectCounts, PixelCounts
from napari_nucseg.metrics.ignoring import Counted, Ignored, IgnoredCounts, leave_out
from napari_nucseg.metrics.matching import (
    AP_THRESHOLDS,
    F1_THRESHOLDS,
    STARDIST,
    Matching,
    Preset,
    match,
)
from napari_nucseg.metrics.overlap import find_overlap
from napari_nucseg.metrics.registry import CHOSEN, GROUPS, Metric, metrics
from napari_nucseg.metrics.verdicts import VerdictCounts
from napari_nucseg.wording import as_number, counted


@dataclass(frozen=True)
class ScoreRule:
    """How fields are scored.

    Attributes
    ----------
    threshold : float
        IoU threshold of matches and verdicts, above 0 and at most 1.
    preset : Preset
        Whether an IoU of exactly the threshold is a hit, and what is reported.
    empty_as_one : bool
        Whether a field without objects on either side counts 1 in means, or is left out.
    ignore_border : bool
        Whether objects that touch the border are left out of all counts.
    """

    threshold: float = 0.5
    preset: Preset = STARDIST
    empty_as_one: bool = False
    ignore_border: bool = False

    @property
    def ignored(self) -> Ignored | None:
        """What is left out of a field; None where everything is counted."""
        return Ignored(border=True) if self.ignore_border else None


DEFAULT_RULE = ScoreRule()


@dataclass(frozen=True)
class Score:
    """Everything counted in a field, or in several together.

    Attributes
    ----------
    threshold : float
        IoU threshold of ``objects`` and ``verdicts``.
    preset : Preset
        Published rule of comparison that pairs were matched by.
    pixels : PixelCounts
        Counts of foreground and background pixels.
    objects : ObjectCounts
        Counts of objects at the IoU threshold.
    by_threshold : tuple of ObjectCounts
        Counts of objects at each IoU of `AP_THRESHOLDS`.
    verdicts : VerdictCounts
        Number of objects of each verdict at the IoU threshold.
    areas : AreaCounts
        Sums of areas that AJI, AJI+, SEG and the count error follow from.
    caicedo : CaicedoCounts
        Splits, merges and missed nuclei as the dataset's paper counts them.
    boundaries : BoundaryCounts or None
        Distances of outlines at the threshold, where they were measured.
    ignored : IgnoredCounts or None
        Number of objects that were left out of all other counts; None where all were counted.
    """

    threshold: float
    preset: Preset
    pixels: PixelCounts
    objects: ObjectCounts
    by_threshold: tuple[ObjectCounts, ...]
    verdicts: VerdictCounts
    areas: AreaCounts
    caicedo: CaicedoCounts
    boundaries: BoundaryCounts | None = None
    ignored: IgnoredCounts | None = None

    @property
    def mean_ap(self) -> float:
        """Mean of AP over `AP_THRESHOLDS`."""
        return sum(counts.ap for counts in self.by_threshold) / len(AP_THRESHOLDS)

    @property
    def mean_f1(self) -> float:
        """Mean of F1 over `F1_THRESHOLDS`."""
        first = self.by_threshold[: len(F1_THRESHOLDS)]
        return sum(counts.f1 for counts in first) / len(F1_THRESHOLDS)

    @property
    def at_half(self) -> ObjectCounts:
        """Counts at IoU 0.5, which SQ, RQ and PQ are defined by."""
        return self.by_threshold[0]

    @property
    def count_error(self) -> int:
        """Predicted objects less true ones."""
        return self.areas.count_error

    @property
    def counts_in_words(self) -> str:
        """The numbers of counted, predicted, matched and ignored nuclei in a sentence."""
        true, predicted, matched = self.areas.true, self.areas.predicted, self.objects.tp
        if self.ignored is None:
            return f"{counted(true, 'nucleus')}, {predicted} predicted, {matched} matched."
        left_out, inside = self.ignored.true, self.ignored.true_in_region
        why = f" ({inside} in drawn regions)" if inside else ""
        return (
            f"{true} of {counted(true + left_out, 'nucleus')} counted, {left_out} ignored{why}; "
            f"{predicted} of {predicted + self.ignored.predicted} predicted; {matched} matched."
        )

    @property
    def metrics(self) -> tuple[Metric, ...]:
        """The scores that there are: those of outlines only if these were measured."""
        if self.boundaries is None:
            return tuple(metric for metric in metrics() if metric.group != "boundaries")
        return metrics(self.boundaries.unit)

    def ratios(self) -> dict[str, dict[str, float]]:
        """Every score by name, under "pixels", "objects" and, if measured, "boundaries"."""
        found: dict[str, dict[str, float]] = {}
        for metric in self.metrics:
            found.setdefault(metric.group, {})[metric.name] = metric.compute(self)
        return found

    def ratios_at(self) -> dict[tuple[float, str], float]:
        """Those scores of the objects that have an IoU threshold, at each of `AP_THRESHOLDS`."""
        at = zip(AP_THRESHOLDS, self.by_threshold, strict=True)
        scores = {threshold: replace(self, objects=counts) for threshold, counts in at}
        chosen = [one for one in metrics() if one.group == "objects" and one.iou == CHOSEN]
        return {
            (threshold, metric.name): metric.compute(score)
            for threshold, score in scores.items()
            for metric in chosen
        }

    def __str__(self) -> str:
        """Write the counts, and a line for each score."""
        lines, group = [self.counts_in_words], ""
        for metric in self.metrics:
            title, value = metric.title_at(self.threshold), as_number(metric.compute(self))
            head = "" if metric.group == group else GROUPS[metric.group]
            lines.append(f"{head:<9}{title:<20}{value:>6}")
            group = metric.group
        return "\n".join(lines)

    def __add__(self, other: Score) -> Score:
        """Pool with another score: counts are added, ratios follow."""
        if self.threshold != other.threshold:
            raise ValueError(
                f"scores at IoU {self.threshold} and {other.threshold} cannot be pooled; score "
                "both at the same threshold"
            )
        if self.preset != other.preset:
            raise ValueError(
                f"scores by {self.preset.title} and by {other.preset.title} cannot be pooled; "
                "score both by the same preset"
            )
        if (self.boundaries is None) != (other.boundaries is None):
            raise ValueError(
                "outlines were measured in some of the fields; measure them in all or none"
            )
        if (self.ignored is None) != (other.ignored is None):
            raise ValueError(
                "nuclei were ignored in some of the fields; score all fields by the same rule"
            )
        names = "pixels", "objects", "verdicts", "areas", "caicedo", "boundaries", "ignored"
        mine, others = vars(self), vars(other)
        pooled = {name: mine[name] and mine[name] + others[name] for name in names}
        by_threshold = tuple(map(add, self.by_threshold, other.by_threshold))
        return replace(self, by_threshold=by_threshold, **pooled)


def score(
    truth: Labels,
    predicted: Labels,
    threshold: float = 0.5,
    preset: Preset = STARDIST,
    ignore: Ignored | None = None,
) -> Score:
    """Score predicted labels against the truth, all but the outlines.

    Parameters
    ----------
    truth, predicted : ndarray of integers, of one shape
        Label images of any number of axes; 0 is background.
    threshold : float
        Least IoU of a match, above 0 and at most 1.
    preset : Preset
        The rule of comparison: whether an IoU of exactly the threshold is a match.
    ignore : Ignored, optional
        What is not counted, as `leave_out` takes it out; everything is counted if not given.

    Examples
    --------
    >>> import numpy as np
    >>> truth = np.array([[0, 0, 0, 0], [0, 1, 0, 2], [0, 0, 0, 0]])
    >>> score(truth, np.where(truth == 1, 1, 0)).objects.recall
    0.5
    >>> score(truth, np.where(truth == 1, 1, 0), ignore=Ignored(border=True)).objects.recall
    1.0
    """
    if ignore is not None:
        kept = leave_out(truth, predicted, ignore)
        return with_ignored(kept, score(kept.truth, kept.predicted, threshold, preset))
    return score_matching(match(find_overlap(truth, predicted), threshold, preset.strict), preset)


def with_ignored(kept: Counted, scored: Score) -> Score:
    """Complete the score of what `leave_out` kept by the pixels and numbers that only it knows."""
    return replace(scored, pixels=kept.pixels, ignored=kept.ignored)


def score_with_boundaries(
    truth: Labels,
    predicted: Labels,
    threshold: float = 0.5,
    preset: Preset = STARDIST,
    spacing: Spacing | None = None,
    ignore: Ignored | None = None,
) -> Score:
    """Score predicted labels against the truth, with the distances of outlines.

    Parameters
    ----------
    truth, predicted, threshold, preset, ignore
        Labels and rule, as `score` takes them.
    spacing : Spacing, optional
        Edges of a pixel; without it distances are in pixels alone.
    """
    if ignore is not None:
        kept = leave_out(truth, predicted, ignore)
        labels = kept.truth, kept.predicted
        return with_ignored(kept, score_with_boundaries(*labels, threshold, preset, spacing))
    overlap = find_overlap(truth, predicted)
    matching = match(overlap, threshold, preset.strict)
    least = min(LEAST_IOU, threshold)
    boundaries = measure_boundaries(truth, predicted, overlap, spacing=spacing, least=least)
    return score_matching(matching, preset, boundaries)


def score_matching(
    matching: Matching, preset: Preset = STARDIST, boundaries: Boundaries | None = None
) -> Score:
    """Score objects that have been matched.

    Parameters
    ----------
    matching : Matching
        Matched objects, by the preset's rule.
    preset : Preset
        Published rule of comparison that the objects were matched by.
    boundaries : Boundaries, optional
        Distances between the outlines of the same field's objects.

    Raises
    ------
    ValueError
        If the objects were matched by another rule.
    """
    if matching.strict != preset.strict:
        raise ValueError(
            f"the objects were matched by another rule than {preset.hit} of {preset.title}; "
            "match them with its `strict`"
        )
    overlap = matching.overlap
    return Score(
        matching.threshold,
        preset,
        PixelCounts.of(overlap),
        ObjectCounts.of(matching),
        tuple(ObjectCounts.of(match(overlap, t, preset.strict)) for t in AP_THRESHOLDS),
        VerdictCounts.of(matching),
        AreaCounts.of(overlap),
        CaicedoCounts.of(overlap),
        None if boundaries is None else boundaries.of(matching),
    )
