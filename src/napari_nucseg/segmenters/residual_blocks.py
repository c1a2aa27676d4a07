"""The parts of a residual U-Net: what happens within one of its levels."""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

from torch import Tensor, nn


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
