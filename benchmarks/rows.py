"""What was measured, what it is judged by, and how both are shown."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol

from benchmarks.machine import Machine

_HEADER = ("What", "Ours", "Peer", "Ratio", "Bar", "Verdict")


@dataclass(frozen=True)
class Peer:
    """Another way to do the same, and the seconds it took."""

    name: str
    seconds: float


class Bar(Protocol):
    """What a time has to reach; its text is shown."""

    def is_met(self, ours: float, peer: Peer | None) -> bool:
        """Judge our seconds, beside the peer's where the bar is relative."""
        ...


@dataclass(frozen=True)
class Within:
    """So many seconds at most."""

    seconds: float

    def __str__(self) -> str:
        return f"at most {_duration(self.seconds)}"

    def is_met(self, ours: float, peer: Peer | None) -> bool:
        """See `Bar`."""
        return ours <= self.seconds


@dataclass(frozen=True)
class TimesFaster:
    """At least so many times faster than the peer."""

    times: float

    def __str__(self) -> str:
        return f"at least {self.times:g} x faster"

    def is_met(self, ours: float, peer: Peer | None) -> bool:
        """See `Bar`."""
        return ours * self.times <= _required(peer).seconds


@dataclass(frozen=True)
class TimesPeer:
    """At most so many times the peer's seconds."""

    times: float

    def __str__(self) -> str:
        return f"at most {self.times:g} x its time"

    def is_met(self, ours: float, peer: Peer | None) -> bool:
        """See `Bar`."""
        return ours <= self.times * _required(peer).seconds


@dataclass(frozen=True)
class NotAbove:
    """At most so many times the peer's amount, of what is no time."""

    times: float

    def __str__(self) -> str:
        return f"at most {self.times:g} x as much"

    def is_met(self, ours: float, peer: Peer | None) -> bool:
        """See `Bar`."""
        return ours <= self.times * _required(peer).seconds


@dataclass(frozen=True)
class Gigabytes:
    """So many gigabytes at most."""

    most: float

    def __str__(self) -> str:
        return f"at most {self.most:g} GB"

    def is_met(self, ours: float, peer: Peer | None) -> bool:
        """See `Bar`."""
        return ours <= self.most


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Attributes
    ----------
    what : str
        What was done.
    ours : float
        Median seconds, or an amount in the unit.
    peer : Peer or None
        What it is compared with.
    bar : Bar or None
        What it is judged by.
    unit : str
        "s", or "GB" for memory; a peer's amount is in the same.
    """

    what: str
    ours: float
    peer: Peer | None = None
    bar: Bar | None = None
    unit: str = "s"

    @property
    def times_faster(self) -> float | None:
        """How many times the peer's speed ours is."""
        return None if self.peer is None else self.peer.seconds / self.ours

    @property
    def is_met(self) -> bool | None:
        """Whether the bar is; None without one."""
        return None if self.bar is None else self.bar.is_met(self.ours, self.peer)


def table(rows: Sequence[Row]) -> str:
    """Draw the rows as a Markdown table."""
    lines = [_HEADER, ("---",) * len(_HEADER), *map(_cells, rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def as_json(machine: Machine, rows: Sequence[Row]) -> str:
    """Write all that the table shows as one JSON object, times in seconds."""
    record = {"machine": asdict(machine), "rows": [_record(row) for row in rows]}
    return json.dumps(record, indent=2, allow_nan=False)


def _cells(row: Row) -> tuple[str, ...]:
    peer = "" if row.peer is None else f"{row.peer.name}: {_amount(row.peer.seconds, row.unit)}"
    bar = "" if row.bar is None else str(row.bar)
    verdict = {None: "", True: "met", False: "**missed**"}[row.is_met]
    ratio = _ratio(row.times_faster) if row.unit == "s" else ""
    return row.what, _amount(row.ours, row.unit), peer, ratio, bar, verdict


def _record(row: Row) -> dict[str, Any]:
    return {
        "what": row.what,
        "ours": row.ours,
        "unit": row.unit,
        "peer": None if row.peer is None else asdict(row.peer),
        "times_faster": row.times_faster,
        "bar": None if row.bar is None else str(row.bar),
        "met": row.is_met,
    }


def _ratio(times_faster: float | None) -> str:
    if times_faster is None:
        return ""
    if times_faster >= 1:
        return f"{times_faster:.2f} x faster"
    return f"{1 / times_faster:.2f} x slower"


def _amount(amount: float, unit: str) -> str:
    return _duration(amount) if unit == "s" else f"{amount:.3g} {unit}"


def _duration(seconds: float) -> str:
    if round(seconds, 3) < 1:
        return f"{1000 * seconds:.3g} ms"
    return f"{seconds:.4g} s"


def _required(peer: Peer | None) -> Peer:
    if peer is None:
        raise ValueError("a bar that compares needs a peer")
    return peer
