"""The networks that can be trained, and what each wants to be fed with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from napari_nucseg.segmenters.checkpoints import UNet
from napari_nucseg.segmenters.fluo_unet import FluoShape, FluoUNet
from napari_nucseg.segmenters.intensities import scale_intensities
from napari_nucseg.segmenters.residual_unet import ResidualUNet, UNetShape
from napari_nucseg.segmenters.unet import normalise


class Learner(Protocol):
    """A network that can be trained, so that the loop does not ask which one it is."""

    @property
    def net(self) -> nn.Module:
        """The network; others of its kind go through `forward`, too."""
        ...

    @property
    def shape(self) -> FluoShape | UNetShape:
        """Its stride and its reach."""
        ...

    def normalise(self, image: NDArray[Any]) -> NDArray[np.float32]:
        """Scale an image of shape (height, width) as it is scaled when the network is used."""
        ...

    def forward(self, net: nn.Module, images: Tensor) -> Tensor:
        """Run a network of this kind.

        Parameters
        ----------
        net : Module
            The learner's own, or a copy of it.
        images : Tensor, shape (batch, 1, height, width)
            From `normalise`; height and width are multiples of the stride.

        Returns
        -------
        Tensor, shape (batch, 3, height, width)
            Five times the flow along y and x, and the cell probability as a logit.
        """
        ...

    def set_diameter(self, diameter: float) -> None:
        """Let the network remember the usual diameter, in pixels, of what it learns from."""
        ...


@dataclass(frozen=True)
class FluoLearner:
    """A network of any nuclei; see `Learner`."""

    net: FluoUNet

    @property
    def shape(self) -> FluoShape:
        """See `Learner`."""
        return self.net.shape

    def normalise(self, image: NDArray[Any]) -> NDArray[np.float32]:
        """Scale by the background and by what is bright; see `Learner`."""
        return scale_intensities(image)

    def forward(self, net: nn.Module, images: Tensor) -> Tensor:
        """See `Learner`."""
        output: Tensor = net(images)
        return output

    def set_diameter(self, diameter: float) -> None:
        """Do nothing: it sees images at their own scale, whatever the diameter."""


@dataclass(frozen=True)
class ResidualLearner:
    """A U-Net of Cellpose 1 to 3, or a smaller one of the kind; see `Learner`."""

    net: ResidualUNet

    @property
    def shape(self) -> UNetShape:
        """See `Learner`."""
        return self.net.shape

    def normalise(self, image: NDArray[Any]) -> NDArray[np.float32]:
        """Scale by two percentiles; see `Learner`."""
        return normalise(image)

    def forward(self, net: nn.Module, images: Tensor) -> Tensor:
        """Run it with its second channel, if it has one, empty; see `Learner`."""
        further = self.shape.channels - images.shape[1]
        output: Tensor = net(functional.pad(images, (0, 0, 0, 0, 0, further)))[0]
        return output

    def set_diameter(self, diameter: float) -> None:
        """Make it the size of what was learned from, and the size that images are scaled to.

        It learns from images at their own scale, so that is how they have to be used: Cellpose
        scales an image by the ratio of the two.
        """
        self.net.diam_mean.data.fill_(diameter)
        self.net.diam_labels.data.fill_(diameter)


def learner_of(net: UNet) -> Learner:
    """Choose how a network is trained."""
    return FluoLearner(net) if isinstance(net, FluoUNet) else ResidualLearner(net)
