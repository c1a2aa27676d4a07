"""Scores by their definitions, on sets of pixels and exact fractions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fractions import Fraction
from functools import lru_cache
from itertools import product

import numpy as np

Pixels = Mapping[int, frozenset[int]]
Ious = Mapping[tuple[int, int], Fraction]


def pixels_of(labels: np.ndarray) -> Pixels:
    """Each object's set of pixels."""
    flat = labels.ravel()
    inside = np.flatnonzero(flat)
    inside = inside[np.argsort(flat[inside], kind="stable")]
    numbers, starts = np.unique(flat[inside], return_index=True)
    parts = np.split(inside, starts[1:])
    return {
        int(number): frozenset(part.tolist()) for number, part in zip(numbers, parts, strict=False)
    }


@lru_cache(2000)
def shared(one: frozenset[int], other: frozenset[int]) -> int:
    """Pixels in both, remembered, since every score asks for them."""
    return len(one & other)


def united(one: frozenset[int], other: frozenset[int]) -> int:
    return len(one) + len(other) - shared(one, other)


def exact_iou(one: frozenset[int], other: frozenset[int]) -> Fraction:
    return Fraction(shared(one, other), united(one, other))


def exact_ious(truth: np.ndarray, predicted: np.ndarray) -> dict[tuple[int, int], Fraction]:
    """IoU of every pair of objects that share a pixel."""
    return pairwise(pixels_of(truth), pixels_of(predicted))


def pairwise(true: Pixels, found: Pixels) -> dict[tuple[int, int], Fraction]:
    owner = {pixel: b for b, pixels in found.items() for pixel in pixels}
    return {
        (a, b): exact_iou(pixels, found[b])
        for a, pixels in true.items()
        for b in sorted({owner[pixel] for pixel in pixels if pixel in owner})
    }


def aji(true: Pixels, found: Pixels, ious: Ious) -> Fraction | None:
    """Of every true object its best partner, the first of equals; None where nothing is."""
    inside, union, used = 0, 0, set()
    for a, pixels in true.items():
        partners = [b for (one, b) in ious if one == a]
        if not partners:
            union += len(pixels)
            continue
        best = max(partners, key=lambda b: (ious[a, b], -b))
        used.add(best)
        inside += shared(pixels, found[best])
        union += united(pixels, found[best])
    union += sum(len(pixels) for b, pixels in found.items() if b not in used)
    return Fraction(inside, union) if union else None


def jaccard_of(pairs: frozenset[tuple[int, int]], true: Pixels, found: Pixels) -> Fraction | None:
    """What one-to-one pairs share, over all that they and the rest cover."""
    inside = sum(shared(true[a], found[b]) for a, b in pairs)
    union = sum(united(true[a], found[b]) for a, b in pairs)
    union += sum(len(true[a]) for a in true.keys() - {a for a, _ in pairs})
    union += sum(len(found[b]) for b in found.keys() - {b for _, b in pairs})
    return Fraction(inside, union) if union else None


def one_to_one(pairs: list[tuple[int, int]]) -> Iterator[frozenset[tuple[int, int]]]:
    """Every choice of pairs in which no object stands twice."""
    for chosen in product((False, True), repeat=len(pairs)):
        kept = [pair for pair, is_chosen in zip(pairs, chosen, strict=True) if is_chosen]
        if len({a for a, _ in kept}) == len({b for _, b in kept}) == len(kept):
            yield frozenset(kept)


def aji_plus(true: Pixels, found: Pixels, ious: Ious) -> set[Fraction | None]:
    """AJI+ of every choice of pairs that has the largest sum of IoU."""
    choices = {pairs: sum(ious[pair] for pair in pairs) for pairs in one_to_one(list(ious))}
    best = max(choices.values())
    return {jaccard_of(pairs, true, found) for pairs, total in choices.items() if total == best}


def seg(true: Pixels, found: Pixels, ious: Ious) -> Fraction | None:
    """Mean IoU of true objects that one covers by more than half."""
    if not true:
        return Fraction(0) if found else None
    hits = [iou for (a, b), iou in ious.items() if 2 * shared(true[a], found[b]) > len(true[a])]
    return sum(hits, Fraction(0)) / len(true)


def caicedo(true: Pixels, found: Pixels, ious: Ious) -> dict[str, int]:
    """Splits, merges, and missed and all true objects of each size class."""
    parts = [pair for pair, iou in ious.items() if iou > Fraction(1, 10)]
    counts = {
        "splits": sum(sum(one == a for one, _ in parts) > 1 for a in true),
        "merges": sum(sum(other == b for _, other in parts) > 1 for b in found),
    }
    matched = {a for (a, _), iou in ious.items() if iou > Fraction(7, 10)}
    edges = (0, 250, 625, 900, 10_000)
    names = ("tiny", "small", "normal", "large")
    for name, low, high in zip(names, edges, edges[1:], strict=False):
        inside = {a for a, pixels in true.items() if low < len(pixels) <= high}
        counts |= {f"missed_{name}": len(inside - matched), f"true_{name}": len(inside)}
    return counts
