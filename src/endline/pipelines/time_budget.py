"""How long a choice among detectors may take, and what ends when that is known not to be enough."""

import time
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from numpy.typing import NDArray

from endline.array_store import FeatureRecipe
from endline.detectors.progress import Progress
from endline.errors import EndlineError

WARM = 4  # epochs, from which it is estimated how long the others take


class OverBudget(EndlineError):
    """A candidate that would take more time than is left.

    Example:
        >>> str(OverBudget("the 0 minutes for the choice are spent"))
        'the 0 minutes for the choice are spent'
    """


@dataclass
class TimeBudget:
    """Ends a training, or the making of arrays, as soon as it is known that it would take more time than is left.

    Attributes:
        budget: seconds for the whole choice.
        begun: when it began.
        fits: of the candidate, after the one that goes on.
        first_epoch: when it ended: it often takes longer than the others.

    Example:
        >>> TimeBudget(600.0).left > 599
        True
    """

    budget: float
    begun: float = field(default_factory=lambda: time.monotonic())
    fits: int = 0
    first_epoch: float = 0.0

    @property
    def left(self) -> float:
        """Seconds that are left."""
        return self.begun + self.budget - time.monotonic()

    def check(self) -> None:
        """Refuse whatever comes once the time is spent."""
        if self.left <= 0:
            raise OverBudget(f"the {self.budget / 60:g} minutes for the choice are spent")

    def progress(self, name: str) -> Progress:
        """Progress of the next fit of the candidate."""
        self.check()
        self.fits -= 1
        return Progress(on_epoch=self._epoch)

    def _epoch(self, epoch: int, epochs: int, loss: float) -> None:
        if epoch == 1:
            self.first_epoch = time.monotonic()
        self.check()
        if epoch < WARM:
            return
        each = (time.monotonic() - self.first_epoch) / (epoch - 1)
        self._check_rest("its training", each * (epochs - epoch + epochs * self.fits))

    def timed(self, recipe: FeatureRecipe) -> FeatureRecipe:
        """The recipe, whose batches end where the others would take too long."""

        def batches(parts: Collection[str]) -> Iterator[Mapping[str, NDArray[Any]]]:
            begun, done = time.monotonic(), 0
            for batch in recipe.batches(parts):
                yield batch
                done += len(next(iter(batch.values())))
                each = (time.monotonic() - begun) / done
                self._check_rest("making what it reads", each * (recipe.length - done))

        return replace(recipe, batches=batches)

    def _check_rest(self, what: str, needed: float) -> None:
        if needed > self.left:
            raise OverBudget(f"{what} would take {needed / 60:.2g} more minutes, and {self.left / 60:.2g} are left")
