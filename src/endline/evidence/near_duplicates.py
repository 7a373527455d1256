"""Tested samples that look as ones that trained: of such a part the run says nothing about new parts.

Any kind of evidence takes part by a column `look_hash` of its sample table: a vector of fixed length that says how the
sample looks (a small picture, mean levels of bands, a short curve), as `look_hash` writes it.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from endline.errors import EndlineError
from endline.samples import TEST

LARGEST_DISTANCE = 0.02  # of a pair that is reported; see `near_duplicates`
MOST = 10  # pairs of a tested sample
BLOCK = 2**22  # similarities that are held at once, 16 MiB
COLUMNS = ("training", "tested", "distance")


def look_hash(look: NDArray[np.floating]) -> str:
    """A vector (features,) as text: without its mean and scale, each number as two hexadecimal digits (int8).

    Example:
        >>> look_hash(np.array([3.0, 1.0, 2.0]))
        '7f8100'
    """
    centred = np.asarray(look, np.float64) - np.mean(look)
    largest = np.abs(centred).max(initial=0)
    flat = largest <= 1e-6 * np.abs(look).max(initial=0)  # rounding of a constant
    numbers = np.zeros(len(centred)) if flat else np.rint(centred / largest * 127)
    return numbers.astype(np.int8).tobytes().hex()


def near_duplicates(samples: pd.DataFrame, largest: float = LARGEST_DISTANCE, most: int = MOST) -> pd.DataFrame:
    """Pairs of a training and a tested sample of one group and part that look the same.

    The similarity of two samples, in [-1, 1], is the smaller of two correlations: that of their looks, and that of what
    the looks have beyond the mean look of all samples. A camera that stands still gives photographs that correlate to
    0.99 throughout; what tells one part from another is what the mean does not show. The distance is 1 - similarity; of
    equal looks it is 0, and looks without any variation (a blank picture) are near to nothing.

    By a distance of 0.02, of 2,223 pairs of photographs that show one magnetic tile (Huang et al. 2020) in different
    exposures 47 % are found, and 0.02 % of 450,453 that show different ones; of commutators all 16 pairs of copies, 8
    more of one part, and no other. Products that differ as wholes (kinds of juice) give 0.1 % of pairs that are none:
    a pair is a reason to look, and no proof.

    Args:
        samples: the sample table, with `look_hash`; missing where a sample has none.
        largest: distance of the pairs that are kept, in [0, 2].
        most: pairs that are kept of each tested sample, the nearest ones.

    Returns:
        Columns `training, tested` (sample ids) and `distance`, the nearest pair first.

    Raises:
        EndlineError: when looks of one group and part differ in length.

    Example:
        >>> looks = [look_hash(np.array(look)) for look in ([0.0, 1, 2, 9], [0.0, 1, 2, 9], [5.0, 1, 2, 0])]
        >>> table = {"sample_id": ["a", "b", "c"], "group": "g", "part": None, "split": ["train", "test", "test"]}
        >>> near_duplicates(pd.DataFrame({**table, "look_hash": looks})).to_numpy().tolist()
        [['a', 'b', 0.0]]
    """
    known = samples[samples["look_hash"].notna()]
    found = [_pairs(rows, largest, most) for _, rows in known.groupby(["group", "part"], dropna=False, sort=False)]
    tables = [table for table in found if len(table)]
    if not tables:
        return pd.DataFrame({"training": [], "tested": [], "distance": []}).astype({"training": str, "tested": str})
    return pd.concat(tables).sort_values(["distance", "tested", "training"], ignore_index=True)


def _pairs(samples: pd.DataFrame, largest: float, most: int) -> pd.DataFrame:
    hashes = samples["look_hash"].tolist()
    looks = _looks(samples["sample_id"].tolist(), hashes)
    own = _units(looks - looks.mean(axis=0))
    _, code = np.unique(np.array(hashes), return_inverse=True)
    names = samples["sample_id"].to_numpy()
    is_tested, varied = (samples["split"] == TEST).to_numpy(), np.asarray(looks.any(axis=1))
    tested, trained = np.flatnonzero(is_tested), np.flatnonzero(~is_tested & varied)
    most = min(most, len(trained))
    parts = []
    step = max(1, BLOCK // max(1, len(trained)))
    for start in range(0, len(tested) if most else 0, step):
        rows = tested[start : start + step]
        similarity = np.minimum(looks[rows] @ looks[trained].T, own[rows] @ own[trained].T)
        similarity[(code[rows][:, None] == code[trained]) & varied[rows][:, None]] = 1
        nearest = np.argpartition(-similarity, most - 1, axis=1)[:, :most]
        distance = np.clip(1 - np.take_along_axis(similarity, nearest, axis=1), 0, 2).astype(np.float64)
        row, column = np.nonzero(distance <= largest)
        pairs = (names[trained[nearest[row, column]]], names[rows[row]], distance[row, column])
        parts.append(pd.DataFrame(dict(zip(COLUMNS, pairs, strict=True))))
    return pd.concat(parts) if parts else pd.DataFrame(columns=list(COLUMNS))


def _looks(names: Sequence[str], hashes: Sequence[str]) -> NDArray[np.float32]:
    """Unit vectors (samples, features) of hashes; zeros of a look without variation."""
    for name, text in zip(names, hashes, strict=True):
        if len(text) != len(hashes[0]):
            raise EndlineError(
                f"The look of {name} has {len(text) // 2} numbers and that of {names[0]} {len(hashes[0]) // 2}: "
                "index both in one run of one version."
            )
    numbers = np.frombuffer(bytes.fromhex("".join(hashes)), np.int8).reshape(len(hashes), -1)
    return _units(numbers.astype(np.float32))


def _units(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Rows without their mean and of length 1; zeros stay zeros."""
    centred = vectors - vectors.mean(axis=1, keepdims=True)
    units: NDArray[np.float32] = centred / np.maximum(np.linalg.norm(centred, axis=1, keepdims=True), np.float32(1e-6))
    return units
