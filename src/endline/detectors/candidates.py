"""The detectors among which `detector: auto` chooses, and what the choice may cost."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from endline.errors import EndlineError
from endline.field_types import check_fields

AUTO = "auto"


@dataclass(frozen=True)
class AutoSettings:
    """Parameters `<station>.auto`.

    Attributes:
        candidates: names of detectors, the quickest first: of those that do equally well the first is taken.
        minutes: what the choice may take; a candidate that would need more than is left is left out, so that the same
            data give the same choice as long as there is time for all.
        folds: into which the training parts are divided; one of them is held out, the others are learned from.
        items: held-out normals that are copied, about, once as they are and once with each fault. As many folds are
            held out, one after the other, as have so many, two at least: of few parts every one is judged.
        margin: mean AUROC of synthetic faults by which a quicker candidate may be behind the best one and is taken, if
            that is no more than its standard error either.
        default: the candidate that is taken unless another is ahead of it by more than the standard error; None, or a
            name that is none of them: they are equals.

    Raises:
        EndlineError: for a value that cannot be.

    Example:
        >>> AutoSettings(("gaussian", "padim"), minutes=5).folds
        4
    """

    candidates: tuple[str, ...]
    minutes: float = 10.0
    folds: int = 4
    items: int = 60
    margin: float = 0.01
    default: str | None = None

    def __post_init__(self) -> None:
        if not self.candidates:
            raise EndlineError("detector=auto has no candidates: name some in the station's parameters (auto).")
        if self.folds < 2 or self.items < 2 or self.minutes < 0 or self.margin < 0:
            raise EndlineError(
                f"auto: folds={self.folds} and items={self.items} must be at least 2, minutes={self.minutes} and "
                f"margin={self.margin} at least 0: correct them."
            )


def auto_settings(parameters: Mapping[str, Any]) -> AutoSettings:
    """Settings of the parameters `<station>.auto`.

    Raises:
        EndlineError: for an unknown setting, or one of the wrong type.

    Example:
        >>> auto_settings({"candidates": ["pca"], "minutes": 3}).minutes
        3
    """
    try:
        settings = AutoSettings(**{**parameters, "candidates": tuple(parameters["candidates"])})
        check_fields(settings)
    except (TypeError, KeyError) as error:
        raise EndlineError(f"The settings of detector=auto cannot be used ({error}): correct them.") from error
    return settings


def possible_detectors(run: Mapping[str, Any], auto: Mapping[str, Any] | None) -> tuple[str, ...]:
    """Names of the detectors that a run may fit: the one of its parameter, or where that is `auto` the candidates.

    Args:
        run: parameters `<station>.run`.
        auto: parameters `<station>.auto`; None for a station without.

    Raises:
        EndlineError: for `auto` at a station without candidates, or as `auto_settings`.

    Example:
        >>> possible_detectors({"detector": "pca"}, None)
        ('pca',)
    """
    if run["detector"] != AUTO:
        return (run["detector"],)
    if not auto:
        raise EndlineError(f"The station {run['station']} has no candidates for detector=auto: name a detector.")
    return auto_settings(auto).candidates
