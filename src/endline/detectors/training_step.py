"""One step of a training: gradients of a batch, then the optimizer; on a GPU recorded once and replayed."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import torch
from torch import Tensor, nn

from endline.compute import Compute
from endline.feature_set import Batch

WARM = 3  # steps before the recording, in which libraries choose their kernels


class TrainingStep:
    """Loss and gradients of a batch in the precision of the run, the clipping, and the optimizer's step.

    A flow has thousands of small kernels, and a GPU does them faster than Python starts them. Where the loss is
    `static`, forward and backward of a batch of the first one's shapes are recorded after some steps (a CUDA graph),
    and replayed from then on: the same kernels with the same results, from one command. A batch of other shapes, the
    last one of an epoch, goes the plain way. In TF32 and bf16 the recorded kernels are the fastest of those that cuDNN
    tries, so that two trainings may differ by rounding; in float32 they are the same ones every time.

    Args:
        loss: mean over the samples of a batch.
        optimizer: of the parameters that are trained.
        compute: device and precision.
        trains: what this loss alone trains of the optimizer's parameters, where losses take turns; None = all.
        clip_norm: bound of the gradient's norm; 0 = none.
        static: whether the loss runs the same kernels for every batch: it reads nothing back from the device, makes no
            tensor from numbers of the CPU, and depends on no state of Python that changes.

    Example:
        >>> layer = nn.Linear(2, 1)
        >>> optimizer = torch.optim.SGD(layer.parameters(), 0.1)
        >>> step = TrainingStep(lambda batch: layer(batch["x"]).square().mean(), optimizer, Compute("cpu"))
        >>> first, second = (step({"x": torch.ones(3, 2)}).item() for _ in range(2))
        >>> second < first
        True
    """

    def __init__(
        self,
        loss: Callable[[Batch], Tensor],
        optimizer: torch.optim.Optimizer,
        compute: Compute,
        *,
        trains: nn.Module | None = None,
        clip_norm: float = 0.0,
        static: bool = False,
    ) -> None:
        self.loss, self.optimizer, self.clip_norm = loss, optimizer, clip_norm
        self.parameters: list[nn.Parameter] = [each for group in optimizer.param_groups for each in group["params"]]
        if trains is not None:
            self.parameters = [each for each in trains.parameters() if each.requires_grad]
        self.inputs = None if trains is None else self.parameters  # of backward: the adversary gets no gradient
        self.compute = compute
        # Backward has its precision from forward's tensors, and no autocast; what stayed float32 may take TF32.
        self.backward = replace(compute, precision="tf32") if compute.precision == "bf16" else compute
        self.static = static and compute.torch_device.type == "cuda"
        self.shapes: dict[str, torch.Size] | None = None
        self.warm = 0
        self.recording: _Recording | None = None

    def __call__(self, batch: Batch) -> Tensor:
        """Take the step; returns the loss before it, a number on the device that holds until the next step."""
        self.optimizer.zero_grad(set_to_none=True)  # all: it passes over what has no gradient, and keeps its moments
        value = self._static_gradients(batch) if self.static else self._gradients(batch)
        if self.clip_norm > 0:
            nn.utils.clip_grad_norm_(self.parameters, self.clip_norm)
        self.optimizer.step()
        return value

    def _gradients(self, batch: Batch) -> Tensor:
        with self.compute.active():
            value = self.loss(batch)
        with self.backward.active():
            value.backward(inputs=self.inputs)  # type: ignore[no-untyped-call]
        return value.detach()

    def _static_gradients(self, batch: Batch) -> Tensor:
        shapes = {name: x.shape for name, x in batch.items()}
        self.shapes = self.shapes or shapes
        if shapes != self.shapes:
            return self._gradients(batch)
        if self.recording is not None:
            return self.recording.replay(batch)
        with _tried_kernels(self.compute.precision != "float32"):
            if self.warm < WARM:
                self.warm += 1
                return _beside(lambda: self._gradients(batch))
            self.recording = _Recording(self._gradients, batch, self.parameters)
        return self.recording.replay(batch)


class _Recording:
    """Forward and backward of one step as a CUDA graph, with the memory that they work in."""

    def __init__(self, gradients: Callable[[Batch], Tensor], batch: Batch, parameters: list[nn.Parameter]) -> None:
        self.inputs = {name: x.clone() for name, x in batch.items()}
        self.graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self.graph):
            self.value = gradients(self.inputs)
        self.gradients = [(each, each.grad) for each in parameters]

    def replay(self, batch: Batch) -> Tensor:
        for name, x in batch.items():
            self.inputs[name].copy_(x)
        self.graph.replay()
        for parameter, gradient in self.gradients:  # a step of other shapes has put its own there
            parameter.grad = gradient
        return self.value


@contextmanager
def _tried_kernels(tried: bool) -> Iterator[None]:
    """Let cuDNN try its kernels for each new shape, if `tried`; CS-Flow's step on an H100: 0.051 s, untried 0.057 s."""
    before = torch.backends.cudnn.benchmark
    torch.backends.cudnn.benchmark = tried
    try:
        yield
    finally:
        torch.backends.cudnn.benchmark = before


def _beside(action: Callable[[], Tensor]) -> Tensor:
    """What the action gives, done on a stream of its own: steps on the main one could not be recorded after them."""
    main, beside = torch.cuda.current_stream(), torch.cuda.Stream()  # type: ignore[no-untyped-call]
    beside.wait_stream(main)
    with torch.cuda.stream(beside):
        value = action()
    main.wait_stream(beside)
    return value
