"""The folder of a run's results: its layout, who may write into it, and what it was begun with."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from napari_nucseg.core.fields import Field
from napari_nucseg.runs.field_records import FieldRecord, read_record
from napari_nucseg.runs.plan import Plan, differences
from napari_nucseg.runs.saving import PARTIAL, write_json

RUN_FILE = "run.json"
FORMAT = 1


@dataclass(frozen=True)
class ResultsFolder:
    """Where things are in a folder of results.

    Attributes
    ----------
    path : Path
        The folder. It holds ``run.json``, ``labels/<stem>.tif``, ``records/<stem>.json``, and at
        the end the tables and the report.
    """

    path: Path

    @property
    def run_file(self) -> Path:
        """What the run was begun with, and when and where it was at work."""
        return self.path / RUN_FILE

    @property
    def labels(self) -> Path:
        """Folder of the labels."""
        return self.path / "labels"

    def labels_file(self, stem: str) -> Path:
        """Labels of a field."""
        return self.labels / f"{stem}.tif"

    def record_file(self, stem: str) -> Path:
        """Record of a field."""
        return self.path / "records" / f"{stem}.json"

    def read(self, stem: str) -> FieldRecord | None:
        """Read what became of a field; None if it has yet to be done."""
        record = read_record(self.record_file(stem))
        if record is None or record.error is not None or self.labels_file(stem).is_file():
            return record
        return None

    @contextmanager
    def held(self) -> Iterator[None]:
        """Keep other runs out; a process that is killed lets go.

        Raises
        ------
        ValueError
            If another run is at work here.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        lock = FileLock(self.path / ".lock")
        try:
            lock.acquire(timeout=0)
        except Timeout as error:
            raise ValueError(
                f"{self.path}: another run is at work in this folder; wait until it is done, or "
                "choose another folder"
            ) from error
        try:
            self._sweep()
            yield
        finally:
            lock.release()

    def check(self, plan: Plan) -> None:
        """Refuse a folder that was begun with something else.

        Raises
        ------
        ValueError
            Naming what differs.
        """
        run = self.read_run()
        if run is None:
            taken = [p.name for p in self.path.glob("*") if p.name in ("labels", "records")]
            if taken:
                raise ValueError(
                    f"{self.path}: there is {taken[0]}/ here but no {RUN_FILE} that tells how it "
                    "came about; choose another folder"
                )
            return
        found = differences(run["plan"], plan)
        if found:
            raise ValueError(
                f"{self.path}: this folder holds another run. {'; '.join(found)}. Choose another "
                "folder, or the same values to go on"
            )

    def read_run(self) -> dict[str, Any] | None:
        """Read ``run.json``; None if there is none.

        Raises
        ------
        ValueError
            If it is no record of a run.
        """
        try:
            run = json.loads(self.run_file.read_bytes())
        except FileNotFoundError:
            return None
        except ValueError as error:
            raise ValueError(f"{self.run_file}: not a record of a run ({error})") from error
        if not isinstance(run, dict) or run.get("format") != FORMAT:
            raise ValueError(
                f"{self.run_file}: not a record of a run as this version writes it; choose another "
                "folder"
            )
        return run

    def write_run(self, run: Mapping[str, Any]) -> None:
        """Write ``run.json``."""
        write_json(self.run_file, {"format": FORMAT, **run})

    def check_unchanged(self, field: Field, record: FieldRecord) -> None:
        """Refuse to go on with a field that is done and whose files are others now.

        Raises
        ------
        ValueError
            Naming the file.
        """
        for kind, checksum in record.checksums.items():
            source = field.image if kind == "image" else field.mask
            if source is None or source.sha256() != checksum:
                raise ValueError(
                    f"{source or field.stem}: the {kind} is not the one that was scored in "
                    f"{self.path}; choose another folder to begin anew"
                )

    def _sweep(self) -> None:
        """Remove what a killed process left half-written."""
        for folder in (self.path, self.labels, self.path / "records"):
            for path in folder.glob(f"*{PARTIAL}"):
                path.unlink(missing_ok=True)
