"""From the stack of audio features to vectors at positions: cut out of it, or by a network that sees a picture."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Self

import torch
from torch import Tensor, nn
from torch.nn import functional

from endline.backbones.networks import Trunk
from endline.detectors.base import Shapes
from endline.detectors.standardisation import Standardisation
from endline.feature_set import Batch, FeatureSet

BATCH = 16
SPAN = 8.0  # deviations from black to white in a picture of the rows


class StackEncoder(nn.Module):
    """Standardised rows of the stack as maps of vectors, on several scales.

    A row that never changes in training is 0. Borders that fill no position are filled up with 0, the rows' mean.

    Attributes:
        shapes: (channels, height, width) of the maps, the finest first.
        side: rows and frames of a position of the finest map.

    Args:
        rows: numbers of the rows that are read.

    Example:
        >>> Patches([0, 1, 2, 3], frames=8, side=2, scales=1).shapes
        {'scale_0': (4, 2, 4)}
    """

    chosen: Tensor
    shapes: Shapes
    side: int

    def __init__(self, rows: Sequence[int]) -> None:
        super().__init__()
        self.register_buffer("chosen", torch.tensor(rows), persistent=False)
        self.standardise = Standardisation(len(rows))

    @abstractmethod
    def cut(self, x: Tensor) -> Batch:
        """Maps `scale_i` (batch, channels, H_i, W_i) of standardised rows (batch, rows, frames)."""

    def fit(self, features: FeatureSet) -> None:
        """Take the rows' means and deviations from normal clips, batch by batch."""
        stacks = (batch["stack"][:, self.chosen] for batch in features.batches(BATCH))
        self.standardise.fit((stack, torch.ones_like(stack[:, :1])) for stack in stacks)

    def standardised(self, stack: Tensor) -> Tensor:
        """The rows that are read, standardised, (batch, rows, frames), of whole stacks (batch, 158, frames)."""
        x = stack[:, self.chosen]
        rows: Tensor = self.standardise(x, torch.ones_like(x[:, :1]))
        varies = 1 - self.standardise.constant
        return rows * varies[:, None]

    def forward(self, stack: Tensor) -> Batch:
        """Maps `scale_i` of whole stacks (batch, 158, frames)."""
        return self.cut(self.standardised(stack))


class Patches(StackEncoder):
    """The stack as a pyramid of halved resolutions, each cut into patches that do not overlap.

    Args:
        rows: numbers of the rows that are read.
        frames: of a clip.
        side: rows and frames of a patch, of the pyramid's own resolution.
        scales: of the pyramid.

    Example:
        >>> patches = Patches([0, 1, 2, 3, 4], frames=7, side=2, scales=2)
        >>> {name: tuple(x.shape) for name, x in patches(torch.zeros(3, 158, 7)).items()}
        {'scale_0': (3, 4, 3, 4), 'scale_1': (3, 4, 2, 2)}
    """

    def __init__(self, rows: Sequence[int], frames: int, side: int, scales: int) -> None:
        super().__init__(rows)
        self.side, self.scales = side, scales
        strides = [side * 2**scale for scale in range(scales)]
        sizes = [(-(-len(rows) // stride), -(-frames // stride)) for stride in strides]
        self.shapes = {f"scale_{scale}": (side**2, *size) for scale, size in enumerate(sizes)}

    def cut(self, x: Tensor) -> Batch:
        """Patches (batch, side * side, H_i, W_i), row by row."""
        maps = {}
        for scale in range(self.scales):
            padded = _filled_up(x, self.side * 2**scale)
            maps[f"scale_{scale}"] = functional.pixel_unshuffle(functional.avg_pool2d(padded, 2**scale), self.side)
        return maps


class NetworkMaps(StackEncoder):
    """Maps of a frozen network that sees the stack as a grey picture: means are grey, four deviations black and white.

    What lies farther out is not cut off. The network starts with random weights.

    Args:
        rows: numbers of the rows that are read.
        frames: of a clip.
        backbone: name of the network.

    Example:
        >>> maps = NetworkMaps(range(158), frames=40, backbone="efficientnet_lite0")
        >>> {name: tuple(x.shape) for name, x in maps(torch.zeros(1, 158, 40)).items()}
        {'scale_0': (1, 40, 20, 8), 'scale_1': (1, 112, 10, 4), 'scale_2': (1, 320, 5, 2)}
    """

    def __init__(self, rows: Sequence[int], frames: int, backbone: str) -> None:
        super().__init__(rows)
        self.trunk = Trunk(backbone, "random").eval().requires_grad_(False)
        self.side, self.coarsest = min(self.trunk.strides), max(self.trunk.strides)
        height, width = (-(-length // self.coarsest) * self.coarsest for length in (len(rows), frames))
        self.shapes = {
            f"scale_{scale}": (channels, height // stride, width // stride)
            for scale, (stride, channels) in enumerate(self.trunk.strides.items())
        }

    def train(self, mode: bool = True) -> Self:
        """As torch's, but for the network, whose batch norms keep the statistics of its pretraining."""
        super().train(mode)
        self.trunk.eval()
        return self

    def cut(self, x: Tensor) -> Batch:
        """Maps of the network, by its strides."""
        maps = self.trunk(0.5 + _filled_up(x, self.coarsest) / SPAN)
        return {f"scale_{scale}": each for scale, each in enumerate(maps.values())}


def _filled_up(x: Tensor, multiple: int) -> Tensor:
    """Rows (batch, rows, frames) as (batch, 1, H, W), filled up with 0 to a multiple of rows and frames."""
    return functional.pad(x[:, None], (0, -x.shape[2] % multiple, 0, -x.shape[1] % multiple))
