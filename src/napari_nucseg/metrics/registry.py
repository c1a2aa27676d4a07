"""Every score of two label images, declared once.

Tables, help, files, plots and the document of scores are made from this list, and so is each line
of `napari_nucseg.metrics.functions`. A new score is a function of what is counted in a field, and
its entry here; as it follows from counts that are added, it is pooled over fields, too.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from operator import attrgetter
from typing import Any, Literal

from napari_nucseg.wording import spelt

Compute = Callable[[Any], float]
"""Gives a score's value from a `Score`, or an array of values where its counts are arrays."""
CHOSEN = "t"
"""Stands for the IoU threshold that the user chooses."""

GROUPS = {"pixels": "Pixels", "objects": "Nuclei", "boundaries": "Outlines"}
"""What the scores are of, and how people read it."""


@dataclass(frozen=True)
class Metric:
    """A score, as it is declared.

    Attributes
    ----------
    group, name : str
        One of `GROUPS`, and the name in files, which is unique in the group.
    title : str
        Name of the score for the screen.
    compute : callable
        Returns the value, given a `Score`.
    formula : str
        Definition in a line, for the document and the function's help.
    help : str
        Whole sentence for a tooltip.
    source : str
        Publication that the score is taken from.
    alias : str
        Remark that stands behind the title in tables.
    limits : tuple of float
        The least and the largest possible value.
    better : str
        Whether "high" or "low" values are the better ones.
    unit : str
        Unit of the values; empty for a ratio.
    iou : str, float or None
        IoU threshold of the matching: `CHOSEN`, a fixed one, or None where there is none, or many.
    compute_in_unit : callable, optional
        Gives the same length in the unit of the pixel size instead of in pixels.
    shown : mapping
        Lists that it stands in beside the tables of all scores, with its place there: "models"
        compared by a run, "choice" of what predictions are compared by, "plot" of fields.
    """

    group: str
    name: str
    title: str
    compute: Compute
    formula: str
    help: str
    source: str = ""
    alias: str = ""
    limits: tuple[float, float] = (0, 1)
    better: Literal["high", "low"] = "high"
    unit: str = ""
    iou: str | float | None = None
    compute_in_unit: Compute | None = None
    shown: Mapping[str, int] = field(default_factory=dict)

    @property
    def key(self) -> tuple[str, str]:
        """Group and name."""
        return self.group, self.name

    @property
    def heading(self) -> str:
        """The title with its unit or alias, as tables have it."""
        remark = spelt(self.unit) or self.alias
        return f"{self.title} ({remark})" if remark else self.title

    @property
    def full_title(self) -> str:
        """The title where no group stands beside it, nor the IoU threshold."""
        if self.group == "pixels":
            return f"{self.title} of pixels"
        return f"{self.title} at the threshold" if self.iou == CHOSEN else self.title

    def title_at(self, chosen: float) -> str:
        """Return the heading with the IoU threshold, where it is of one and has no unit."""
        at = self.iou_for(chosen)
        return self.heading if at is None or self.unit else f"{self.heading} at {at:.2f}"

    def iou_for(self, chosen: float) -> float | None:
        """Return the one IoU threshold that it is of, if there is one, where the user chose so."""
        return chosen if isinstance(self.iou, str) else self.iou

    @property
    def best(self) -> float:
        """Value of faultless labels; undefined for a length, which needs a nucleus."""
        return math.nan if self.unit else self.limits[self.better == "high"]


def metrics(unit: str | None = None) -> tuple[Metric, ...]:
    """Return all scores, group by group.

    Parameters
    ----------
    unit : str, optional
        Unit of the pixel size; lengths in it stand after those in pixels.
    """
    known = list(METRICS)
    if unit is not None:
        known += filter(None, (_in_unit(one, unit) for one in METRICS))
    return tuple(one for group in GROUPS for one in known if one.group == group)


def find_metric(group: str, name: str) -> Metric:
    """Return a score by its group and name; lengths are in pixels."""
    return {one.key: one for one in METRICS}[group, name]


def shown_in(place: str) -> tuple[Metric, ...]:
    """Return the scores of a list in its order: "models", "choice" or "plot"."""
    there = (one for one in METRICS if place in one.shown)
    return tuple(sorted(there, key=lambda one: one.shown[place]))


def _in_unit(metric: Metric, unit: str) -> Metric | None:
    if metric.compute_in_unit is None:
        return None
    name = f"{metric.name.removesuffix(metric.unit)}{unit}"
    return replace(metric, name=name, unit=unit, compute=metric.compute_in_unit)


def _counted(
    group: str, where: str, name: str, title: str, formula: str, text: str, **more: Any
) -> Metric:
    """Declare a score that is a property of what is counted in a field."""
    return Metric(group, name, title, attrgetter(where + name), formula, text, **more)


def _distance(name: str, title: str, formula: str, text: str) -> Metric:
    """Declare a distance of outlines, in pixels and, where that is known, in a unit."""
    return Metric(
        "boundaries",
        f"{name}_px",
        title,
        lambda score: score.boundaries.mean(f"{name}_px"),
        formula,
        text,
        source="Maier-Hein et al., Nature Methods 21, 2024 (MetricsReloaded)",
        limits=(0, math.inf),
        better="low",
        unit="px",
        iou=CHOSEN,
        compute_in_unit=lambda score: score.boundaries.mean(name),
    )


_TAHA = "Taha and Hanbury, BMC Medical Imaging 15, 2015"
_MATCHES = "van Rijsbergen, Information Retrieval, 1979; StarDist"
_pixels = partial(_counted, "pixels", "pixels.", source=_TAHA)
_objects = partial(_counted, "objects", "objects.", iou=CHOSEN, source=_MATCHES)
_means = partial(_counted, "objects", "")
_halves = partial(_counted, "objects", "at_half.", iou=0.5, source="Kirillov et al., CVPR 2019")
_areas = partial(_counted, "objects", "areas.")

# fmt: off
METRICS: tuple[Metric, ...] = (
    _pixels("dice", "Dice", "2 TP / (2 TP + FP + FN)",
        "2 TP / (2 TP + FP + FN) of the pixels. The same number as their F1.",
        source="Dice, Ecology 26, 1945", alias="= F1",
        shown={"models": 1, "choice": 6, "plot": 1}),
    _pixels("iou", "IoU", "TP / (TP + FP + FN)",
        "TP / (TP + FP + FN) of the pixels.",
        source="Jaccard, New Phytologist 11, 1912", shown={"models": 2}),
    _pixels("precision", "Precision", "TP / (TP + FP)",
        "Share of the predicted pixels that lie in true nuclei.", shown={"models": 3}),
    _pixels("recall", "Recall", "TP / (TP + FN)",
        "Share of the true nuclei's pixels that were found.", shown={"models": 4}),
    _pixels("accuracy", "Accuracy", "(TP + TN) / (TP + FP + FN + TN)",
        "Share of all pixels, background included, that are right.", shown={"models": 5}),

    _objects("precision", "Precision", "TP / (TP + FP) at `t`",
        "Share of the predicted nuclei that are matched.", shown={"models": 8}),
    _objects("recall", "Recall", "TP / (TP + FN) at `t`",
        "Share of the true nuclei that are matched.", shown={"models": 9}),
    _objects("f1", "F1", "2 TP / (2 TP + FP + FN) at `t`",
        "2 TP / (2 TP + FP + FN) of the nuclei.",
        shown={"models": 7, "choice": 2, "plot": 3}),
    _objects("ap", "AP", "TP / (TP + FP + FN) at `t`; not COCO's area under a curve",
        "TP / (TP + FP + FN) of the nuclei at the IoU threshold.",
        source="DSB2018, Cellpose, StarDist", shown={"choice": 3}),
    _means("mean_ap", "AP .50:.95", "mean of AP over the ten `t` = 0.50, 0.55 ... 0.95",
        "Mean of AP over the IoU thresholds 0.50, 0.55 ... 0.95.",
        source="Caicedo et al., Nature Methods 16, 2019 (DSB2018)",
        shown={"models": 6, "choice": 1, "plot": 2}),
    _means("mean_f1", "F1 .50:.90", "mean of F1 over the nine `t` = 0.50, 0.55 ... 0.90",
        "Mean of F1 over the IoU thresholds 0.50, 0.55 ... 0.90.",
        source="Caicedo et al., Cytometry Part A 95, 2019"),
    _halves("sq", "SQ", "mean IoU of the pairs matched at 0.5",
        "Segmentation quality: mean IoU of the nuclei matched at 0.5."),
    _halves("rq", "RQ", "F1 at 0.5",
        "Recognition quality: F1 at 0.5."),
    _halves("pq", "PQ", "SQ times RQ",
        "Panoptic quality: SQ times RQ.", shown={"models": 10, "choice": 4, "plot": 4}),
    _areas("aji", "AJI",
        "each `g` takes the `p` of its best IoU, which may be taken twice (of equals the lower "
        "number): sum of `|g and p|` / (sum of `|g or p|` + area of every `g` without any + area "
        "of every `p` never taken)",
        "Aggregated Jaccard index: the pixels that each true nucleus shares with its best "
        "predicted one, divided by their unions and all unmatched nuclei.",
        source="Kumar et al., IEEE Transactions on Medical Imaging 36, 2017",
        shown={"models": 11, "choice": 5, "plot": 5}),
    _areas("aji_plus", "AJI+", "AJI of one-to-one pairs, those of the largest sum of IoU",
        "AJI of one-to-one pairs: no predicted nucleus is taken twice.",
        source="Graham et al., Medical Image Analysis 58, 2019 (HoVer-Net)"),
    _areas("seg", "SEG",
        "mean over all `g` of the IoU with the `p` that covers more than half of `g`; 0 where none "
        "does",
        "Mean over true nuclei of the IoU with the predicted nucleus that covers more than half "
        "of it, or 0 if none does.",
        source="Maska et al., Bioinformatics 30, 2014 (Cell Tracking Challenge)"),

    _counted("boundaries", "boundaries.", "boundary_f", "F within 2 px",
        "2 PR / (P + R), where P is the share of all predicted outline pixels, matched or not, "
        "within 2 px of any true outline, and R the other way round",
        "F1 of outline pixels that lie within 2 px of an outline of the other side.",
        source="Csurka et al., BMVC 2013", shown={"plot": 6}),
    _distance("hausdorff", "Hausdorff", "the largest of all `d(a, B)` and `d(b, A)`",
        "Largest distance between the outlines of a matched pair, mean of the pairs."),
    _distance("hd95", "HD95", "the larger of the 95th percentiles of `d(a, B)` and of `d(b, A)`",
        "95th percentile of the distances between the outlines of a matched pair, mean of the "
        "pairs."),
    _distance("distance", "Mean",
        "the mean of all `d(a, B)` and `d(b, A)` together (average symmetric surface distance)",
        "Mean distance between the outlines of a matched pair, mean of the pairs."),
)
"""All scores, in the order of tables."""
# fmt: on
