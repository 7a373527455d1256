"""What the verdict on one file comes from: attribution, anomaly maps, and the pictures of a report."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from endline.detectors.scoring import are_joint, detector_rows, score_batches, with_scores
from endline.evaluation.map_values import has_maps
from endline.evidence.station import Shown, find_station
from endline.feature_set import FeatureSet
from endline.operations.verdicts import Verdict
from endline.published import PublishedModel
from endline.reporting.exhibit import Exhibit
from endline.samples import TRAIN, sample_table

Map = NDArray[np.float32]


class ScoredItem(NamedTuple):
    """An item as its detectors see it.

    Attributes:
        parts: the scored rows, one a part or one of joint parts.
        verdicts: a row an item, as `Calibration.verdicts` gives it.
        maps: array `map` (parts, h, w); (parts, 0, 0) where the detector has none, or none was wanted.

    Example:
        >>> maps = FeatureSet({"map": np.zeros((1, 0, 0), "f4")})
        >>> has_maps(ScoredItem(pd.DataFrame(), pd.DataFrame(), maps).maps)
        False
    """

    parts: pd.DataFrame
    verdicts: pd.DataFrame
    maps: FeatureSet


def scored_item(model: PublishedModel, rows: pd.DataFrame, features: FeatureSet, *, maps: bool) -> ScoredItem:
    """Scores, verdicts and maps of rows of the sample table; the scores are the same with maps and without.

    Args:
        model: that judges.
        rows: of the sample table.
        features: their arrays, row by row.
        maps: whether maps are wanted, which may cost more than the scores.

    Raises:
        EndlineError: as `score_batches`.
    """
    detectors = dict(model.detectors)
    parts, view = detector_rows(rows, features, joint=are_joint(detectors))
    batches = list(score_batches(parts, view, detectors, maps=maps))
    order = np.concatenate([batch.rows for batch in batches]) if batches else np.zeros(0, np.int64)
    scores = np.concatenate([batch.scores for batch in batches]) if batches else np.zeros((0, 1))
    drawn = [batch.maps for batch in batches if batch.maps is not None]
    found = np.concatenate(drawn) if drawn and len(drawn) == len(batches) else np.zeros((len(order), 0, 0), "f4")
    back = np.argsort(order)
    scored = with_scores(parts, scores[back])
    return ScoredItem(scored, model.calibration.verdicts(scored), FeatureSet({"map": found[back]}))


@dataclass(frozen=True)
class Explanation:
    """What the verdict on one file comes from.

    Attributes:
        verdict: on it.
        attribution: which signal, band or position counts how much, by `sample_id`; its columns are the station's.
            Empty where the detector has no map, and there is no normal item to compare with either.
        maps: anomaly map (h, w) of each scored part, by its `sample_id`; empty where the detector has none.
        shown: what the pictures are drawn from.
        preparation: of the model.

    Example:
        `endline.Inspector.load("surface_image").explain("new.png").attribution`
    """

    verdict: Verdict
    attribution: pd.DataFrame
    maps: Mapping[str, Map]
    shown: Shown = field(repr=False)
    preparation: Any = field(repr=False)

    def exhibit(self) -> Exhibit | None:
        """The pictures that a report shows of it, as `figures` of caption and PNG; None where there is nothing to show.

        A cycle is shown beside the nearest normal one: the model has kept none where every normal was learned from.
        """
        drawn = find_station(self.verdict.station).exhibits(self.shown, self.preparation)
        return replace(drawn[0], remark=self.verdict.remark) if drawn else None


def explained(model: PublishedModel, verdict: Verdict, item: ScoredItem, shown: Shown) -> Explanation:
    """The explanation of a scored item.

    Args:
        model: that judged.
        verdict: on the item.
        item: its parts, scores and maps.
        shown: the item as `shown_item` gives it.
    """
    attribution, nearest = find_station(model.station).attribute(shown, model.preparation)
    maps: dict[str, Map] = {}
    if has_maps(item.maps):
        arrays = item.maps.read()["map"].numpy()
        maps = {str(name): array for name, array in zip(item.parts["sample_id"], arrays, strict=True)}
    shown = replace(shown, attribution=attribution, nearest=nearest)
    return Explanation(verdict, attribution, maps, shown, model.preparation)


def shown_item(model: PublishedModel, rows: pd.DataFrame, features: FeatureSet, item: ScoredItem, folder: Any) -> Shown:
    """An item as a station's attribution and exhibits take it, beside the normals that the model has kept.

    Args:
        model: that judged.
        rows: of the sample table.
        features: their arrays, row by row.
        item: the scored rows.
        folder: that the rows' paths are relative to.
    """
    shortlist = item.verdicts.assign(why="inspected")
    if model.normals is None:
        return Shown(shortlist, rows, features, item.parts, item.maps, folder)
    own, normals = features.read(), model.normals.read()
    arrays = {name: np.concatenate([normals[name].numpy(), own[name].numpy()]) for name in own if name in normals}
    named = [f"normal {number}" for number in range(len(model.normals))]
    kept = sample_table([{"sample_id": name, "path": name, "group": "", "split": TRAIN, "label": 0} for name in named])
    samples = pd.concat([kept, rows], ignore_index=True)
    return Shown(shortlist, samples, FeatureSet(arrays), item.parts, item.maps, folder)
