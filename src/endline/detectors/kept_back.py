"""Training samples that a fit does not see, by which something is decided."""

from dataclasses import replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from endline.detectors.fitting import Training
from endline.feature_set import FeatureSet


def kept_back(rows: pd.DataFrame, share: float, seed: int) -> NDArray[np.bool_]:
    """Which rows are kept back: a share of the units of each domain, at least one in all, never the last.

    Args:
        rows: with `unit` (else `sample_id` counts), and `domain` where there are any.
        share: between 0 and 1.
        seed: of the draw.

    Example:
        >>> rows = pd.DataFrame({"unit": list("aabbccdd"), "domain": ["source"] * 8})
        >>> int(kept_back(rows, 0.5, seed=0).sum())
        4
    """
    units = rows["unit"] if "unit" in rows else rows["sample_id"]
    domains = rows["domain"].fillna("") if "domain" in rows else pd.Series("", index=rows.index)
    firsts = pd.DataFrame({"unit": units, "domain": domains}).drop_duplicates("unit")
    firsts = firsts.sample(frac=1, random_state=np.random.default_rng(seed))
    place = (firsts.groupby("domain").cumcount() + 0.5) / firsts.groupby("domain")["unit"].transform("size")
    order = firsts["unit"].to_numpy()[np.argsort(place.to_numpy(), kind="stable")]
    count = min(max(1, round(share * len(order))), len(order) - 1)
    return units.isin(order[:count]).to_numpy(bool)


def without_kept_back(training: Training, share: float) -> tuple[Training, FeatureSet]:
    """What a fit learns from while a share of the parts is kept back (`kept_back`), and those; none of one part alone.

    Example:
        >>> from endline.detectors.fitting import known_rows
        >>> from endline.detectors.progress import Progress
        >>> features = FeatureSet({"x": np.ones((5, 1), "f4")})
        >>> rest, held_out = without_kept_back(Training(features, known_rows(None, 5), 0, Progress()), 0.2)
        >>> len(rest.features), len(rest.rows), len(held_out)
        (4, 4, 1)
    """
    back = kept_back(training.rows, share, training.seed)
    learned = np.flatnonzero(~back)
    rows = training.rows.iloc[learned].reset_index(drop=True)
    rest = replace(training, features=training.features.take(learned), rows=rows)
    return rest, training.features.take(np.flatnonzero(back))
