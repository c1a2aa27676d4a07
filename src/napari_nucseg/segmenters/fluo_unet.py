"""The network of `fluo-nuclei`: a U-Net at half resolution, corrected by what is seen at full.

References
----------
.. [1] Stringer et al., Cellpose: a generalist algorithm for cellular segmentation,
   Nature Methods 18, 100-106 (2021): what the output means.
.. [2] Shi et al., Real-time single image and video super-resolution using an efficient sub-pixel
   convolutional neural network, CVPR 2016: how it gets back to full resolution.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

OUTPUTS = 3
"""Channels of the output: five times the flow along y and x, cell probability (logit)."""
CONTRASTS = (0.03, 0.2, 1.5)
"""Intensities c at which x / (|x| + c) is 1/2: what is dim, usual and bright each has its own."""
DETAILS = 8
"""Features that the half resolution hands to the correction at full resolution."""
REACH = 128
"""How far away, in pixels, an input changes an output noticeably.

Farther away it was less than 0.15 in outputs that go from -5 to 5 (trained, in real fields),
although the bound by its structure, `FluoShape.reach`, is larger.
"""
WIDTHS = (48, 64, 96, 128, 160)


@dataclass(frozen=True)
class FluoShape:
    """What has to be known to build a net that a state dict fits.

    Attributes
    ----------
    widths : tuple of int
        Features of each level, from half of the resolution on.
    """

    widths: tuple[int, ...] = WIDTHS

    @property
    def stride(self) -> int:
        """Height and width of an input must be multiples of this, in pixels."""
        return int(2 ** len(self.widths))

    @property
    def reach(self) -> int:
        """How far away, in pixels, an input changes an output.

        A level of pixels of size s has four 3 x 3 convolutions, two on the way down and two on
        the way up (the coarsest only two), and a pooling and an enlargement, of a pixel each;
        the correction has two.
        """
        return 6 * (2 * self.stride - 2) + 2

    @classmethod
    def of(cls, state: Mapping[str, Tensor]) -> FluoShape:
        """Read the shape off a state dict.

        Raises
        ------
        ValueError
            If the keys are not those of this network.
        """
        widths: list[int] = []
        while (key := f"down.{len(widths)}.second.convolve.weight") in state:
            widths.append(int(state[key].shape[0]))
        if not widths or "correct.weight" not in state:
            raise ValueError("its keys are not those of a fluo-nuclei network")
        return cls(tuple(widths))


class _Convolution(nn.Module):
    """A convolution whose result is normalised over the batch."""

    def __init__(self, inputs: int, outputs: int, size: int = 3) -> None:
        super().__init__()
        self.convolve = nn.Conv2d(inputs, outputs, size, padding=size // 2, bias=False)
        self.norm = nn.BatchNorm2d(outputs, momentum=0.05)

    def forward(self, x: Tensor) -> Tensor:
        normalised: Tensor = self.norm(self.convolve(x))
        return normalised


class _Residual(nn.Module):
    """Two 3 x 3 convolutions beside a shortcut."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.first = _Convolution(inputs, outputs)
        self.second = _Convolution(outputs, outputs)
        self.shortcut = nn.Identity() if inputs == outputs else _Convolution(inputs, outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        inner = functional.relu(self.first(x))
        return functional.relu(self.second(inner) + self.shortcut(x))


class FluoUNet(nn.Module):
    """Flows and cell probability of an image.

    Parameters
    ----------
    shape : FluoShape
        Number of features of each level.
    """

    def __init__(self, shape: FluoShape) -> None:
        super().__init__()
        self.shape = shape
        widths = shape.widths
        inputs = (4 * len(CONTRASTS), *widths)
        self.down = nn.ModuleList(_Residual(a, b) for a, b in pairwise(inputs))
        self.lateral = nn.ModuleList(nn.Conv2d(b, a, 1) for a, b in pairwise(widths))
        self.up = nn.ModuleList(_Residual(width, width) for width in widths[:-1])
        self.head = nn.Conv2d(widths[0], 4 * (OUTPUTS + DETAILS), 1)
        self.see = nn.Conv2d(len(CONTRASTS) + DETAILS, 2 * DETAILS, 3, padding=1)
        self.correct = nn.Conv2d(2 * DETAILS, OUTPUTS, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Run the net.

        Parameters
        ----------
        x : Tensor, shape (batch, 1, height, width)
            Images whose background is about 0 and whose nuclei are about 1; height and width are
            multiples of ``shape.stride``.

        Returns
        -------
        Tensor, shape (batch, 3, height, width)
            Five times the flow along y and x, and the cell probability as a logit.
        """
        size = x.abs()
        image = torch.cat([x / (size + contrast) for contrast in CONTRASTS], dim=1)
        x = functional.pixel_unshuffle(image, 2)
        levels: list[Tensor] = []
        for block in self.down:
            x = block(functional.max_pool2d(x, 2) if levels else x)
            levels.append(x)
        finer = list(zip(self.up, self.lateral, levels, strict=False))
        for block, lateral, skip in reversed(finer):
            enlarged = functional.interpolate(lateral(x), scale_factor=2, mode="bilinear")
            x = block(enlarged + skip)
        output, details = functional.pixel_shuffle(self.head(x), 2).split((OUTPUTS, DETAILS), dim=1)
        seen = functional.relu(self.see(torch.cat([image, details], dim=1)))
        corrected: Tensor = output + self.correct(seen)
        return corrected
