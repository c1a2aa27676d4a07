"""What can be taught: how each kind of network is fed in training, and how it is used after."""

from __future__ import annotations

from abc import ABC, abstractmethod
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from napari_nucseg.segmenters.cellpose4 import CellposeSAM, normalise_as_cellpose
from napari_nucseg.segmenters.checkpoints import kind_of, load_transformer, load_unet, read_state
from napari_nucseg.segmenters.devices import Device, computes_bfloat16, gpu_memory
from napari_nucseg.segmenters.fluo_unet import FluoShape, FluoUNet
from napari_nucseg.segmenters.intensities import normalise, scale_intensities
from napari_nucseg.segmenters.network import Network
from napari_nucseg.segmenters.parameters import SegmentParams
from napari_nucseg.segmenters.residual_unet import ResidualUNet
from napari_nucseg.segmenters.training.params import TrainParams
from napari_nucseg.segmenters.unet import layout_on, wrap

_COUNTER = "num_batches_tracked"
_ROOMY = 20e9
"""Bytes of a GPU's memory from which on the averages of a Cellpose-SAM lie there, too."""


@dataclass(frozen=True)
class Learner(ABC):
    """A network that can be trained, so that nothing else asks which one it is.

    Attributes
    ----------
    net : Module
        The network.
    """

    net: nn.Module

    @property
    def if_memory_is_short(self) -> str:
        """What a user can do where there is too little memory for a single crop."""
        return "lower the crop"

    def layout(self, device: Device) -> torch.memory_format:
        """Choose how weights and images lie in the device's memory."""
        return layout_on(device)

    def place_of_means(self, device: Device) -> torch.device:
        """Choose where the averaged weights lie."""
        return torch.device(device.kind)

    @abstractmethod
    def normalise(self, image: NDArray[Any]) -> NDArray[np.float32]:
        """Scale an image of shape (height, width) as it is scaled when the network is used."""

    @abstractmethod
    def forward(self, net: nn.Module, images: Tensor) -> Tensor:
        """Run a network of this kind.

        Parameters
        ----------
        net : Module
            The learner's own, or a copy of it.
        images : Tensor, shape (batch, 1, height, width)
            Intensities, scaled by `normalise`; height and width are multiples of the stride.

        Returns
        -------
        Tensor, shape (batch, 3, height, width)
            Five times the flow along y and x, and the cell probability as a logit.
        """

    @abstractmethod
    def network(self, net: nn.Module, device: Device) -> Network:
        """Return a network of this kind in evaluation mode as it will be used on a device."""

    def set_diameter(self, diameter: float) -> None:  # noqa: B027 - most have nothing to remember
        """Let the network remember the usual diameter, in pixels, of what it learns from."""


class FluoLearner(Learner):
    """Teaches a network of any nuclei, which sees images at their own scale."""

    net: FluoUNet

    def normalise(self, image: NDArray[Any]) -> NDArray[np.float32]:
        """Scale intensities by blocks."""
        return scale_intensities(image)

    def forward(self, net: nn.Module, images: Tensor) -> Tensor:
        """Run it; see `Learner.forward`."""
        output: Tensor = net(images)
        return output

    def network(self, net: nn.Module, device: Device) -> Network:
        """Return it ready to run."""
        assert isinstance(net, FluoUNet)
        return wrap(net, device)


class ResidualLearner(Learner):
    """Teaches a U-Net of Cellpose 1 to 3 or a smaller one of the kind."""

    net: ResidualUNet

    def normalise(self, image: NDArray[Any]) -> NDArray[np.float32]:
        """Scale intensities by their percentiles."""
        return normalise(image)

    def forward(self, net: nn.Module, images: Tensor) -> Tensor:
        """Run it; a second channel, if it has one, is empty. See `Learner.forward`."""
        further = self.net.shape.channels - images.shape[1]
        output: Tensor = net(functional.pad(images, (0, 0, 0, 0, 0, further)))[0]
        return output

    def network(self, net: nn.Module, device: Device) -> Network:
        """Return it ready to run."""
        assert isinstance(net, ResidualUNet)
        return wrap(net, device)

    def set_diameter(self, diameter: float) -> None:
        """Remember the usual diameter, in pixels, of what it learns from.

        It learns from images at their own scale, so that is how they have to be used: Cellpose
        scales an image by the ratio of the two diameters.
        """
        self.net.diam_mean.data.fill_(diameter)
        self.net.diam_labels.data.fill_(diameter)


class SAMLearner(Learner):
    """Teaches Cellpose-SAM; it runs on crops of the size of its tiles, and on no others."""

    @property
    def if_memory_is_short(self) -> str:
        """What a user can do where there is too little memory for a single crop."""
        return "start from fluo-nuclei instead"

    def layout(self, device: Device) -> torch.memory_format:
        """Leave weights as they are: its tokens, not its pixels, have the channels last."""
        return torch.contiguous_format

    def place_of_means(self, device: Device) -> torch.device:
        """Leave a small GPU's memory to what has to be there; copying takes 0.3 s a batch."""
        return torch.device(device.kind if gpu_memory(device) >= _ROOMY else "cpu")

    def normalise(self, image: NDArray[Any]) -> NDArray[np.float32]:
        """Scale intensities as Cellpose does."""
        return normalise_as_cellpose(image, SegmentParams())

    def forward(self, net: nn.Module, images: Tensor) -> Tensor:
        """Run it on one channel: it says the same of three of which two are 0, as Cellpose has."""
        output: Tensor = net(images)[0]
        return output

    def network(self, net: nn.Module, device: Device) -> Network:
        """Return a copy ready to run, of the precision that it will have when it is used."""
        used = deepcopy(net).to(torch.device(device.kind))
        if computes_bfloat16(device):
            used.dtype = torch.bfloat16  # type: ignore[assignment] # Cellpose's own property
        return CellposeSAM(used.eval(), device)

    def set_diameter(self, diameter: float) -> None:
        """Note the usual diameter as Cellpose does; nothing is scaled by it."""
        self.net.get_parameter("diam_labels").data.fill_(diameter)


def learner_of(net: nn.Module) -> Learner:
    """Tell how a network is taught."""
    if isinstance(net, FluoUNet):
        return FluoLearner(net)
    return ResidualLearner(net) if isinstance(net, ResidualUNet) else SAMLearner(net)


def load_learner(start: Path | None, params: TrainParams) -> Learner:
    """Read what a training begins with, or make a new network.

    Parameters
    ----------
    start : Path or None
        File of weights; None for a network of any nuclei with random ones.
    params : TrainParams
        Parameters of the training, of which the seed decides random weights.

    Raises
    ------
    ValueError
        If the file holds no whole network that we know.
    """
    if start is None:
        return FluoLearner(new_net(params))
    if kind_of(read_state(start), start) == "cellpose":
        return SAMLearner(load_transformer(start, torch.device("cpu")))
    return learner_of(load_unet(start))


def new_net(params: TrainParams) -> FluoUNet:
    """Make the network of any nuclei with random weights, which the seed decides."""
    torch.manual_seed(params.seed)
    return FluoUNet(FluoShape())


def copy_of(net: nn.Module) -> dict[str, Tensor]:
    """Copy a network's weights, to be kept and saved.

    Those of a network of any nuclei lack the counters of batches, which nothing uses: so a file of
    them is laid out as the bundled one, see `napari_nucseg.segmenters.networks.fits_graph`.
    """
    unused = _COUNTER if isinstance(net, FluoUNet) else ()
    return {
        name: tensor.detach().cpu().clone(memory_format=torch.contiguous_format)
        for name, tensor in net.state_dict().items()
        if not name.endswith(unused)
    }
