"""The students of AST: the convolutional one, and flows, with which it was compared."""

from torch import Tensor, nn
from torch.nn import functional

from endline.flows.coupling import CouplingFlow
from endline.flows.winograd import WideConv2d


class ConvStudent(nn.Module):
    """Convolution, residual blocks, convolution.

    Args:
        channels: channels of the maps that come in and go out.
        code: channels of the position code, which enters beside the maps; 0 = none.
        hidden: channels between.
        blocks: residual blocks of two times convolution, batch norm and LeakyReLU.
        slope: of LeakyReLU below 0.

    Example:
        >>> import torch
        >>> student = ConvStudent(channels=3, code=4, hidden=8, blocks=1, slope=0.2)
        >>> student(torch.zeros(2, 3, 6, 6), torch.zeros(1, 4, 6, 6)).shape
        torch.Size([2, 3, 6, 6])
    """

    def __init__(self, channels: int, code: int, hidden: int, blocks: int, slope: float) -> None:
        super().__init__()
        self.slope = slope
        self.enter = WideConv2d(channels, hidden, 3, padding=1)
        self.position = nn.Conv2d(code, hidden, 3, padding=1, bias=False) if code else None

        def half() -> list[nn.Module]:
            # Batch norm takes away what a bias would add.
            conv = WideConv2d(hidden, hidden, 3, padding=1, bias=False)
            return [conv, nn.BatchNorm2d(hidden), nn.LeakyReLU(slope)]

        self.blocks = nn.ModuleList(nn.Sequential(*half(), *half()) for _ in range(blocks))
        self.leave = WideConv2d(hidden, channels, 3, padding=1)

    def forward(self, x: Tensor, code: Tensor) -> Tensor:
        """Maps (batch, channels, H, W) of maps of this shape and of the code (1, code, H, W)."""
        y = self.enter(x)
        if self.position is not None:
            y = y + self.position(code)
        y = functional.leaky_relu(y, self.slope)
        for block in self.blocks:
            y = y + block(y)
        out: Tensor = self.leave(y)
        return out


class FlowStudent(nn.Module):
    """The latents of a flow as a student's output.

    Args:
        flow: a conditional flow on one scale.

    Example:
        >>> import torch
        >>> from endline.detectors.maps.ast import AST, ASTConfig
        >>> detector = AST(ASTConfig(student="flow", components=2, hidden=4, blocks=1))
        >>> model = detector._build({"scale_0": (4, 6, 6)}, samples=8)
        >>> model.student(torch.zeros(2, 2, 6, 6), model.code).shape
        torch.Size([2, 2, 6, 6])
    """

    def __init__(self, flow: CouplingFlow) -> None:
        super().__init__()
        self.flow = flow

    def forward(self, x: Tensor, code: Tensor) -> Tensor:
        """Maps (batch, channels, H, W) of maps of this shape and of the code (1, code, H, W)."""
        z: Tensor = self.flow((x,), (code,))[0][0]
        return z
