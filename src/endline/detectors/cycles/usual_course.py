"""The mean course of the training cycles, from which a map tells a departure."""

from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch import Tensor, nn


class UsualCourse(nn.Module):
    """Mean of the training cycles at each step, where any of them lasts so long.

    Models that were trained before there was one have none: then a signal departs from its mean over all steps.

    Args:
        signals, steps: of a cycle.

    Example:
        >>> usual = UsualCourse(signals=1, steps=3)
        >>> cycles = torch.tensor([[[1.0, 2.0, 0.0]], [[3.0, 2.0, 0.0]]])
        >>> _ = list(usual.watching([(cycles, torch.tensor([[[1.0, 1.0, 0.0]], [[1.0, 1.0, 0.0]]]))]))
        >>> usual.departure(torch.tensor([[[5.0, 2.0, 9.0, 9.0]]]), mean=torch.tensor([2.0])).tolist()
        [[[3.0, 0.0, 7.0, 7.0]]]
    """

    course: Tensor
    known: Tensor  # 1 at steps that a training cycle reaches

    def __init__(self, signals: int, steps: int) -> None:
        super().__init__()
        self.register_buffer("course", torch.zeros(signals, steps))
        self.register_buffer("known", torch.zeros(steps))

    def watching(self, batches: Iterable[tuple[Tensor, Tensor]]) -> Iterator[tuple[Tensor, Tensor]]:
        """The batches as they are, for somebody else's fit; behind the last one the course is known.

        Args:
            batches: values (batch, signals, steps) and mask (batch, 1, steps).
        """
        total, count = torch.zeros_like(self.course).double(), torch.zeros_like(self.known).double()
        for values, valid in batches:
            total += (values * valid).sum(0, dtype=torch.float64)
            count += valid[:, 0].sum(0, dtype=torch.float64)
            yield values, valid
        self.course = (total / count.clamp(min=1)).to(self.course.dtype)
        self.known = (count > 0).to(self.known.dtype)

    def departure(self, values: Tensor, mean: Tensor) -> Tensor:
        """Signals (batch, signals, steps) less their usual course; less their `mean` (signals,) where none is known."""
        steps = values.shape[-1]
        missing = max(0, steps - len(self.known))
        course = nn.functional.pad(self.course, (0, missing))[:, :steps]
        known = nn.functional.pad(self.known, (0, missing))[:steps]
        return values - torch.where(known > 0, course, mean[:, None])

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *options: Any) -> None:
        for name, empty in self.named_buffers():  # models of before have none
            state_dict.setdefault(prefix + name, empty)
        super()._load_from_state_dict(state_dict, prefix, *options)
