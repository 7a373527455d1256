"""Backbones: image in, feature maps at strides 8, 16 and 32 out; frozen, or to be trained on."""

import torch
from torch import Tensor, nn

from endline.backbones.architectures import Normalised, architecture_of
from endline.backbones.lite import LiteTrunk
from endline.backbones.onnx_network import OnnxNetwork
from endline.backbones.weights import Weights, network_with, weights_digest, weights_of
from endline.compute import CPU, Compute

CHUNK = 2  # images in one pass on a CPU: larger passes leave its cache and are slower (measured, 2 cores)
CHUNK_ON_GPU = 32


class Backbone:
    """A frozen network with pretrained weights; see `load_backbone`.

    Attributes:
        name: of its architecture.
        strides: stride -> channels of its feature map.
        digest: SHA-256 of the weights, which belongs in the key of every cache of features.
        compute: device and precision.

    Example:
        >>> maps = load_backbone("efficientnet_lite0")(torch.zeros(1, 1, 64, 96))
        >>> {stride: tuple(x.shape) for stride, x in maps.items()}
        {8: (1, 40, 8, 12), 16: (1, 112, 4, 6), 32: (1, 320, 2, 3)}
    """

    def __init__(self, name: str, weights: Weights, compute: Compute = CPU, source: str | None = None) -> None:
        architecture = architecture_of(name)
        self.name = name
        self.strides = dict(architecture.channels)
        self.compute = compute
        network = network_with(architecture, weights, source)
        self.digest = weights_digest(weights)
        trunk = architecture.folded(network.eval().requires_grad_(False)).eval()
        self._onnx: OnnxNetwork | None = None
        if isinstance(trunk, LiteTrunk) and self.device.type == "cpu":
            self._onnx = OnnxNetwork(trunk, architecture.normalisation)
        self._network = trunk.to(self.device).to(memory_format=torch.channels_last)
        self._normalise = Normalisation(architecture.normalisation).to(self.device)

    @property
    def device(self) -> torch.device:
        """Where the network is computed."""
        return self.compute.torch_device

    @torch.inference_mode()
    def __call__(self, images: Tensor) -> dict[int, Tensor]:
        """Feature maps of images, a few at a time.

        Args:
            images: (n, 1 or 3, H, W) in [0, 1], on any device; H and W are multiples of 32 (AlexNet, without padding,
                gives maps a little smaller). Grey images are repeated over the three channels.

        Returns:
            {stride: (n, C, H / stride, W / stride)}, float32, on the images' device.
        """
        passes = [self._pass(some) for some in torch.split(images, images_per_pass(self.device))]
        return {stride: torch.cat([maps[stride] for maps in passes]).contiguous() for stride in self.strides}

    def differentiable(self, images: Tensor) -> dict[int, Tensor]:
        """The same in one pass, through which gradients flow back to the images."""
        with self.compute.active():
            maps = self._network(self._normalise(images.to(self.device)))
        return {stride: maps[str(stride)].to(images.device, torch.float32) for stride in self.strides}

    def _pass(self, images: Tensor) -> dict[int, Tensor]:
        if self._onnx is None:
            return self.differentiable(images)
        return {stride: x.to(images.device) for stride, x in self._onnx(images.cpu()).items()}


class Normalisation(nn.Module):
    """Images (n, 1 or 3, H, W) in [0, 1] to what a network was trained on, (n, 3, H, W), channels last.

    Args:
        normalisation: mean and standard deviation of each channel.

    Example:
        >>> Normalisation(((0.5,) * 3, (0.25,) * 3))(torch.ones(1, 1, 1, 1)).flatten()
        tensor([2., 2., 2.])
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, normalisation: Normalised) -> None:
        super().__init__()
        for name, values in zip(("mean", "deviation"), normalisation, strict=True):
            self.register_buffer(name, torch.tensor(values).view(1, 3, 1, 1), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """Normalised images."""
        normalised = (images.expand(-1, 3, -1, -1) - self.mean) / self.deviation
        return normalised.contiguous(memory_format=torch.channels_last)


class Trunk(nn.Module):
    """A backbone's network to be trained: batch norms and all, from random or from pretrained weights.

    Everything it has learned is in its state dict. ``strides`` maps a stride to the channels of its map.

    Args:
        name: key of ARCHITECTURES.
        weights: as in ``load_backbone``; the string "random" starts from torch's initialisation.

    Raises:
        EndlineError: as ``load_backbone``.

    Example:
        >>> trunk = Trunk("efficientnet_lite0", "random")
        >>> tuple(trunk(torch.zeros(2, 3, 64, 64))[32].shape)
        (2, 320, 2, 2)
    """

    def __init__(self, name: str, weights: str | None = None) -> None:
        super().__init__()
        architecture = architecture_of(name)
        self.strides = dict(architecture.channels)
        self.normalise = Normalisation(architecture.normalisation)
        if weights == "random":
            network = architecture.build()
        else:
            network = network_with(architecture, weights_of(name, weights), weights)
        self.network = architecture.layers(network)

    def forward(self, images: Tensor) -> dict[int, Tensor]:
        """Feature maps {stride: (n, C, H / stride, W / stride)} of images (n, 1 or 3, H, W) in [0, 1]."""
        maps = self.network(self.normalise(images))
        return {stride: maps[str(stride)] for stride in self.strides}


def load_backbone(name: str, weights: str | None = None, compute: Compute = CPU) -> Backbone:
    """Load a frozen backbone.

    Args:
        name: key of ARCHITECTURES.
        weights: path of a state dict (.pth, .pt or .safetensors), or name of torchvision weights such as
            `ResNet18_Weights.IMAGENET1K_V1`, which are downloaded; None for the weights that come with the project,
            which only the efficientnet_lite have.
        compute: device and precision. EfficientNet-Lite is computed by onnxruntime on a CPU (1.7 times as fast as by
            torch), all others, gradients and GPUs by torch.

    Raises:
        EndlineError: for an unknown name, and for weights that are missing or do not fit.

    Example:
        >>> load_backbone("efficientnet_lite0").strides
        {8: 40, 16: 112, 32: 320}
    """
    return Backbone(name, weights_of(name, weights), compute, weights)


def images_per_pass(device: torch.device) -> int:
    """How many images pass through a network at once.

    Example:
        >>> images_per_pass(torch.device("cpu"))
        2
    """
    return CHUNK_ON_GPU if device.type == "cuda" else CHUNK
