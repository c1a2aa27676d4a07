"""Which files of the package are entered while something is done in the viewer."""

from __future__ import annotations

import inspect
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any
from unittest import mock

from superqt.utils import WorkerBase

import napari_nucseg

PACKAGE = Path(napari_nucseg.__file__).parent


@contextmanager
def files_entered() -> Iterator[list[str]]:
    """List the package's files whose functions are called within, in the order of first calls.

    All threads count: this one, those of `threading`, and those of Qt in which jobs run. What a
    module does while it is imported does not.
    """
    entered: list[str] = []
    seen: set[str] = set()
    prefix = f"{PACKAGE}/"

    def profile(frame: FrameType, event: str, _: Any) -> None:
        path = frame.f_code.co_filename
        if event != "call" or path in seen or not path.startswith(prefix):
            return
        if not _is_import(frame):
            seen.add(path)
            entered.append(path.removeprefix(prefix))

    run = WorkerBase.run

    def run_profiled(worker: WorkerBase) -> None:
        sys.setprofile(profile)  # a thread of Qt is none of `threading`
        try:
            run(worker)
        finally:
            sys.setprofile(None)

    before = sys.getprofile()
    threading.setprofile(profile)
    with mock.patch.object(WorkerBase, "run", run_profiled):
        sys.setprofile(profile)
        try:
            yield entered
        finally:
            sys.setprofile(before)
            threading.setprofile(None)


def _is_import(frame: FrameType | None) -> bool:
    """Tell whether a frame belongs to a module of ours that is being imported."""
    while frame is not None:
        is_body = not frame.f_code.co_flags & inspect.CO_OPTIMIZED  # of a module or a class
        if is_body and frame.f_code.co_filename.startswith(str(PACKAGE)):
            return True
        frame = frame.f_back
    return False
