"""What goes into the fit of a detector, and what is said of it afterwards."""

from dataclasses import dataclass, replace

import pandas as pd

from endline.compute import CPU, Compute
from endline.detectors.progress import Progress
from endline.feature_set import FeatureSet

# What a method may know of its training samples: never a label, nor what gives it away.
ROW_COLUMNS = ("sample_id", "unit", "group", "domain", "section", "attributes", "part")


@dataclass(frozen=True)
class Training:
    """What a method learns from.

    Attributes:
        features: normal samples, read onto the detector's device; the arrays that it reads and no others.
        rows: their rows of the sample table: those of `ROW_COLUMNS` that there are, `sample_id` always.
        seed: decides every random choice.
        progress: shows the progress, and keeps the checkpoint from which a killed fit goes on.
        outliers: normal samples of other classes, for a method that uses them, where there are any.
        compute: device and precision.

    Example:
        >>> import numpy as np
        >>> features = FeatureSet({"scale_0": np.zeros((2, 3, 4, 4), "f4")})
        >>> training = Training(features, known_rows(None, 2), seed=0, progress=Progress())
        >>> training.rows["sample_id"].tolist()
        ['0', '1']
    """

    features: FeatureSet
    rows: pd.DataFrame
    seed: int
    progress: Progress
    outliers: FeatureSet | None = None
    compute: Compute = CPU

    def stage(self, name: str) -> "Training":
        """The same for one of several trainings in a fit, with a checkpoint of its own."""
        return replace(self, progress=self.progress.stage(name))


@dataclass(frozen=True)
class History:
    """How a fit went.

    Attributes:
        losses: mean training loss of each epoch; empty for a closed form.
        seconds: duration of the fit.

    Example:
        >>> History(losses=(2.0, 1.5), seconds=0.1).losses[-1]
        1.5
    """

    losses: tuple[float, ...] = ()
    seconds: float = 0.0


def known_rows(rows: pd.DataFrame | None, count: int) -> pd.DataFrame:
    """What a method may know of its training samples, one row each; without a table they are numbered.

    Args:
        rows: their rows of the sample table.
        count: number of training samples.

    Raises:
        ValueError: when there are more or fewer rows than samples.

    Example:
        >>> table = pd.DataFrame({"sample_id": ["a", "b"], "domain": ["source", "target"], "label": [0, 0]})
        >>> known_rows(table, 2).columns.tolist()
        ['sample_id', 'domain']
    """
    if rows is None:
        return pd.DataFrame({"sample_id": [str(number) for number in range(count)]})
    if len(rows) != count:
        raise ValueError(f"{len(rows)} rows were given for {count} training samples")
    return rows[[column for column in ROW_COLUMNS if column in rows]].reset_index(drop=True)
