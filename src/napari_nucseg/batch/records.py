"""What a run writes down to go on from: the record of a field, and ``run.json``, each checked."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, fields
from pathlib import Path
from typing import Annotated, Any, Literal, get_type_hints

from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model

from napari_nucseg.analysis.score_records import Columns
from napari_nucseg.io.labelled import (
    Count,
    Flag,
    Label,
    Made,
    Number,
    Plain,
    Sum,
    Text,
    first_of,
)
from napari_nucseg.io.sources import Source
from napari_nucseg.io.writers import write_text
from napari_nucseg.metrics.boundaries import BoundaryCounts
from napari_nucseg.metrics.counts import AreaCounts, CaicedoCounts, ObjectCounts, PixelCounts
from napari_nucseg.metrics.ignoring import IgnoredCounts
from napari_nucseg.metrics.matching import PRESETS, find_preset
from napari_nucseg.metrics.score import Score
from napari_nucseg.metrics.verdicts import VerdictCounts

FORMAT = 1
Share = Annotated[float, Field(strict=True, ge=0, le=1)]
_KINDS: dict[Any, Any] = {int: Count, float: Sum, str | None: Text | None}


def _counts(kind: type) -> Any:
    """Make the schema of a dataclass of counts: all its fields, none negative, and no others."""
    hints, made = get_type_hints(kind), dict[str, Any]()
    for one in fields(kind):
        made[one.name] = (_KINDS[hints[one.name]], ... if one.default is MISSING else one.default)
    return create_model(kind.__name__, __config__=ConfigDict(extra="forbid"), **made)


_Objects = _counts(ObjectCounts)


class _Score(BaseModel):
    threshold: Share
    preset: Text
    pixels: _counts(PixelCounts)  # type: ignore[valid-type]
    objects: _Objects  # type: ignore[valid-type]
    by_threshold: list[_Objects]  # type: ignore[valid-type]
    verdicts: _counts(VerdictCounts)  # type: ignore[valid-type]
    areas: _counts(AreaCounts)  # type: ignore[valid-type]
    caicedo: _counts(CaicedoCounts)  # type: ignore[valid-type]
    boundaries: _counts(BoundaryCounts) | None  # type: ignore[valid-type]
    ignored: _counts(IgnoredCounts) | None = None  # type: ignore[valid-type]


class _Columns(BaseModel):
    """The objects of a field, in the order that tables have."""

    model_config = ConfigDict(extra="forbid")
    field: list[Text]
    side: list[Literal["truth", "predicted"]]
    object: list[Label]
    verdict: list[Text]
    beside_error: list[Flag]
    iou: list[Share]
    area_px: list[Count]
    centroid_y_px: list[Number]
    centroid_x_px: list[Number]
    area_um2: list[Sum] | None = None
    centroid_y_um: list[Number] | None = None
    centroid_x_um: list[Number] | None = None
    partners: list[list[Label]]
    preset: list[Text]
    threshold: list[Share]
    corrected: list[Flag | None] | None = None


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid")
    stem: Text
    host: Text
    seconds: Sum
    checksums: dict[Text, Text]
    error: Text | None
    score: _Score | None
    made: Made | None
    objects: _Columns | None
    corrected: Count = 0


class _Rule(BaseModel):
    threshold: Share
    preset: Literal[tuple(PRESETS)]  # type: ignore[valid-type]
    empty_as_one: Flag
    ignore_border: Flag = False


class _Plan(BaseModel):
    model_config = ConfigDict(extra="allow", protected_namespaces=())
    dataset: Text
    model: Text
    weights_sha256: dict[Text, Text]
    parameters: dict[Text, Plain]
    rule: _Rule
    has_scale: Flag = False
    versions: dict[Text, Text]
    absent: list[Text]
    splits: dict[Text, list[Text]]


_File = tuple[Text, Text | None] | None


class _Source(BaseModel):
    image: _File
    mask: _File
    split: Text | None
    components: Flag = False
    title: Text = ""
    channel: Text | None = None
    well: Text | None = None
    site: Count | None = None


class _Machine(BaseModel):
    host: Text
    processor: Text
    cores: Count
    memory_gb: Sum
    system: Text
    python: Text


class _Session(BaseModel):
    command: list[Text]
    machine: _Machine
    started: Text
    ended: Text | None


class _Run(BaseModel):
    format: Literal[1]
    plan: _Plan
    sources: dict[Text, _Source]
    sessions: list[_Session]


def parse_run(content: bytes) -> dict[str, Any]:
    """Read what ``run.json`` holds.

    Raises
    ------
    ValueError
        Naming the first value that is wrong.
    """
    try:
        run: dict[str, Any] = json.loads(content)
        _Run.model_validate(run)
    except ValidationError as error:
        raise ValueError(first_of(error)) from error
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    return run


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
        A row for every object, see `object_columns`, and whether it was ``corrected`` by hand.
    corrected : int
        Number of nuclei of the ground truth that were edited by hand before they were scored.
    """

    stem: str
    host: str
    seconds: float
    checksums: Mapping[str, str]
    error: str | None = None
    score: Score | None = None
    made: Mapping[str, Any] | None = None
    objects: Columns | None = None
    corrected: int = 0


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
        "corrected": record.corrected,
    }
    write_text(path, json.dumps(values, allow_nan=False, separators=(",", ":")) + "\n")


def read_record(path: Path) -> FieldRecord | None:
    """Read a record; None where there is none, or none that can be read."""
    try:
        values = json.loads(Source(path).read())
        _Record.model_validate(values)
        score, objects = values.pop("score"), values.pop("objects")
        if score is not None and (objects is None or {"seconds", "device"} - values["made"].keys()):
            return None
        scored = "mask" in values["checksums"]
        if values["error"] is None and (values["made"] is None or scored is (score is None)):
            return None
        return FieldRecord(
            **values,
            score=None if score is None else _from_dict(score),
            objects=None if objects is None else _in_order(objects),
        )
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return None  # the field is done again


def _in_order(objects: Columns) -> Columns:
    """Return columns as tables have them; a ValueError if they are not of equal length."""
    count = len(objects["object"])
    objects["partners"] = [tuple(partners) for partners in objects["partners"]]
    objects.setdefault("corrected", [None] * count)  # once not recorded
    columns = {name: objects[name] for name in _Columns.model_fields if name in objects}
    if any(column is None or len(column) != count for column in columns.values()):
        raise ValueError("columns differ in length")
    return columns


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
