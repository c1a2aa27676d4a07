"""Which predicted object is which true one: the published rules, and the pairs by a rule."""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_nucseg.metrics.overlap import Index, Overlap

_ROUNDS = 3
"""Rounds of settling clear cases; what is left after them is mostly a true competition."""
THRESHOLD = 0.5
"""IoU from which on pairs match, unless another is chosen."""
AP_THRESHOLDS = tuple(percent / 100 for percent in range(50, 100, 5))
"""IoU thresholds of the mean AP: 0.50, 0.55 ... 0.95 (DSB2018)."""
F1_THRESHOLDS = AP_THRESHOLDS[:9]
"""IoU thresholds of the mean F1: 0.50, 0.55 ... 0.90 (Caicedo 2019)."""


@dataclass(frozen=True)
class Preset:
    """The rule of comparison, which is part of a score.

    Attributes
    ----------
    name : str
        Short name of the preset, for the command line.
    title : str
        Name of the preset for the screen.
    strict : bool
        Whether a pair is a hit at IoU > t; otherwise at IoU >= t.
    ratio : str
        The score that is reported: "mean_ap" or "mean_f1".
    pools : bool
        Whether the score of all fields together is reported beside the mean of fields.
    """

    name: str
    title: str
    strict: bool
    ratio: str
    pools: bool

    @property
    def hit(self) -> str:
        """When a pair is a hit, in signs."""
        return "IoU > t" if self.strict else "IoU >= t"


STARDIST = Preset("stardist", "StarDist / Cellpose", strict=False, ratio="mean_ap", pools=True)
"""Schmidt et al. 2018; Stringer et al. 2021."""
DSB2018 = Preset("dsb2018", "DSB2018", strict=True, ratio="mean_ap", pools=False)
"""Caicedo et al., Nature Methods 16, 2019."""
CAICEDO2019 = Preset("caicedo2019", "Caicedo 2019", strict=True, ratio="mean_f1", pools=False)
"""Caicedo et al., Cytometry Part A 95, 2019."""
PRESETS = {preset.name: preset for preset in (STARDIST, DSB2018, CAICEDO2019)}


def find_preset(name: str) -> Preset:
    """Return the preset of a name.

    Raises
    ------
    ValueError
        If there is none; the message lists those there are.
    """
    if not isinstance(name, str) or name not in PRESETS:
        raise ValueError(f"there is no preset {name!r}; choose one of {', '.join(PRESETS)}")
    return PRESETS[name]


def assign(left: Index, right: Index, gain: NDArray[np.float64]) -> Index:
    """Choose pairs so that no object has two partners and the sum of gains is the largest.

    Parameters
    ----------
    left, right : ndarray of int, shape (k,)
        The two objects of each pair; no pair stands twice.
    gain : ndarray of float64, shape (k,)
        Gain of choosing each pair, above 0.

    Returns
    -------
    ndarray of int
        Positions of the chosen pairs, ascending.
    """
    open_pairs: Index = np.arange(len(gain))
    if _all_differ(left) and _all_differ(right):
        return open_pairs
    chosen: list[NDArray[Any]] = []
    for _ in range(_ROUNDS):
        if not len(open_pairs):
            break
        a, b, g = left[open_pairs], right[open_pairs], gain[open_pairs]
        clear = _clear(a, b, g)
        chosen.append(open_pairs[clear])
        open_pairs = open_pairs[~(_among(a, a[clear]) | _among(b, b[clear]))]
    if len(open_pairs):
        best = _solve(left[open_pairs], right[open_pairs], gain[open_pairs])
        chosen.append(open_pairs[best])
    return np.sort(np.concatenate(chosen)) if chosen else open_pairs


def _among(objects: Index, taken: Index) -> NDArray[np.bool_]:
    """Tell which objects are among those taken."""
    marks = np.zeros(int(objects.max()) + 1, dtype=np.bool_)
    marks[taken] = True
    return marks[objects]


def _clear(left: Index, right: Index, gain: NDArray[np.float64]) -> Index:
    """Find pairs that gain no less than what both objects could have with others."""
    clear = np.flatnonzero(gain >= _best_other(left, gain) + _best_other(right, gain))
    clear = clear[np.unique(left[clear], return_index=True)[1]]  # of equals the first
    return clear[np.unique(right[clear], return_index=True)[1]]


def _best_other(owner: Index, gain: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return for each pair the largest gain of its owner's other pairs; 0 without any."""
    order = np.lexsort((gain, owner))
    owners, gains = owner[order], gain[order]
    ends = np.ones(len(order), dtype=np.bool_)
    ends[:-1] = owners[1:] != owners[:-1]
    best = np.flatnonzero(ends)
    # Sorted by gain, the best of an owner comes last; before it the second best, if any
    second = np.zeros(len(best))
    several = owners[best - 1] == owners[best]
    several &= best > 0
    second[several] = gains[best[several] - 1]
    others = gains[best][np.cumsum(ends) - ends]
    others[best] = second
    result = np.empty_like(gain)
    result[order] = others
    return result


def _solve(left: Index, right: Index, gain: NDArray[np.float64]) -> Index:
    # Not above, because opening a panel would wait for this import
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import min_weight_full_bipartite_matching

    rows, row = np.unique(left, return_inverse=True)
    columns, column = np.unique(right, return_inverse=True)
    # Every left object may stay alone, with a column of its own, at no gain; the solver needs
    # weights that are not 0, hence the 1 for all.
    alone = np.arange(len(rows))
    weights = np.concatenate([1 + gain, np.ones(len(rows))])
    ends = (np.concatenate([row, alone]), np.concatenate([column, len(columns) + alone]))
    graph = coo_array((weights, ends), shape=(len(rows), len(columns) + len(rows))).tocsr()
    matched = np.full(len(rows), -1)
    one, other = min_weight_full_bipartite_matching(graph, maximize=True)
    matched[one] = other
    return np.flatnonzero(matched[row] == column)


@dataclass(frozen=True)
class Matching:
    """One-to-one pairs of true and predicted objects.

    Attributes
    ----------
    overlap : Overlap
        The pixels that true and predicted objects share.
    threshold : float
        IoU that a pair needs to match.
    pairs : ndarray of intp, shape (p,)
        Positions of the matched pairs in the overlap's list of pairs.
    strict : bool
        Whether the IoU of a pair lies above the threshold, and not just at it.
    """

    overlap: Overlap
    threshold: float
    pairs: Index
    strict: bool = False

    @property
    def truth_index(self) -> Index:
        """Matched true objects, shape (p,)."""
        return self.overlap.truth_index[self.pairs]

    @property
    def predicted_index(self) -> Index:
        """The predicted objects they are matched with, shape (p,)."""
        return self.overlap.predicted_index[self.pairs]

    @property
    def ious(self) -> NDArray[np.float64]:
        """IoU of each matched pair, shape (p,)."""
        return self.overlap.ious[self.pairs]

    @property
    def tp(self) -> int:
        """Matched pairs."""
        return len(self.pairs)

    @property
    def fp(self) -> int:
        """Predicted objects without a partner."""
        return len(self.overlap.predicted_ids) - self.tp

    @property
    def fn(self) -> int:
        """True objects without a partner."""
        return len(self.overlap.truth_ids) - self.tp


def match(overlap: Overlap, threshold: float = THRESHOLD, strict: bool = False) -> Matching:
    """Pair objects one to one: the most pairs with IoU >= threshold, then the largest sum of IoU.

    Parameters
    ----------
    overlap : Overlap
        The pixels that true and predicted objects share, as `find_overlap` gives them.
    threshold : float
        Least IoU of a pair, above 0 and at most 1.
    strict : bool
        Ask for IoU > threshold instead, as DSB2018 and Caicedo 2019 do.

    Notes
    -----
    Above 0.5 a pair is unique. At or below, objects that compete for a partner are assigned
    optimally. The counts are those of stardist's ``matching``; which of equally many pairs are
    chosen may differ below 0.5, where stardist lets pairs below the threshold decide.
    """
    check_threshold(threshold)
    hits = np.flatnonzero(overlap.reaches(threshold, strict))
    left, right = overlap.truth_index[hits], overlap.predicted_index[hits]
    # More pairs always outweigh a larger IoU
    gain = 1 + overlap.ious[hits] / (2 * len(hits))
    return Matching(overlap, threshold, hits[assign(left, right, gain)], strict)


def check_threshold(threshold: float) -> None:
    """Refuse an IoU threshold that no pair or every pair would reach."""
    if not isinstance(threshold, Real) or not 0 < threshold <= 1:
        raise ValueError(f"the IoU threshold is {threshold}; it must be above 0 and at most 1")


def _all_differ(index: Index) -> bool:
    return int(np.bincount(index).max(initial=0)) <= 1
