"""The folded EfficientNet-Lite as a graph for onnxruntime, which computes it faster on a CPU than torch does."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from endline.backbones.architectures import Normalised
from endline.backbones.lite import LiteBlock, LiteTrunk

OPSET = 17  # of Clip, Conv, Add, Sub, Div as written here; onnxruntime has read it since 1.12
IR_VERSION = 8


class OnnxNetwork:
    """A folded network in onnxruntime, for images of any size; float32, with as many threads as torch has.

    The graph is written when the first images come, in about 0.1 s.

    Args:
        trunk: the folded network.
        normalisation: mean and standard deviation of each channel of its images.

    Example:
        >>> from endline.backbones.networks import load_backbone
        >>> load_backbone("efficientnet_lite0")(torch.rand(1, 3, 32, 64))[16].shape
        torch.Size([1, 112, 2, 4])
    """

    def __init__(self, trunk: LiteTrunk, normalisation: Normalised) -> None:
        self._trunk, self._normalisation = trunk, normalisation
        self._names = list(trunk.taps.values())
        self._session: Any = None
        self._threads = 0

    def __call__(self, images: Tensor) -> dict[int, Tensor]:
        """Feature maps {stride: (n, C, H / stride, W / stride)} of images (n, 1 or 3, H, W) in [0, 1] on the CPU."""
        if self._threads != torch.get_num_threads():
            self._threads = torch.get_num_threads()
            self._session = _session(serialised(self._trunk, self._normalisation), self._threads)
        pixels = images.detach().expand(-1, 3, -1, -1).to(torch.float32).numpy()
        maps = self._session.run(self._names, {"images": np.ascontiguousarray(pixels)})
        return {int(name): torch.from_numpy(x) for name, x in zip(self._names, maps, strict=True)}


def serialised(trunk: LiteTrunk, normalisation: Normalised) -> bytes:
    """ONNX model of a folded network: `images` (n, 3, H, W) in [0, 1] to a map for each stride, named by it."""
    from onnx import TensorProto, helper  # here, since a GPU does not need it

    graph = _Graph()
    x = "images"
    for operator, values in zip(("Sub", "Div"), normalisation, strict=True):
        x = graph.node(operator, [x, graph.constant(torch.tensor(values).view(1, 3, 1, 1))])
    x = graph.module(trunk.stem, x)
    for index, block in enumerate(trunk.blocks):
        x = graph.module(block, x)
        if index in trunk.taps:
            graph.nodes.append(helper.make_node("Identity", [x], [trunk.taps[index]]))
    images = helper.make_tensor_value_info("images", TensorProto.FLOAT, ["n", 3, "height", "width"])
    maps = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in trunk.taps.values()]
    model = helper.make_model(
        helper.make_graph(graph.nodes, "backbone", [images], maps, graph.constants),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
    )
    written: bytes = model.SerializeToString()
    return written


class _Graph:
    """Nodes and constants as they come; every value has the number of its node as name."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def node(self, operator: str, inputs: Sequence[str], **attributes: Any) -> str:
        from onnx import helper

        name = f"value_{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, inputs, [name], **attributes))
        return name

    def constant(self, values: Tensor) -> str:
        from onnx import numpy_helper

        name = f"constant_{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(values.detach().numpy(), name))
        return name

    def module(self, module: nn.Module, x: str) -> str:
        """Name of the module's result on `x`; onnxruntime joins paddings and activations with their convolutions."""
        match module:
            case LiteBlock():
                y = self.module(module.layers, x)
                return self.node("Add", [y, x]) if module.residual else y
            case nn.Sequential():
                for part in module:
                    x = self.module(part, x)
                return x
            case nn.ZeroPad2d():
                left, right, top, bottom = module.padding
                return self.node("Pad", [x, self.constant(torch.tensor([0, 0, top, left, 0, 0, bottom, right]))])
            case nn.ReLU6():
                return self.node("Clip", [x, self.constant(torch.tensor(0.0)), self.constant(torch.tensor(6.0))])
            case nn.Conv2d():
                assert module.bias is not None
                inputs = [x, self.constant(module.weight), self.constant(module.bias)]
                pads, strides = 2 * list(module.padding), list(module.stride)
                return self.node("Conv", inputs, pads=pads, strides=strides, group=module.groups)
        raise NotImplementedError(f"no ONNX for {type(module).__name__}")


def _session(model: bytes, threads: int) -> Any:
    """A session on the CPU; threads sleep while they wait, since torch's own want the processor next."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
