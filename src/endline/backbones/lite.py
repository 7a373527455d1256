"""EfficientNet-Lite up to its last block: as published, and with its batch norms folded into the convolutions."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval


class LiteLayers(nn.Module):
    """EfficientNet-Lite up to its last block, as published.

    Args:
        network: the network of the package efficientnet_lite_pytorch.
        taps: stride -> index of the last block of that stride.

    Example:
        >>> import torch
        >>> from efficientnet_lite_pytorch import EfficientNet
        >>> network = EfficientNet.from_name("efficientnet-lite0", image_size=224)
        >>> maps = LiteLayers(network, {8: "4", 32: "15"})(torch.zeros(1, 3, 64, 64))
        >>> {stride: tuple(x.shape) for stride, x in maps.items()}
        {'8': (1, 40, 8, 8), '32': (1, 320, 2, 2)}
    """

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


class LiteTrunk(LiteLayers):
    """EfficientNet-Lite up to its last block, batch norms folded into the convolutions: twice as fast.

    Args:
        network: the network of the package efficientnet_lite_pytorch, in evaluation mode.
        taps: stride -> index of the last block of that stride.

    Example:
        >>> import torch
        >>> from efficientnet_lite_pytorch import EfficientNet
        >>> network = EfficientNet.from_name("efficientnet-lite0", image_size=224).eval()
        >>> image, taps = torch.rand(1, 3, 64, 64), {32: "15"}
        >>> published, folded = (layers(network, taps).eval()(image)["32"] for layers in (LiteLayers, LiteTrunk))
        >>> torch.allclose(published, folded, atol=1e-3)
        True
    """

    def __init__(self, network: Any, taps: Mapping[int, str]) -> None:
        super().__init__(network, taps)
        self.stem = nn.Sequential(_folded(network._conv_stem, network._bn0), nn.ReLU6(inplace=True))
        self.blocks = nn.ModuleList(LiteBlock(block) for block in network._blocks)


class LiteBlock(nn.Module):
    """One inverted residual block with folded batch norms; `block` is the package's.

    Example:
        >>> from efficientnet_lite_pytorch import EfficientNet
        >>> network = EfficientNet.from_name("efficientnet-lite0", image_size=224).eval()
        >>> LiteBlock(network._blocks[1]).residual
        False
    """

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
