"""A device that is not the CPU and needs no hardware: real numbers behind tensors that say they lie elsewhere.

Tensors on it refuse to meet tensors of the CPU, as those of a GPU do, and everything computed with them is real. torch
calls the device `meta`; what is computed there stands in a tensor of the CPU behind each.
"""

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode, return_and_correct_aliasing

from endline.backbones.networks import Backbone

ELSEWHERE = torch.device("meta")
# What a GPU allows between itself and the CPU.
BETWEEN = {torch.ops.aten.copy_.default, torch.ops.aten._to_copy.default}


class Distant(Tensor):
    """A tensor that lies elsewhere; `near` holds its numbers."""

    near: Tensor

    @staticmethod
    def __new__(cls, near: Tensor) -> "Distant":
        distant = torch.Tensor._make_wrapper_subclass(
            cls, near.shape, strides=near.stride(), storage_offset=near.storage_offset(), dtype=near.dtype,
            device=ELSEWHERE, requires_grad=False,
        )  # fmt: skip
        distant.near = near
        return distant

    def __tensor_flatten__(self) -> tuple[list[str], None]:
        return ["near"], None

    @staticmethod
    def __tensor_unflatten__(inner: dict[str, Tensor], context: Any, size: Any, stride: Any) -> "Distant":
        return Distant(inner["near"])

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return computed(func, args, kwargs or {})


class Made(TorchFunctionMode):
    """`torch.tensor` on `ELSEWHERE` as a GPU makes it: on the CPU first, for `meta` drops the numbers."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func in (torch.tensor, torch.as_tensor) and kwargs.get("device") is not None:
            device = kwargs.pop("device")
            return func(*args, **kwargs).to(device)
        return func(*args, **kwargs)


class Elsewhere(TorchDispatchMode):
    """While it is active, tensors that are made on `ELSEWHERE` or moved there are `Distant`."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return computed(func, args, kwargs or {})


def computed(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    """Result of an operation, elsewhere if its inputs are or it is asked to be."""
    tensors: list[Tensor] = []
    mapped(tensors.append, (args, kwargs))
    inner_args, inner_kwargs = mapped(nearby, (args, kwargs))
    distant = [x for x in tensors if isinstance(x, Distant)]
    near = [x for x in tensors if not isinstance(x, Distant) and x.ndim > 0]
    if distant and near and func not in BETWEEN:
        shapes = [tuple(x.shape) for x in near]
        raise RuntimeError(f"{func} meets tensors of two devices; on the CPU lie those of the shapes {shapes}")
    target = kwargs.get("device")
    goes = bool(distant) if target is None else torch.device(target).type == ELSEWHERE.type
    if target is not None:
        inner_kwargs["device"] = torch.device("cpu")
    result = func(*inner_args, **inner_kwargs)
    if func is torch.ops.aten.copy_.default:
        return args[0]
    if not goes:
        return result
    if func is torch.ops.aten._to_copy.default or not distant:
        # A copy to another device never shares memory.
        return mapped(lambda x: Distant(x.clone() if any(x is y for y in tensors) else x), result)
    return return_and_correct_aliasing(func, args, kwargs, mapped(Distant, result))


def nearby(x: Tensor) -> Tensor:
    return x.near if isinstance(x, Distant) else x


def mapped(change: Callable[[Tensor], Any], nest: Any) -> Any:
    """A nest of lists, tuples and dictionaries, each of its tensors changed; torch's `tree_map` takes longer."""
    if isinstance(nest, Tensor):
        return change(nest)
    if isinstance(nest, list | tuple):
        return type(nest)([mapped(change, x) for x in nest])
    if isinstance(nest, dict):
        return {name: mapped(change, x) for name, x in nest.items()}
    return nest


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> tuple[str, Any]:
    """Name of a device that is not the CPU, and the context in which there is one: a GPU, or a pretended one."""
    if torch.cuda.is_available():
        return "cuda", nullcontext()
    # Inference mode and tensors of Python do not go together.
    monkeypatch.setattr(Backbone, "__call__", torch.no_grad()(Backbone.__call__.__wrapped__))
    return ELSEWHERE.type, pretended()


@contextmanager
def pretended() -> Iterator[None]:
    """The context of the pretended device."""
    with warnings.catch_warnings(), Made(), Elsewhere():
        # torch takes its tensors for ones without numbers, and copies them all the same.
        warnings.filterwarnings("ignore", ".*copying from a non-meta parameter")
        yield
