"""What a detector may offer beside scores and maps, by which a report says how it sees the samples."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from torch import Tensor

from endline.detectors.base import Detector
from endline.detectors.scoring import ALL, Detectors, by_part
from endline.feature_set import Batch, FeatureSet


@runtime_checkable
class Embeds(Protocol):
    """A detector that lays samples into a space of its own, where near ones look alike to it.

    Attributes:
        embedded: what the numbers are, as a caption says it.

    Example:
        >>> from endline.detectors.sound.aegan import AEGAN, AEGANConfig
        >>> isinstance(AEGAN(AEGANConfig()), Embeds)
        True
    """

    embedded: str

    def embeddings(self, batch: Batch) -> Tensor:
        """Vectors (batch, numbers) of samples, on the CPU."""
        ...


@runtime_checkable
class RanksInputs(Protocol):
    """A detector that says of each of its inputs how much it adds to how unlikely a sample is.

    Attributes:
        inputs: their names, in the detector's order.

    Example:
        >>> from endline.detectors.sound.stack_cflow import StackCFlow, StackCFlowConfig
        >>> isinstance(StackCFlow(StackCFlowConfig()), RanksInputs)
        True
    """

    inputs: Sequence[str]

    def importances(self, batch: Batch) -> Tensor:
        """Importance (batch, inputs) for each sample, on the CPU; below 0 where an input makes it likelier."""
        ...


class OfPart(NamedTuple):
    """The first of the detectors that judge a part, and the samples that it is asked about.

    Attributes:
        part: its name; `all` where one detector judges all parts.
        rows: (n,) where its samples stand in the table.
        features: theirs, those that the detector reads.
        detector: of the first fold. What its space or its inputs look like is its own: no mean over folds is taken.

    Example:
        >>> from endline.detectors.pooled.gaussian import Gaussian, GaussianConfig
        >>> part = OfPart("all", np.arange(2), FeatureSet({"x": np.zeros((2, 1), "f4")}), Gaussian(GaussianConfig()))
        >>> len(part.features)
        2
    """

    part: str
    rows: NDArray[np.int64]
    features: FeatureSet
    detector: Detector[Any]


def first_detectors(samples: pd.DataFrame, features: FeatureSet, detectors: Detectors) -> Iterator[OfPart]:
    """The first detector of each part, with the samples of that part.

    Args:
        samples: rows of the sample table, as `scoring.detector_rows` gives them.
        features: their feature set, row by row.
        detectors: by name.

    Example:
        >>> from endline.detectors.pooled.gaussian import Gaussian, GaussianConfig
        >>> table = pd.DataFrame({"part": ["fold", "unfold", "fold"]})
        >>> features = FeatureSet({"scale_0": np.zeros((3, 2, 1, 1), "f4")})
        >>> gaussian = Gaussian(GaussianConfig())
        >>> found = first_detectors(table, features, {"fold/0": gaussian, "fold/1": gaussian, "unfold/0": gaussian})
        >>> [(each.part, each.rows.tolist()) for each in found]
        [('fold', [0, 2]), ('unfold', [1])]
    """
    shared = ALL in {name.split("/")[0] for name in detectors}
    for part, rows in by_part(samples, np.arange(len(samples)), shared=shared):
        named = [name for name in sorted(detectors) if name.split("/")[0] == part]
        detector = detectors[named[0]]
        yield OfPart(part, rows, features.only(detector.required, detector.optional).take(rows), detector)
