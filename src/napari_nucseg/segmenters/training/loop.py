"""Training a network: batches in, weights out.

Targets and losses are Cellpose's [1]_. Its loop has neither callback nor checkpoint: ours has.

References
----------
.. [1] Stringer et al., Cellpose: a generalist algorithm for cellular segmentation,
   Nature Methods 18, 100-106 (2021); ``cellpose.train``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from napari_nucseg.segmenters.devices import Device, computes_bfloat16
from napari_nucseg.segmenters.network import Network
from napari_nucseg.segmenters.training.examples import Batch
from napari_nucseg.segmenters.training.learner import Learner, copy_of
from napari_nucseg.segmenters.training.params import TrainParams, learning_rate

AVERAGED = 1000
"""Batches over which weights are averaged, in the long run."""


class Diverged(ValueError):
    """The loss is no number any more, or infinite.

    Parameters
    ----------
    batch : int
        Number of the batch, the first is 1.
    loss : float
        Its loss.
    """

    def __init__(self, batch: int, loss: float) -> None:
        super().__init__(f"the loss of batch {batch} is {loss}; lower the learning rate")


@dataclass
class Training:
    """A network that is being trained.

    Attributes
    ----------
    learner : Learner
        Network, and how its images are scaled.
    params : TrainParams
        Batches, crops and learning rate of the training.
    device : Device
        Device that the network learns on.
    done : int
        Number of batches that it has learned from.
    averaged : Module
        The net with its weights averaged over the last batches: the one to keep.
    at_once : int
        Number of crops that go through the net together: a whole batch, or a half or less of one
        where the device has too little memory. What is learned is the same but for rounding, and
        for which layers are left out at random where a Cellpose-SAM is trained on.
    """

    learner: Learner
    params: TrainParams
    device: Device
    done: int = 0
    averaged: nn.Module = field(init=False)
    at_once: int = field(init=False)

    def __post_init__(self) -> None:
        """Bring the net to its device; what it was stays where memory is not short."""
        self._place = torch.device(self.device.kind)
        self._layout = self.learner.layout(self.device)
        self._net = self.learner.net
        self._start = deepcopy(self._net).cpu().eval()
        self._net.to(self._place).to(memory_format=self._layout)
        self.averaged = deepcopy(self._net).to(self.learner.place_of_means(self.device)).eval()
        self.at_once = self.params.batch_size
        self._optimiser = torch.optim.AdamW(
            self._net.parameters(),
            lr=self.params.learning_rate,
            weight_decay=self.params.weight_decay,
            fused=self.device.kind != "mps",  # one pass over the weights, not ten
        )
        self._in_bfloat16 = computes_bfloat16(self.device)

    @property
    def precision(self) -> str:
        """Number format of the convolutions; weights are always float32."""
        return "bfloat16" if self._in_bfloat16 else "float32"

    def learn(self, batch: Batch) -> float:
        """Learn from one batch, and return the loss.

        Raises
        ------
        Diverged
            If the loss is not finite: nothing that follows would be. The net is as it was.
        OSError
            If the device has not enough memory for a single crop.
        """
        while True:
            try:
                return self._learn(batch)
            except RuntimeError as error:
                if not _is_of_memory(error):
                    raise
                if self.at_once == 1:
                    raise OSError(
                        f"{self.device} does not have enough memory for a crop of "
                        f"{self.params.crop} px; {self.learner.if_memory_is_short}"
                    ) from error
                self.at_once //= 2

    def _learn(self, batch: Batch) -> float:
        for group in self._optimiser.param_groups:
            group["lr"] = learning_rate(self.done, self.params)
        # What is usual in a few images is not usual: fine-tuning keeps the means of the training
        self._net.train(not self.params.fine_tune)
        # A training that goes on leaves out the layers that it would have left out
        torch.manual_seed(self.params.seed + self.done)
        self._optimiser.zero_grad(set_to_none=True)
        value = sum(self._add_gradients(part, share) for part, share in batch.parts(self.at_once))
        if not math.isfinite(value):
            raise Diverged(self.done + 1, value)
        self._optimiser.step()
        self.done += 1
        self._average()
        return value

    def _add_gradients(self, batch: Batch, share: float) -> float:
        """Add to the gradients those of a part of a batch, and return its part of the loss."""
        images = torch.from_numpy(batch.images).to(self._place, memory_format=self._layout)
        with torch.autocast(self._place.type, torch.bfloat16, enabled=self._in_bfloat16):
            output = self.learner.forward(self._net, images)
        loss = loss_of(output.float(), batch) * share
        loss.backward()
        return float(loss.item())

    def blended(self, share: float) -> nn.Module:
        """Return a net between the one at the start (0) and the averaged one (1).

        Parameters
        ----------
        share : float
            Share of the averaged weights; the rest are those of the start.
        """
        if share == 1:
            return self.averaged
        net = deepcopy(self._start)
        with torch.no_grad():
            averaged = self.averaged.state_dict()
            for name, tensor in net.state_dict().items():
                if tensor.is_floating_point():
                    tensor.lerp_(averaged[name].cpu(), share)
        return net

    def network(self, share: float) -> Network:
        """Return what `blended` does as it will be used on the device."""
        return self.learner.network(self.blended(share), self.device)

    def weights(self, share: float) -> dict[str, Tensor]:
        """Copy the weights of what `blended` does, to be kept and saved."""
        return copy_of(self.blended(share))

    def state(self) -> dict[str, Any]:
        """Return everything that the next batch depends on."""
        return {
            "done": self.done,
            "net": self._net.state_dict(),
            "averaged": self.averaged.state_dict(),
            "optimiser": self._optimiser.state_dict(),
            "at_once": self.at_once,
            "computed": {"device": self.device.kind, "in_bfloat16": self._in_bfloat16},
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state` returned, as exactly as there if the device is of that kind."""
        self._net.load_state_dict(state["net"])
        self.averaged.load_state_dict(state["averaged"])
        self._optimiser.load_state_dict(state["optimiser"])
        self.done = int(state["done"])
        self.at_once = int(state["at_once"])
        if state["computed"]["device"] == self.device.kind:
            self._in_bfloat16 = bool(state["computed"]["in_bfloat16"])

    def _average(self) -> None:
        """Move the average towards the net, faster while it is young."""
        share = max(1 / AVERAGED, 1 / (1 + self.done / 10))
        with torch.no_grad():
            own = self._net.state_dict()
            for name, mean in self.averaged.state_dict().items():
                if mean.is_floating_point():
                    mean.lerp_(own[name].to(mean.device), share)
                else:
                    mean.copy_(own[name])


def _is_of_memory(error: RuntimeError) -> bool:
    """Tell whether memory was short; only for CUDA has torch an exception of its own."""
    told = str(error)
    return isinstance(error, torch.OutOfMemoryError) or (
        "out of memory" in told or "DefaultCPUAllocator" in told
    )


def loss_of(output: Tensor, batch: Batch) -> Tensor:
    """Return Cellpose's loss: squared error of the flows, cross entropy of inside and outside.

    Parameters
    ----------
    output : Tensor, shape (crops, 3, edge, edge)
        Output of the network: flows along both axes, and cell probability.
    batch : Batch
        What the output should be, and the weight of each pixel.
    """
    flows, inside, weights = (
        torch.from_numpy(part).to(output.device)
        for part in (batch.flows, batch.inside, batch.weights)
    )
    error = (output[:, :2] - 5 * flows).square().mean(dim=1) / 2
    entropy = functional.binary_cross_entropy_with_logits(output[:, 2], inside, reduction="none")
    return ((error + entropy) * weights).mean()
