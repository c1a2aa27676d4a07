"""Which channel of an image shows the nuclei, and along which axis its channels lie."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

COLOURS = ("red", "green", "blue")
MEAN = "mean"
MOST_COLOURS = 4
"""Length up to which an axis may be one of channels although nothing says so."""

End = Literal["first", "last"]
"""Which axis of an array holds the channels."""


@dataclass(frozen=True)
class Channel:
    """A choice among the channels of an image.

    Attributes
    ----------
    name : str
        A number from 1; red, green or blue for 1 to 3; or mean, of all but transparency.
    end : str or None
        Which axis holds the channels; needed where neither the file nor the lengths of the axes
        tell.
    """

    name: str
    end: End | None = None

    def __post_init__(self) -> None:
        """Refuse what is no channel."""
        if self.name not in (MEAN, *COLOURS) and not (self.name.isdecimal() and int(self.name)):
            raise ValueError(
                f"channel is {self.name!r}; it must be a number from 1, {', '.join(COLOURS)} or "
                f"{MEAN}"
            )

    def take(self, data: NDArray[Any], axis: int, colours: int) -> NDArray[Any]:
        """Take the channel out of an array.

        Parameters
        ----------
        data : ndarray
            With channels along an axis.
        axis : int
            The axis.
        colours : int
            How many of the channels are colours, not transparency.

        Raises
        ------
        ValueError
            If there is no such channel.
        """
        if self.name == MEAN:
            return np.asarray(data.take(range(colours), axis).mean(axis))
        number = COLOURS.index(self.name) + 1 if self.name in COLOURS else int(self.name)
        if number > colours:
            raise ValueError(f"it has {colours} channels; choose channel 1 to {colours}, or {MEAN}")
        return np.asarray(data.take(number - 1, axis))

    def describe(self, colours: int) -> str:
        """Say which channel it is of how many."""
        if self.name == MEAN:
            return f"mean of {colours} channels"
        return f"channel {self.name} of {colours}"


def find_axis(shape: tuple[int, ...], axes: str, channel: Channel | None) -> int | None:
    """Find the axis of channels; None for a grey image, or a stack if no channel was chosen.

    Parameters
    ----------
    shape : tuple of int
        Of the array.
    axes : str
        A letter an axis: C for channels, S for the samples of a colour, others as the file says.
    channel : Channel or None
        What was chosen, if anything.

    Raises
    ------
    ValueError
        If a channel has to be chosen first, or it cannot be told where the channels lie.
    """
    told = [index for index, letter in enumerate(axes) if letter in "CS" and shape[index] > 1]
    if len(told) > 1:
        raise ValueError(f"both of its axes {axes} hold channels; save those of one image alone")
    if channel is None:
        _refuse_unchosen(shape, axes)
        return None
    if channel.end is not None:
        wanted = 0 if channel.end == "first" else len(shape) - 1
        if len(shape) < 3 or (told and told != [wanted]):
            raise ValueError(f"its {channel.end} axis, of shape {shape}, holds no channels")
        return wanted
    if told:
        return told[0]
    short = [index for index in (0, len(shape) - 1) if shape[index] <= MOST_COLOURS]
    if len(shape) < 3 or not short:
        raise ValueError(
            f"no axis of its shape {shape} is known to hold channels; say which does, the first or "
            "the last (segment --channel-axis), or choose no channel"
        )
    if len(short) > 1:
        raise ValueError(
            f"its channels, of shape {shape}, may lie along the first axis or the last; say which "
            "(segment --channel-axis)"
        )
    return short[0]


def _refuse_unchosen(shape: tuple[int, ...], axes: str) -> None:
    """Refuse colours; channels of their own are planes, among which a user chooses as in a stack.

    ImageJ's files often call planes channels.
    """
    samples = axes.find("S")
    if samples < 0 and len(shape) > 2 and shape[-1] <= MOST_COLOURS < shape[-2]:
        samples = len(shape) - 1
    if samples >= 0 and shape[samples] > 1:
        raise ValueError(
            f"a colour image of shape {shape}; nuclei are segmented in one channel: choose it "
            f"(segment --channel 1 to {shape[samples]}, or {MEAN}), or save it as a grey TIFF"
        )
