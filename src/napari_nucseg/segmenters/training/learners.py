"""The networks that can be trained, and what each wants to be fed with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from napari_nucseg.segmenters.checkpoints import UNet
from napari_nucseg.segmenters.fluo_unet import FluoShape, FluoUNet
from napari_nucseg.segmenters.intensities import scale_intensities
from napari_nucseg.segmenters.residual_unet import UNetShape
from napari_nucseg.segmenters.unet import normalise


@dataclass(frozen=True)
class Learner:
    """A network that can be trained, so that the loop does not ask which one it is.

    Attributes
    ----------
    net : FluoUNet or ResidualUNet
        A network of any nuclei, or a U-Net of Cellpose 1 to 3 or a smaller one of the kind.
    """

    net: UNet

    @property
    def shape(self) -> FluoShape | UNetShape:
        """Its stride and its reach."""
        return self.net.shape

    def normalise(self, image: NDArray[Any]) -> NDArray[np.float32]:
        """Scale an image of shape (height, width) as it is scaled when the network is used."""
        return scale_intensities(image) if isinstance(self.net, FluoUNet) else normalise(image)

    def forward(self, net: nn.Module, images: Tensor) -> Tensor:
        """Run a network of this kind; a second channel, if it has one, is empty.

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
        output: Tensor
        if isinstance(self.net, FluoUNet):
            output = net(images)
        else:
            further = self.net.shape.channels - images.shape[1]
            output = net(functional.pad(images, (0, 0, 0, 0, 0, further)))[0]
        return output

    def set_diameter(self, diameter: float) -> None:
        """Let the network remember the usual diameter, in pixels, of what it learns from.

        A residual U-Net learns from images at their own scale, so that is how they have to be
        used: Cellpose scales an image by the ratio of the two diameters. The network of any nuclei
        sees images at their own scale, whatever the diameter.
        """
        if not isinstance(self.net, FluoUNet):
            self.net.diam_mean.data.fill_(diameter)
            self.net.diam_labels.data.fill_(diameter)
