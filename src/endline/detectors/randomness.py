"""Random numbers that follow from a seed, and leave those of everyone else as they are."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def seeded(seed: int, device: torch.device | None = None) -> Iterator[None]:
    """Seed torch's global generators of the CPU and of `device`, and put them back afterwards.

    Args:
        seed: from 0 below 2^63.
        device: a GPU whose generator is drawn from too; None or a CPU = none.

    Example:
        >>> with seeded(3):
        ...     first = torch.rand(2)
        >>> with seeded(3):
        ...     again = torch.rand(2)
        >>> torch.equal(first, again)
        True
    """
    on_gpu = device is not None and device.type == "cuda" and torch.cuda.is_available()
    with torch.random.fork_rng(devices=[device] if on_gpu else []):
        torch.default_generator.manual_seed(seed)
        if on_gpu:
            with torch.cuda.device(device):
                torch.cuda.manual_seed(seed)
        yield
