"""What a detector says of a batch."""

from collections.abc import Callable
from functools import cached_property

from torch import Tensor


class Scored:
    """Scores of a batch, and its anomaly maps.

    Attributes:
        score: (batch,), larger = more anomalous, raw and unclamped.
        map: (batch, height, width) anomaly map, or None where the method has none. A map that costs much more than
            the score is given as a function, called when the map is first read.

    Example:
        >>> import torch
        >>> scored = Scored(torch.tensor([0.5, 2.0]), lambda: torch.ones(2, 8, 8))
        >>> scored.score.tolist()
        [0.5, 2.0]
        >>> scored.map.shape
        torch.Size([2, 8, 8])
    """

    def __init__(self, score: Tensor, map: Tensor | Callable[[], Tensor | None] | None = None) -> None:
        self.score = score
        self._map = map

    @cached_property
    def map(self) -> Tensor | None:
        """The map, drawn now if it was not yet."""
        return self._map if self._map is None or isinstance(self._map, Tensor) else self._map()

    @property
    def has_map(self) -> bool:
        """Whether there is a map, drawn or not."""
        return self._map is not None
