"""Which items a report shows in full."""

import numpy as np
import pandas as pd

from endline.evaluation.metrics import is_anomalous, is_normal


def shortlist_items(scores: pd.DataFrame, threshold: float, count: int) -> pd.DataFrame:
    """Up to `count` items of each reason, every item once, with the reason in the column `why`.

    The reasons, in this order: `most anomalous` (highest scores), `false alarm` (flagged normals), `missed`
    (anomalous ones that pass, lowest scores first), `borderline` (nearest to the threshold).

    Args:
        scores: one row an item, columns `score, flagged, label`.
        threshold: of the verdict; infinite where no rate can be promised (nothing is then borderline).
        count: items a reason.

    Example:
        >>> table = pd.DataFrame({"sample_id": ["a", "b"], "score": [3.0, 1.0], "flagged": [True, False]})
        >>> shortlist_items(table.assign(label=[0, 1]), 2.0, 1)[["sample_id", "why"]]
          sample_id             why
        0         a  most anomalous
        1         b          missed
    """
    ranked = scores.sort_values("score", ascending=False, kind="stable")
    flagged = ranked["flagged"].astype(bool)
    reasons = {
        "most anomalous": ranked,
        "false alarm": ranked[flagged & is_normal(ranked)],
        "missed": ranked[~flagged & is_anomalous(ranked)].iloc[::-1],
    }
    if np.isfinite(threshold):
        distance = (ranked["score"] - threshold).abs()
        reasons["borderline"] = ranked.loc[distance.sort_values(kind="stable").index]
    chosen: list[pd.DataFrame] = []
    shown: set[object] = set()
    for why, rows in reasons.items():
        fresh = rows[~rows["sample_id"].isin(shown)].head(count)
        shown |= set(fresh["sample_id"])
        chosen.append(fresh.assign(why=why))
    return pd.concat(chosen, ignore_index=True)
