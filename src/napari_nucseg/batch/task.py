"""What is done with each of many things, and who does it, told apart so that any can do any."""

from __future__ import annotations

import platform
import threading
from collections.abc import Iterator, Sequence
from typing import Protocol, TypeVar

from napari_nucseg.batch.plan import Setup
from napari_nucseg.progress import Progress
from napari_nucseg.segmenters.api import Provenance

MODEL_TURN = threading.Lock()
"""Held while the model is used: a process has one, which takes one image at a time."""


class Named(Protocol):
    """A thing to be done, with a name for the screen."""

    @property
    def name(self) -> str:
        """Short name."""


Item = TypeVar("Item", bound=Named)
Result = TypeVar("Result")
_Item = TypeVar("_Item", bound=Named, contravariant=True)
_Result = TypeVar("_Result", covariant=True)


class Task(Protocol[_Item, _Result]):
    """A function of a thing that can be sent to other processes; it writes what it makes itself.

    What is wrong with the thing is in the result; an error that others would meet, too, is raised.
    """

    def __call__(self, item: _Item, /) -> _Result:
        """Do it."""

    def blame(self, item: _Item, reason: str, /) -> _Result:
        """Return, and write down, that a thing cannot be done."""


class Executor(Protocol):
    """Does all of many things, here or elsewhere, in any order."""

    def __call__(
        self, work: Task[Item, Result], items: Sequence[Item], progress: Progress, /
    ) -> Iterator[Result]:
        """Yield what became of each."""


def run_serially(
    work: Task[Item, Result], items: Sequence[Item], progress: Progress, /
) -> Iterator[Result]:
    """Do things one after the other in this process."""
    for done, item in enumerate(items):
        progress(done, len(items), item.name)
        yield work(item)


def check_weights(setup: Setup, made: Provenance) -> None:
    """Refuse labels by other weights than the run was begun with.

    Raises
    ------
    ValueError
        Naming the machine.
    """
    if made.weights_sha256 not in ("", *setup.weights.values()):
        raise ValueError(
            f"{platform.node()} has other weights of {setup.model} than the run was begun with; "
            "copy the same file to all machines"
        )


def in_words(error: Exception) -> str:
    """Errors that were foreseen in their own words, others with their kind."""
    foreseen = isinstance(error, ValueError | OSError)
    return str(error) if foreseen else f"{type(error).__name__}: {error}"
