"""The residual U-Net of Cellpose 1 to 3, as a plain torch module.

Module names follow Cellpose's, so that its published state dicts fit without renaming. The
bundled model is a smaller member of the same family: one grey channel, one residual pair a
level, no style vector.

References
----------
.. [1] Stringer et al., Cellpose: a generalist algorithm for cellular segmentation,
   Nature Methods 18, 100-106 (2021).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import cast

import torch
from torch import Tensor, nn

OUTPUTS = 3
"""Channels of the network's output: flow along y, flow along x, cell probability (logit)."""


def convolution(inputs: int, outputs: int, size: int = 3) -> nn.Sequential:
    """Return a convolution of normalised features."""
    return nn.Sequential(
        nn.BatchNorm2d(inputs, eps=1e-5, momentum=0.05),
        nn.ReLU(inplace=True),
        nn.Conv2d(inputs, outputs, size, padding=size // 2),
    )


def _projection(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.BatchNorm2d(inputs, eps=1e-5, momentum=0.05), nn.Conv2d(inputs, outputs, 1)
    )


class Down(nn.Module):
    """One level of the encoder."""

    def __init__(self, inputs: int, outputs: int, residuals: int) -> None:
        super().__init__()
        self.proj = _projection(inputs, outputs)
        self.conv = nn.Sequential()
        for index in range(2 * residuals):
            self.conv.add_module(
                f"conv_{index}", convolution(inputs if index == 0 else outputs, outputs)
            )

    def forward(self, x: Tensor) -> Tensor:
        """Convolve in pairs, each beside a shortcut."""
        shortcut = self.proj(x)
        for first, second in _pairs(self.conv):
            x = second(first(x)).add_(shortcut)
            shortcut = x
        return x


class _StyledConvolution(nn.Module):
    def __init__(self, width: int, style_width: int | None) -> None:
        super().__init__()
        self.conv = convolution(width, width)
        self.full = None if style_width is None else nn.Linear(style_width, width)

    def forward(self, style: Tensor, x: Tensor) -> Tensor:
        if self.full is not None:
            x = x + self.full(style)[..., None, None]
        return self.conv(x)  # type: ignore[no-any-return]


class Up(nn.Module):
    """One level of the decoder."""

    def __init__(self, inputs: int, outputs: int, residuals: int, style_width: int | None) -> None:
        super().__init__()
        self.proj = _projection(inputs, outputs)
        self.conv = nn.Sequential()
        self.conv.add_module("conv_0", convolution(inputs, outputs))
        for index in range(1, 2 * residuals):
            self.conv.add_module(f"conv_{index}", _StyledConvolution(outputs, style_width))

    def forward(self, x: Tensor, skip: Tensor, style: Tensor, enlarge: nn.Module) -> Tensor:
        """Enlarge late: what depends on one pixel alone is done while they are fewer."""
        stages = list(self.conv)
        norm, activate, convolve = cast(nn.Sequential, stages[0])
        inner = convolve(enlarge(activate(norm(x)))).add_(skip)
        x = stages[1](style, inner).add_(enlarge(self.proj(x)))
        for first, second in zip(stages[2::2], stages[3::2], strict=True):
            x = second(style, first(style, x)).add_(x)
        return x


def _pairs(stages: nn.Sequential) -> Iterator[tuple[nn.Module, nn.Module]]:
    modules = list(stages)
    return zip(modules[::2], modules[1::2], strict=True)


@dataclass(frozen=True)
class UNetShape:
    """What has to be known to build a net that a state dict fits.

    Attributes
    ----------
    channels : int
        Number of channels of the input image.
    widths : tuple of int
        Number of features of each level, finest first.
    residuals : int
        Residual pairs of 3 x 3 convolutions a level: 2 in Cellpose 1 to 3.
    style : bool
        Whether the decoder is steered by a global style vector, as in Cellpose 1 to 3.
    """

    channels: int = 1
    widths: tuple[int, ...] = (16, 32, 64, 128, 128)
    residuals: int = 1
    style: bool = False

    @property
    def stride(self) -> int:
        """Height and width of an input must be multiples of this, in pixels."""
        return int(2 ** (len(self.widths) - 1))

    @property
    def reach(self) -> int:
        """How far away, in pixels, an input changes an output, but for the style, which is global.

        A 3 x 3 convolution reaches one pixel of its level, and so does pooling.
        """
        return 4 * self.residuals * (2 * self.stride - 1) + self.stride

    @classmethod
    def of(cls, state: Mapping[str, Tensor]) -> UNetShape:
        """Read the shape off a state dict.

        Raises
        ------
        ValueError
            If the keys are not those of a residual U-Net.
        """

        def level(index: int) -> str:
            return f"downsample.down.res_down_{index}.conv.conv_"

        widths: list[int] = []
        while f"{level(len(widths))}0.2.weight" in state:
            widths.append(int(state[f"{level(len(widths))}0.2.weight"].shape[0]))
        if not widths or "output.2.weight" not in state:
            raise ValueError("its keys are not those of a Cellpose U-Net")
        convolutions = sum(f"{level(0)}{index}.2.weight" in state for index in range(16))
        return cls(
            channels=int(state[f"{level(0)}0.2.weight"].shape[1]),
            widths=tuple(widths),
            residuals=convolutions // 2,
            style="upsample.up.res_up_0.conv.conv_1.full.weight" in state,
        )


class _Encoder(nn.Module):
    def __init__(self, shape: UNetShape) -> None:
        super().__init__()
        self.maxpool = nn.MaxPool2d(2, stride=2)
        self.down = nn.Sequential()
        for index, (inputs, outputs) in enumerate(pairwise((shape.channels, *shape.widths))):
            self.down.add_module(f"res_down_{index}", Down(inputs, outputs, shape.residuals))

    def forward(self, x: Tensor) -> list[Tensor]:
        levels = [self.down[0](x)]
        for block in list(self.down)[1:]:
            levels.append(block(self.maxpool(levels[-1])))
        return levels


class _Decoder(nn.Module):
    def __init__(self, shape: UNetShape) -> None:
        super().__init__()
        self.upsampling = nn.Upsample(scale_factor=2, mode="nearest")
        self.up = nn.Sequential()
        style_width = shape.widths[-1] if shape.style else None
        for index, (outputs, inputs) in enumerate(pairwise((*shape.widths, shape.widths[-1]))):
            self.up.add_module(f"res_up_{index}", Up(inputs, outputs, shape.residuals, style_width))

    def forward(self, levels: list[Tensor], style: Tensor) -> Tensor:
        blocks = list(zip(self.up, levels, strict=True))[::-1]
        x = levels[-1]
        for depth, (block, skip) in enumerate(blocks):
            x = block(x, skip, style, nn.Identity() if depth == 0 else self.upsampling)
        return x


class ResidualUNet(nn.Module):
    """Flows and cell probability of an image.

    Parameters
    ----------
    shape : UNetShape
        Channels, and number of features of each level.

    Notes
    -----
    ``device``, ``dtype``, ``backbone`` and ``save_model`` are what
    ``cellpose.train.train_seg`` asks of a net. ``autocast``, when set, is the precision of the
    convolutions; the parameters stay in float32.
    """

    backbone = "unet"

    def __init__(self, shape: UNetShape) -> None:
        super().__init__()
        self.shape = shape
        self.dtype = torch.float32
        self.autocast: torch.dtype | None = None
        self.downsample = _Encoder(shape)
        self.upsample = _Decoder(shape)
        self.output = convolution(shape.widths[0], OUTPUTS, 1)
        self.diam_mean = nn.Parameter(torch.tensor([30.0]), requires_grad=False)
        self.diam_labels = nn.Parameter(torch.tensor([30.0]), requires_grad=False)

    @property
    def device(self) -> torch.device:
        """Where the parameters are."""
        return self.diam_mean.device

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Run the net.

        Parameters
        ----------
        x : Tensor, shape (batch, channels or more, height, width)
            Normalised images; height and width are multiples of ``shape.stride``. Channels
            beyond the net's own are ignored, as in Cellpose 4.

        Returns
        -------
        output : Tensor, shape (batch, 3, height, width)
            Five times the flow along y and x, and the cell probability as a logit.
        style : Tensor, shape (batch, widths[-1])
            The coarsest features, averaged and scaled to length 1.
        """
        with torch.autocast(
            x.device.type, self.autocast or torch.bfloat16, enabled=self.autocast is not None
        ):
            levels = self.downsample(x[:, : self.shape.channels])
            style = levels[-1].float().mean(dim=(-2, -1))
            style = style / style.square().sum(dim=1, keepdim=True).sqrt()
            output = self.output(self.upsample(levels, style))
        return output.float(), style
