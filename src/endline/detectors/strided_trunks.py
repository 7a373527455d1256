"""Convolutional trunks: they press a picture (a window of a spectrogram, a scan) together, and unfold it."""

from dataclasses import dataclass, replace
from itertools import pairwise

import torch
from torch import Tensor, nn

from endline.errors import EndlineError

KERNEL, SLOPE = 4, 0.2
LAYERS, GRID = 5, 32  # strided layers at most, and what they divide a side by
NORMS = ("layer", "batch")


@dataclass(frozen=True)
class Trunk:
    """Sizes of a trunk: strided convolutions halve a picture and double the channels until 4 by 4 are left.

    Attributes:
        height, width: of a picture.
        hidden: channels after the first layer.
        norm: `layer` or `batch`.
        inputs: channels of a picture.

    Raises:
        EndlineError: when height or width is no multiple of 32, or there is no such norm.

    Example:
        >>> Trunk(128, 128, hidden=32).channels, Trunk(64, 128, hidden=32).left
        ((1, 32, 64, 128, 256, 512), (4, 8))
    """

    height: int
    width: int
    hidden: int
    norm: str = "layer"
    inputs: int = 1

    def __post_init__(self) -> None:
        if min(self.height, self.width) < GRID or self.height % GRID or self.width % GRID:
            raise EndlineError(
                f"A picture of {self.height} x {self.width} cannot be halved up to {LAYERS} times: choose multiples of "
                f"{GRID} for its sides (the bands of a spectrogram and `window`, or `side` of a scan)."
            )
        if self.norm not in NORMS:
            raise EndlineError(f"There is no norm '{self.norm}': choose one of {', '.join(NORMS)}.")

    @property
    def layers(self) -> int:
        """Number of strided layers: 5 from 128 rows and columns on."""
        return min(LAYERS, (min(self.height, self.width) // KERNEL).bit_length() - 1)

    @property
    def channels(self) -> tuple[int, ...]:
        """Channels before the first layer and after each."""
        return (self.inputs, *(self.hidden * 2**layer for layer in range(self.layers)))

    @property
    def left(self) -> tuple[int, int]:
        """Rows and columns after the last layer."""
        return self.height >> self.layers, self.width >> self.layers

    @property
    def latent(self) -> int:
        """Numbers that an autoencoder presses a picture into: half the channels of the last layer."""
        return max(1, self.channels[-1] // 2)

    def normalised(self, channels: int, layer: int) -> nn.Module:
        """The norm after so many strided layers."""
        if self.norm == "batch":
            return nn.BatchNorm2d(channels)
        return nn.LayerNorm((channels, self.height >> layer, self.width >> layer))

    def down(self) -> nn.Sequential:
        """The layers, (n, inputs, height, width) to (n, channels[-1], *left); each is convolution, norm, LeakyReLU."""
        return nn.Sequential(
            *(
                nn.Sequential(
                    nn.Conv2d(fine, coarse, KERNEL, 2, 1, bias=False),
                    self.normalised(coarse, layer),
                    nn.LeakyReLU(SLOPE),
                )
                for layer, (fine, coarse) in enumerate(pairwise(self.channels), 1)
            )
        )


class Encoder(nn.Module):
    """The strided layers, then one convolution over all that is left, to the latent vector.

    Args:
        trunk: its sizes.

    Example:
        >>> Encoder(Trunk(64, 32, hidden=4))(torch.zeros(2, 1, 64, 32)).shape
        torch.Size([2, 8])
    """

    def __init__(self, trunk: Trunk) -> None:
        super().__init__()
        self.down = trunk.down()
        self.last = nn.Conv2d(trunk.channels[-1], trunk.latent, trunk.left, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Latent vectors (n, latent) of pictures (n, inputs, height, width)."""
        latent: Tensor = self.last(self.down(x)).flatten(1)
        return latent


class Decoder(nn.Module):
    """The mirror image of `Encoder`, with ReLU, and a hyperbolic tangent at its end.

    Args:
        trunk: its sizes.

    Example:
        >>> Decoder(Trunk(64, 32, hidden=4))(torch.zeros(2, 8)).shape
        torch.Size([2, 1, 64, 32])
    """

    def __init__(self, trunk: Trunk) -> None:
        super().__init__()
        channels = trunk.channels[::-1]
        first = nn.ConvTranspose2d(trunk.latent, channels[0], trunk.left, bias=False)
        steps: list[nn.Module] = [first, trunk.normalised(channels[0], trunk.layers), nn.ReLU()]
        for layer, (coarse, fine) in enumerate(pairwise(channels), 1):
            steps.append(nn.ConvTranspose2d(coarse, fine, KERNEL, 2, 1, bias=False))
            if layer < trunk.layers:
                steps += [trunk.normalised(fine, trunk.layers - layer), nn.ReLU()]
        self.up = nn.Sequential(*steps, nn.Tanh())

    def forward(self, latent: Tensor) -> Tensor:
        """Pictures (n, inputs, height, width) in [-1, 1] of latent vectors (n, latent)."""
        picture: Tensor = self.up(latent[:, :, None, None])
        return picture


class Autoencoder(nn.Module):
    """`Encoder`, then `Decoder`.

    Args:
        trunk: its sizes.

    Example:
        >>> Autoencoder(Trunk(64, 32, hidden=4))(torch.zeros(2, 1, 64, 32)).shape
        torch.Size([2, 1, 64, 32])
    """

    def __init__(self, trunk: Trunk) -> None:
        super().__init__()
        self.encoder, self.decoder = Encoder(trunk), Decoder(trunk)

    def forward(self, x: Tensor) -> Tensor:
        """Reconstructions of pictures (n, inputs, height, width)."""
        rebuilt: Tensor = self.decoder(self.encoder(x))
        return rebuilt


class Discriminator(nn.Module):
    """The strided layers, a depth-wise convolution to the embedding, and one number that says how real a picture is.

    Its norm is the layer norm: a gradient penalty is one of each sample, so no sample may see the others.

    Args:
        trunk: its sizes; its norm is not read.

    Example:
        >>> discriminator = Discriminator(Trunk(64, 32, hidden=4))
        >>> realness, embedding = discriminator(torch.zeros(2, 1, 64, 32))
        >>> realness.shape, embedding.shape
        (torch.Size([2]), torch.Size([2, 16]))
    """

    def __init__(self, trunk: Trunk) -> None:
        super().__init__()
        length = trunk.channels[-1]
        self.down = replace(trunk, norm="layer").down()
        self.depthwise = nn.Conv2d(length, length, trunk.left, groups=length, bias=False)
        self.norm = nn.LayerNorm(length)
        self.realness = nn.Linear(length, 1)

    def embedding(self, x: Tensor) -> Tensor:
        """Embeddings (n, channels[-1]) of pictures (n, inputs, height, width)."""
        embedding: Tensor = self.depthwise(self.down(x)).flatten(1)
        return embedding

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Realness (n,) and embeddings of pictures."""
        embedding = self.embedding(x)
        return self.realness(nn.functional.leaky_relu(self.norm(embedding), SLOPE))[:, 0], embedding

    def norm_statistics(self, x: Tensor) -> Tensor:
        """Mean and standard deviation that each layer norm takes of a picture, (n, 2 * (layers + 1)), means first."""
        found: list[Tensor] = []
        handles = [
            layer.register_forward_pre_hook(lambda _, given: found.append(given[0].flatten(1)))
            for layer in self.modules()
            if isinstance(layer, nn.LayerNorm)
        ]
        try:
            self(x)
        finally:
            for handle in handles:
                handle.remove()
        return torch.stack([each.mean(1) for each in found] + [each.std(1, correction=0) for each in found], 1)
