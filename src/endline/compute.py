"""Where and how exactly tensors are computed: the one place that knows of devices and precisions."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch

from endline.errors import EndlineError

DEVICES = ("auto", "cpu", "cuda")
PRECISIONS = ("float32", "tf32", "bf16")


@dataclass(frozen=True)
class Compute:
    """Device and precision of a run.

    Attributes:
        device: `cpu`, `cuda` (or `cuda:1`, ...), or `auto`: the first GPU where there is one, else the CPU.
        precision: of products and convolutions on a GPU: `float32`, `tf32` (10 bits of mantissa) or `bf16` (8 bits, by
            autocast). A CPU computes in float32 whatever is set here.

    Raises:
        EndlineError: for an unknown device or precision, and for `cuda` where torch sees no GPU.

    Example:
        >>> Compute(device="cpu").torch_device
        device(type='cpu')
    """

    device: str = "auto"
    precision: str = "float32"

    def __post_init__(self) -> None:
        if self.device.split(":")[0] not in (*DEVICES, "meta"):
            raise EndlineError(f"There is no device '{self.device}': choose one of {', '.join(DEVICES)}.")
        if self.precision not in PRECISIONS:
            raise EndlineError(f"There is no precision '{self.precision}': choose one of {', '.join(PRECISIONS)}.")
        if self.device.startswith("cuda") and not torch.cuda.is_available():
            raise EndlineError("device=cuda, and torch sees no GPU: install its driver, or choose device=cpu.")

    @property
    def torch_device(self) -> torch.device:
        """The device, `auto` resolved."""
        if self.device == "auto":
            return torch.device("cuda" if torch.cuda.is_available() else "cpu")
        return torch.device(self.device)

    @contextmanager
    def active(self) -> Iterator[None]:
        """Compute in this precision on a GPU; flags that are the process's own are put back afterwards."""
        if self.torch_device.type != "cuda":
            yield
            return
        before = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
        allowed = self.precision == "tf32"
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = allowed
        try:
            with torch.autocast("cuda", torch.bfloat16, enabled=self.precision == "bf16"):
                yield
        finally:
            torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = before


CPU = Compute(device="cpu")
