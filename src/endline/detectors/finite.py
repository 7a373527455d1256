"""Numbers that no detector can compute with, and scores that are no verdict: errors that name the sample."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from endline.errors import EndlineError
from endline.feature_set import FeatureSet

BATCH = 64
LARGEST = 1e15  # squares and products of larger numbers leave float32; nothing that is measured is so large


def check_samples(features: FeatureSet, names: Sequence[str], role: str = "training sample") -> None:
    """`check_arrays` of a whole feature set, batch by batch.

    Args:
        features: n samples.
        names: of the samples, (n,).
        role: what they are in the error's sentence.
    """
    for number, batch in enumerate(features.batches(BATCH)):
        check_arrays(batch, names[number * BATCH : (number + 1) * BATCH], role)


def check_arrays(arrays: Mapping[str, Tensor], names: Sequence[str] | None = None, role: str = "sample") -> None:
    """Refuse NaN, infinity and numbers beyond `LARGEST`.

    Args:
        arrays: (batch, ...) by name.
        names: of the samples, (batch,); without, they are numbered.
        role: what they are in the error's sentence.

    Raises:
        EndlineError: naming the array and the first such sample.

    Example:
        >>> try:
        ...     check_arrays({"cycle": torch.tensor([[1.0, 2.0], [1.0, torch.nan]])}, ["a.csv", "b.csv"])
        ... except EndlineError as error:
        ...     print(error)
        Array 'cycle' of sample b.csv is not finite: look for NaN in the raw file, then run again.
    """
    for name, array in arrays.items():
        if not _is_bounded(array, LARGEST):
            row = next(row for row, values in enumerate(array) if not _is_bounded(values, LARGEST))
            finite = bool(array[row].isfinite().all())
            raise EndlineError(
                f"Array '{name}' of {role} {_name(names, row)} "
                + (
                    f"holds a number beyond {LARGEST:g}: look for a broken sensor or unit"
                    if finite
                    else "is not finite: look for NaN"
                )
                + " in the raw file, then run again."
            )


def check_scores(scores: Tensor, names: Sequence[str] | None, detector: str) -> None:
    """Refuse a score (batch,) that is not finite: it would be called normal, as NaN is above no threshold.

    Raises:
        EndlineError: naming the first such sample.

    Example:
        >>> try:
        ...     check_scores(torch.tensor([1.0, torch.inf]), ["a.wav", "b.wav"], "Gaussian")
        ... except EndlineError as error:
        ...     print(error)
        The score of sample b.wav by Gaussian is inf, which is no verdict: look for broken values in its raw file.
    """
    if not scores.isfinite().all():
        row = int((~scores.isfinite()).nonzero()[0])
        raise EndlineError(
            f"The score of sample {_name(names, row)} by {detector} is {float(scores[row])}, which is no verdict: "
            "look for broken values in its raw file."
        )


def check_maps(maps: Tensor, names: Sequence[str] | None, detector: str) -> None:
    """Refuse anomaly maps (batch, H, W) that are not finite.

    Raises:
        EndlineError: naming the first such sample.
    """
    if not _is_bounded(maps, torch.finfo(maps.dtype).max):
        row = int((~maps.flatten(1).isfinite().all(1)).nonzero()[0])
        raise EndlineError(
            f"The anomaly map of sample {_name(names, row)} by {detector} is not finite: "
            "look for broken values in its raw file."
        )


def _is_bounded(values: Tensor, bound: float) -> bool:
    """Whether all values lie within -bound and bound; one pass over them, and NaN lies nowhere."""
    if values.numel() == 0:
        return True
    lowest, highest = torch.aminmax(values)
    return bool((lowest >= -bound) & (highest <= bound))


def _name(names: Sequence[str] | None, row: int) -> str:
    return str(row) if names is None else str(names[row])
