"""Which channel of an image shows the nuclei, and along which axis its channels lie."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

COLOURS = ("red", "green", "blue")
MEAN = "mean"
HAEMATOXYLIN = "haematoxylin"
"""The stain of the nuclei in histology, separated from the other stains by its colour."""
_SPELLINGS = {"hematoxylin": HAEMATOXYLIN}
_DARK = 0.2
"""Share of the brightest pixel's intensity up to which a pixel is dark."""
_MOST = 0.6
"""Share of the pixels that are most of them."""
_SAMPLE = 256
"""Rows and columns, at most, of the pixels that a proposal is made from."""
_CLEARLY = 2.0
"""How many times the contrast of any other channel one needs to be proposed."""
MOST_COLOURS = 4
"""Length up to which an axis may be one of channels although nothing says so."""

FIELD, TIME, CHANNEL, DEPTH = "field", "time", "channel", "depth"
"""What an axis before height and width may hold."""
_SAID = {"p": FIELD, "position": FIELD, "t": TIME, "c": CHANNEL, "channels": CHANNEL, "z": DEPTH}
"""What names of axes say, beside the words themselves."""

End = Literal["first", "last"]
"""Which axis of an array holds the channels."""


class ChannelNeededError(ValueError):
    """An image whose channel has to be chosen.

    Parameters
    ----------
    reason : str
        What is wrong, and what helps wherever no channel can be chosen.
    choices : str
        The channels that there are.
    proposal : str
        The one to try first; empty if none is likely.
    """

    def __init__(self, reason: str, choices: str = "", proposal: str = "") -> None:
        super().__init__(reason)
        self.reason, self.choices, self.proposal = reason, choices, proposal


@dataclass(frozen=True)
class Channel:
    """A choice among the channels of an image.

    Attributes
    ----------
    name : str
        A number from 1; red, green or blue for 1 to 3; mean, of all but transparency; or
        haematoxylin, of three colours.
    end : str or None
        Axis that holds the channels; needed where neither the file nor the lengths of the axes
        tell.
    """

    name: str
    end: End | None = None

    def __post_init__(self) -> None:
        """Refuse what is no channel."""
        names = (*COLOURS, MEAN, HAEMATOXYLIN)
        if self.name not in names and not (self.name.isdecimal() and int(self.name)):
            raise ValueError(
                f"channel is {self.name!r}; it must be a number from 1, {', '.join(names[:-1])} or "
                f"{HAEMATOXYLIN}"
            )

    @classmethod
    def named(cls, name: str, end: End | None = None) -> Self:
        """Make a choice of what a user typed, in capitals or not, in British spelling or not.

        Raises
        ------
        ValueError
            If it is no channel.

        Examples
        --------
        >>> Channel.named("Hematoxylin")
        Channel(name='haematoxylin', end=None)
        """
        lower = name.lower()
        return cls(_SPELLINGS.get(lower, lower), end)

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

        Notes
        -----
        Nuclei are bright in haematoxylin, of which the optical density is returned.
        """
        if self.name == HAEMATOXYLIN:
            if colours != 3:
                raise ValueError(
                    f"{HAEMATOXYLIN} is separated by its red, green and blue, and it has {colours} "
                    f"channels; choose channel 1 to {colours}, or {MEAN}"
                )
            return _separate(np.moveaxis(data.take(range(3), axis), axis, -1))
        if self.name == MEAN:
            return np.asarray(data.take(range(colours), axis).mean(axis))
        number = COLOURS.index(self.name) + 1 if self.name in COLOURS else int(self.name)
        if number > colours:
            raise ValueError(f"it has {colours} channels; choose channel 1 to {colours}, or {MEAN}")
        return np.asarray(data.take(number - 1, axis))

    def describe(self, colours: int) -> str:
        """Say which channel it is of how many."""
        if self.name in (MEAN, HAEMATOXYLIN):
            return f"{self.name} of {colours} channels"
        return f"channel {self.name} of {colours}"


def propose_channel(picture: Any) -> str:
    """Tell which channel of a colour image is likely to show the nuclei.

    On bright ground, and where most pixels are pink to violet, as in histology, that is
    haematoxylin; else the colour whose contrast is at least twice that of any other; else the
    mean.

    Parameters
    ----------
    picture : array, shape (height, width, 3 or 4)
        Red, green, blue, and perhaps transparency; a lazy array is sliced before it is read.

    Returns
    -------
    str
        The name of a `Channel`.

    Examples
    --------
    >>> blue_discs = np.zeros((60, 60, 3), dtype=np.uint8)
    >>> blue_discs[20:30, 20:30] = 10, 20, 200
    >>> propose_channel(blue_discs)
    'blue'
    >>> propose_channel(255 - blue_discs)
    'haematoxylin'
    >>> propose_channel(np.zeros((60, 60, 3)))
    'mean'
    """
    rows, columns = (-(-edge // _SAMPLE) or 1 for edge in picture.shape[:2])
    sample = np.asarray(picture[::rows, ::columns, :3], dtype=np.float64)
    if not sample.size or not np.isfinite(sample).all():
        return MEAN
    grey = sample.mean(axis=-1)
    if np.median(grey) > (grey.min() + grey.max()) / 2 or _is_stained(sample, grey):
        return HAEMATOXYLIN
    contrasts = sample.std(axis=(0, 1))
    second, first = np.argsort(contrasts)[-2:]
    is_clear = contrasts[first] > 0 and contrasts[first] >= _CLEARLY * contrasts[second]
    return COLOURS[first] if is_clear else MEAN


def _is_stained(sample: NDArray[np.float64], grey: NDArray[np.float64]) -> bool:
    """Whether light went through stains: pixels are not dark, and green is what is missing."""
    red, green, blue = np.moveaxis(sample, -1, 0)
    pink = (green < red) & (green < blue) & (grey > _DARK * grey.max())
    return bool(pink.mean() > _MOST)


def find_axis(
    shape: tuple[int, ...], axes: str, channel: Channel | None, data: NDArray[Any] | None = None
) -> int | None:
    """Find the axis of channels; None for a grey image, or a stack if no channel was chosen.

    Parameters
    ----------
    shape : tuple of int
        Shape of the array.
    axes : str
        A letter an axis: C for channels, S for the samples of a colour, others as the file says.
    channel : Channel or None
        What was chosen, if anything.
    data : ndarray, optional
        The array, if it was read, so that a channel can be proposed where one has to be chosen.

    Raises
    ------
    ValueError
        If a channel has to be chosen first, or it cannot be told where the channels lie.
    """
    told = [index for index, letter in enumerate(axes) if letter in "CS" and shape[index] > 1]
    if len(told) > 1:
        raise ValueError(f"both of its axes {axes} hold channels; save those of one image alone")
    if channel is None:
        _refuse_unchosen(shape, axes, data)
        return None
    if channel.end is not None:
        wanted = 0 if channel.end == "first" else len(shape) - 1
        if len(shape) < 3 or (told and told != [wanted]):
            raise ValueError(f"its {channel.end} axis, of shape {shape}, holds no channels")
        return wanted
    if told:
        return told[0]
    unknown = (index for index in (0, len(shape) - 1) if axes[index] not in "TZ")
    short = [index for index in unknown if shape[index] <= MOST_COLOURS]
    if len(shape) < 3 or not short:
        ways = "say which axis does, the first or the last, or " if len(shape) > 2 else ""
        raise ValueError(
            f"no axis of its shape {shape} is known to hold channels; {ways}choose no channel"
        )
    if len(short) > 1:
        raise ValueError(
            f"its channels, of shape {shape}, may lie along the first axis or the last; say which"
        )
    return short[0]


def said_by(name: str) -> str | None:
    """Tell what the name of an axis, such as Z or time, says that it holds; None if nothing."""
    word = name.lower()
    return word if word in _SAID.values() else _SAID.get(word)


def stack_shape(shape: Sequence[int], axes: Sequence[str]) -> tuple[int, ...]:
    """Return the shape of a stack in one channel: a first axis of channels is left out.

    One behind others is 1 long: napari lays layers over one another by their last axes.

    >>> stack_shape((2, 3), (CHANNEL, DEPTH)), stack_shape((3, 2), (DEPTH, CHANNEL))
    ((3,), (3, 1))
    """
    stack = tuple(1 if held == CHANNEL else n for n, held in zip(shape, axes, strict=True))
    return stack[1:] if axes and axes[0] == CHANNEL else stack


def count_colours(count: int, letter: str) -> int:
    """Count the channels along an axis of a letter that are colours, not transparency."""
    return count - 1 if letter == "S" and count in (2, 4) else count


def _separate(rgb: NDArray[Any]) -> NDArray[np.float32]:
    """Separate the haematoxylin of colours along the last axis; 0 where there is none."""
    from skimage.color import rgb2hed  # a panel that opens would wait for it

    whites = {np.uint8: 255.0, np.uint16: 65535.0}
    # Of other types it is not known what is white
    white = whites.get(rgb.dtype.type) or max(1.0, float(rgb.max(initial=0)))
    light = np.divide(rgb, white, dtype=np.float32, casting="unsafe")
    return np.ascontiguousarray(rgb2hed(light)[..., 0])


def find_samples(shape: tuple[int, ...], axes: str) -> int | None:
    """Find the axis of the samples of a colour, which the file names or which is short and last."""
    samples = axes.find("S")
    if samples < 0 and len(shape) > 2 and shape[-1] <= MOST_COLOURS < shape[-2]:
        samples = len(shape) - 1
    return samples if samples >= 0 and shape[samples] > 1 else None


def _refuse_unchosen(shape: tuple[int, ...], axes: str, data: NDArray[Any] | None) -> None:
    """Refuse colours; channels of their own are planes, among which a user chooses as in a stack.

    ImageJ's files often call planes channels.
    """
    samples = find_samples(shape, axes)
    if samples is None:
        return
    proposal = ""
    if data is not None and count_colours(shape[samples], axes[samples]) == 3:
        picture = np.moveaxis(data, samples, -1)
        first = (0,) * (picture.ndim - 3)
        proposal = propose_channel(picture[first])
    raise ChannelNeededError(
        f"a colour image of shape {shape}; nuclei are segmented in one channel: save it as a grey "
        "TIFF",
        f"1 to {shape[samples]}, or {MEAN}",
        proposal,
    )
