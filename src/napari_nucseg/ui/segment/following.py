"""Which fields can follow the sliders without the network, and what keeps the others from it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from napari_nucseg.core.parameters import SegmentParams
from napari_nucseg.ui.segment.kept import Parts
from napari_nucseg.ui.segment.predictions import Provenance, parts_of


@dataclass
class Plan:
    """What becomes of fields when a slider moves.

    Attributes
    ----------
    fields : list of Parts
        Those that can follow.
    reasons : list of str
        What has changed that the network has to run for.
    outdated, absent : int
        Fields that the network has to run for, and that are not in memory.
    volumes : int
        Fields that are planes of a volume, of which no network output is kept.
    """

    fields: list[Parts] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)
    outdated: int = 0
    absent: int = 0
    volumes: int = 0

    @property
    def remark(self) -> str:
        """Say what keeps fields from following; empty if nothing does."""
        if not self.outdated and not self.absent and not self.volumes:
            return ""
        several = len(self.fields) + self.outdated + self.absent > 1
        why = []
        if self.outdated:
            who = f" in {_fields(self.outdated)}" if several else ""
            why.append(f"{', '.join(self.reasons)} needs the network{who}")
        if self.absent:
            who = _fields(self.absent) if several else "this field's result is"
            why.append(f"{who} not in memory")
        if self.volumes:
            why.append("a volume follows no slider")
        return f"Press Segment: {'; '.join(why)}."


def plan(
    planes: Iterable[int],
    told: Mapping[int, Provenance],
    known: Mapping[int, Parts],
    params: SegmentParams,
    channel: str,
) -> Plan:
    """Tell which fields can get labels of other values without the network.

    Parameters
    ----------
    planes : iterable of int
        Fields that are to follow; those that were never segmented are left out.
    told : mapping
        How each field in the layer was made.
    known : mapping
        What is in memory, by field.
    params : SegmentParams
        The other values.
    channel : str
        Of a colour image; empty for a grey one.
    """
    result = Plan()
    reasons: dict[str, None] = {}
    for plane in planes:
        if plane not in told:
            continue
        if told[plane].get("depth"):
            result.volumes += 1
            continue
        parts = known.get(plane, {})
        outdated = _outdated(parts, params, channel)
        if len(parts) != len(parts_of(told[plane])):
            result.absent += 1
        elif outdated:
            result.outdated += 1
            reasons |= outdated
        else:
            result.fields.append(parts)
    result.reasons = list(reasons)
    return result


def _outdated(parts: Parts, params: SegmentParams, channel: str) -> dict[str, None]:
    reasons: dict[str, None] = {}
    for spot, kept in parts.items():
        if spot.channel != channel:
            reasons["Channel"] = None
        reasons |= dict.fromkeys(kept.result.outdated_by(params))
    return reasons


def _fields(count: int) -> str:
    return "1 field" if count == 1 else f"{count} fields"
