"""What is kept of one field: all that the tables of a run are made from."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from napari_nucseg.analysis.object_rows import Columns
from napari_nucseg.io.writers import write_text
from napari_nucseg.metrics.aggregated import AreaCounts
from napari_nucseg.metrics.boundary_counts import BoundaryCounts
from napari_nucseg.metrics.counts import CaicedoCounts, ObjectCounts, PixelCounts, VerdictCounts
from napari_nucseg.metrics.ignoring import IgnoredCounts
from napari_nucseg.metrics.presets import find_preset
from napari_nucseg.metrics.score import Score


@dataclass(frozen=True)
class FieldRecord:
    """A field that was segmented and scored, or the error that came instead.

    Attributes
    ----------
    stem : str
        Name of the field, as its files have it.
    host : str
        Name of the computer that did it.
    seconds : float
        Reading, segmenting, scoring and writing the labels.
    checksums : mapping
        sha256 of the field's "image" and "mask", by these names.
    error : str or None
        Message of the error that the field failed with; the following values are missing then.
    score : Score or None
        Score against the ground truth; None if the field failed.
    made : mapping
        Provenance of the labels, as their file holds it.
    objects : dict of str to list
        A row for every object, see `object_columns`.
    """

    stem: str
    host: str
    seconds: float
    checksums: Mapping[str, str]
    error: str | None = None
    score: Score | None = None
    made: Mapping[str, Any] | None = None
    objects: Columns | None = None


def write_record(path: Path, record: FieldRecord) -> None:
    """Write a record as JSON; numbers are read back as they were, to the last bit."""
    score = None if record.score is None else _as_dict(record.score)
    values = {
        "stem": record.stem,
        "host": record.host,
        "seconds": round(record.seconds, 4),
        "checksums": dict(record.checksums),
        "error": record.error,
        "score": score,
        "made": None if record.made is None else dict(record.made),
        "objects": record.objects,
    }
    write_text(path, json.dumps(values, allow_nan=False, separators=(",", ":")) + "\n")


def read_record(path: Path) -> FieldRecord | None:
    """Read a record; None where there is none, or none that can be read."""
    try:
        values = json.loads(path.read_bytes())
        score = values.pop("score")
        objects = values.pop("objects")
        if objects is not None:
            objects["partners"] = [tuple(partners) for partners in objects["partners"]]
        return FieldRecord(
            **values, score=None if score is None else _from_dict(score), objects=objects
        )
    except (FileNotFoundError, ValueError, LookupError, TypeError, AttributeError):
        return None  # the field is done again


def _as_dict(score: Score) -> dict[str, Any]:
    values = asdict(score) | {"preset": score.preset.name}
    if score.ignored is None:
        del values["ignored"]
    return values


def _from_dict(values: Mapping[str, Any]) -> Score:
    boundaries, ignored = values["boundaries"], values.get("ignored")
    return Score(
        threshold=values["threshold"],
        preset=find_preset(values["preset"]),
        pixels=PixelCounts(**values["pixels"]),
        objects=ObjectCounts(**values["objects"]),
        by_threshold=tuple(ObjectCounts(**counts) for counts in values["by_threshold"]),
        verdicts=VerdictCounts(**values["verdicts"]),
        areas=AreaCounts(**values["areas"]),
        caicedo=CaicedoCounts(**values["caicedo"]),
        boundaries=None if boundaries is None else BoundaryCounts(**boundaries),
        ignored=None if ignored is None else IgnoredCounts(**ignored),
    )
