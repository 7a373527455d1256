"""Memory of the C library: large tensors that come and go with every step."""

import ctypes
import sys
from functools import cache

from torch import nn

from endline.flows.long_convolution import LongConv1d
from endline.flows.winograd import WideConv2d


def prepare_memory(model: nn.Module) -> None:
    """Make memory ready for a model, once before it is trained or scores; it does nothing for most models.

    Where layers of the model transform wide maps or signals on a CPU (`WideConv2d`, `LongConv1d`), the C library keeps
    freed memory from now on: touching fresh pages for each of those large tensors costs as much as their products do.
    The setting is the process's own and stays.

    Args:
        model: on the device where it will run.

    Example:
        >>> prepare_memory(nn.Linear(2, 2))  # nothing wide: the process stays as it is
    """
    for layer in model.modules():
        if isinstance(layer, WideConv2d | LongConv1d) and layer.is_wide and layer.weight.device.type == "cpu":
            keep_freed_memory()
            return


@cache
def keep_freed_memory() -> None:
    """Let the C library keep freed memory for the next step instead of giving it back to the system."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is not None:  # glibc; others do as they do
        for option, value in ((-4, 0), (-1, 2**31 - 1), (-2, 2**28)):  # M_MMAP_MAX, M_TRIM_THRESHOLD, M_TOP_PAD
            mallopt(option, value)
