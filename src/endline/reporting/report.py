"""The HTML report of a run: one file that needs no network, for every kind of evidence."""

import base64
import json
import math
import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from endline.reporting.figures import roc_figure, score_groups, score_histogram, training_figure
from endline.reporting.style import DOTS_PER_INCH, INK, encode_smallest, kind_colours, kind_name
from endline.reporting.words import metric_tiles, number, p_value_words, plain, summary_sentences

_WHY = {
    "most anomalous": "The highest scores of the test.",
    "borderline": "The scores nearest to the threshold: a second look is worth most here.",
    "missed": "Known faults that were not flagged.",
    "false alarm": "Known normals that were flagged.",
}


@dataclass(frozen=True)
class Exhibit:
    """One item shown in full.

    `why` heads its group ("most anomalous", "borderline", "missed", "false alarm", or any other words);
    `label` is 0 normal, 1 anomalous, None unknown; `figures` are (caption, PNG bytes), 200 pixels an inch;
    `sound` is an encoded file of the media type `sound_type`, or None.
    """

    sample_id: str
    why: str
    score: float
    p_value: float
    flagged: bool
    label: int | None
    kind: str | None
    figures: tuple[tuple[str, bytes], ...]
    sound: bytes | None = None
    sound_type: str = "audio/flac"
    note: str = ""


def exhibit_of(
    verdict: Mapping[str, Any], figures: Sequence[tuple[str, bytes]], *, sound: bytes | None = None, note: str = ""
) -> Exhibit:
    """Exhibit of a row of the shortlist: `sample_id, why, score, p_value, flagged, label, kind`."""
    return Exhibit(
        sample_id=str(verdict["sample_id"]),
        why=str(verdict["why"]),
        score=float(verdict["score"]),
        p_value=float(verdict["p_value"]),
        flagged=bool(verdict["flagged"]),
        label=_label(verdict["label"]),
        kind=None if pd.isna(verdict["kind"]) else str(verdict["kind"]),
        figures=tuple(figures),
        sound=sound,
        note=note,
    )


def render_report(
    *,
    title: str,
    station: str,
    metrics: Mapping[str, Any],
    scores: pd.DataFrame,
    history: pd.DataFrame | None,
    curves: Mapping[str, tuple[ArrayLike, ArrayLike, float]],
    exhibits: Sequence[Exhibit],
    rejected: pd.DataFrame,
    settings: Mapping[str, Any],
    provenance: Mapping[str, Any],
    simulated: bool,
    evidence: str = "samples",
) -> str:
    """Render the whole report as one HTML page that works offline.

    `metrics` has the keys of ARCHITECTURE contract 5, any may lack or be None; `n_calibration`, the number of
    normals behind the threshold, is used where present. `scores` has one row an item; rows of `split` train
    are calibrating normals, shown in the histogram alone. `curves` as in `roc_figure`, `history` as in
    `training_figure`. `evidence` is the plural of what is judged, such as "recordings".
    """
    tested = scores[scores["split"].ne("train").fillna(True)] if "split" in scores else scores
    threshold = number(metrics, "threshold")
    rate, recall = number(metrics, "false_alarm_rate"), number(metrics, "recall")
    point = (rate, recall) if rate is not None and recall is not None else None
    drawn = score_histogram(scores, threshold) if score_groups(scores) else None
    environment = Environment(
        loader=PackageLoader("endline.reporting"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("report.html.jinja").render(
        title=title,
        station=station,
        facts=_facts(station, metrics, provenance),
        simulated=simulated,
        evidence=evidence,
        summary=summary_sentences(metrics, tested, evidence),
        tiles=metric_tiles(metrics, tested, evidence),
        histogram=_inline(drawn),
        roc=_inline(roc_figure(curves, operating_point=point)),
        training=_inline(training_figure(history)),
        intervals=_interval_rows(metrics),
        scale=_interval_scale(metrics),
        exhibits=_exhibit_groups(exhibits),
        verdicts=_verdict_rows(tested),
        show_domain="domain" in tested and tested["domain"].nunique() > 1,
        rejected=rejected.to_dict("records"),
        settings=_by_section(settings),
        provenance=_flat(provenance),
    )


def _facts(station: str, metrics: Mapping[str, Any], provenance: Mapping[str, Any]) -> list[tuple[str, str]]:
    facts = {"station": station} | {key: metrics.get(key) for key in ("group", "detector", "seed")}
    facts["date"] = provenance.get("date")
    return [(name, "–" if value is None else str(value)) for name, value in facts.items()]


def _interval_rows(metrics: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Rows of the AUROC table: all, each kind, each domain; without anomalies none."""
    scale = _interval_scale(metrics)
    overall = {"auroc": metrics.get("auroc"), "n": metrics.get("n_test_anomalous")}
    overall |= {"low": metrics.get("auroc_low"), "high": metrics.get("auroc_high")}
    found: list[tuple[str, str, Any]] = [("all faults", INK, overall)]
    kinds = metrics.get("auroc_by_kind") or {}
    colours = kind_colours(list(kinds))
    found += [(kind_name(str(kind)), colours[kind], entry) for kind, entry in kinds.items()]
    domains = metrics.get("auroc_by_domain") or {}
    found += [(f"domain {domain}", INK, entry) for domain, entry in domains.items()]
    rows = []
    for name, colour, entry in found:
        figures = entry if isinstance(entry, Mapping) else {"auroc": entry}
        auroc, low, high = (number(figures, key) for key in ("auroc", "low", "high"))
        if auroc is None:
            continue
        ends = (auroc, auroc if low is None else low, auroc if high is None else high)
        x, x_low, x_high = (round(100 * (value - scale) / (1 - scale), 1) for value in ends)
        row = {
            "name": name,
            "colour": colour,
            "auroc": auroc,
            "low": low,
            "high": high,
            "n": number(figures, "n"),
        }
        rows.append(row | {"x": x, "x_low": x_low, "x_high": x_high})
    return rows


def _interval_scale(metrics: Mapping[str, Any]) -> float:
    """Left end of the AUROC bars: 0.4, or 0 where an interval reaches further down."""
    named = [*(metrics.get(key) or {} for key in ("auroc_by_kind", "auroc_by_domain"))]
    entries = [e if isinstance(e, Mapping) else {"auroc": e} for group in named for e in group.values()]
    ends = [number(e, key) for e in entries for key in ("auroc", "low")]
    ends += [number(metrics, key) for key in ("auroc", "auroc_low")]
    return 0.4 if all(end is None or end >= 0.42 for end in ends) else 0.0


def _exhibit_groups(exhibits: Iterable[Exhibit]) -> list[dict[str, Any]]:
    groups: dict[str, list[dict[str, Any]]] = {}
    for shown in exhibits:
        sound = None if shown.sound is None else _data_uri(shown.sound_type, shown.sound)
        card = {
            "sample_id": shown.sample_id,
            "score": plain(shown.score),
            "p_value": p_value_words(shown.p_value),
            "flagged": shown.flagged,
            "truth": _truth(shown.label, shown.kind),
            "note": shown.note,
            "sound": sound,
            "outcome": _outcome(shown.flagged, shown.label),
            "figures": [_picture(caption, png) for caption, png in shown.figures],
        }
        groups.setdefault(shown.why, []).append(card)
    return [{"why": why, "words": _WHY.get(why, ""), "cards": cards} for why, cards in groups.items()]


def _verdict_rows(tested: pd.DataFrame) -> list[dict[str, Any]]:
    ordered = tested.sort_values("score", ascending=False, kind="stable", na_position="first")
    finite = ordered["score"].astype(float).abs().replace(math.inf, math.nan).dropna()
    middle = float(finite.median()) if len(finite) else 1.0
    decimals = 3 if middle <= 0 else min(6, max(0, 3 - math.floor(math.log10(middle))))
    rows = []
    for row in ordered.to_dict("records"):
        label, kind, flagged = _label(row.get("label")), row.get("kind"), row["flagged"]
        flagged = bool(flagged) if not pd.isna(flagged) else False
        domain = row.get("domain")
        rows.append(
            {
                "sample_id": str(row["sample_id"]),
                "truth": _truth(label, None if pd.isna(kind) else str(kind)),
                "domain": "" if domain is None or pd.isna(domain) else str(domain),
                "score": f"{float(row['score']):,.{decimals}f}",
                "raw_score": float(row["score"]),
                "p_value": p_value_words(row["p_value"]),
                "raw_p": 2.0 if pd.isna(row["p_value"]) else float(row["p_value"]),
                "flagged": flagged,
                "outcome": _outcome(flagged, label),
            }
        )
    return rows


def _outcome(flagged: bool, label: int | None) -> str:
    if label is None:
        return "label unknown"
    if label == 0:
        return "false alarm" if flagged else "correct"
    return "found" if flagged else "missed"


def _label(value: Any) -> int | None:
    return None if value is None or pd.isna(value) else int(value)


def _truth(label: int | None, kind: str | None) -> str:
    if label is None:
        return "unknown"
    return "normal" if label == 0 else kind_name(kind) if kind else "fault"


def _inline(figure: Figure | None) -> dict[str, Any] | None:
    if figure is None:
        return None
    media_type, content = encode_smallest(figure)
    return {"uri": _data_uri(media_type, content), "width": round(100 * figure.get_figwidth())}


def _picture(caption: str, content: bytes) -> dict[str, Any]:
    """Show a PNG at its natural size: its header holds the width in pixels."""
    width = struct.unpack(">I", content[16:20])[0] if content[:4] == b"\x89PNG" else 2 * 520
    shown = round(width * 100 / DOTS_PER_INCH)
    return {"caption": caption, "uri": _data_uri("image/png", content), "width": shown}


def _data_uri(media_type: str, content: bytes) -> str:
    return f"data:{media_type};base64,{base64.b64encode(content).decode('ascii')}"


def _by_section(settings: Mapping[str, Any]) -> list[tuple[str, list[tuple[str, str]]]]:
    """Group settings by their first key; those without a nested level come first, under an empty name."""
    plain = {key: value for key, value in settings.items() if not (isinstance(value, Mapping) and value)}
    nested = [(str(key), _flat(value)) for key, value in settings.items() if key not in plain]
    return [("", _flat(plain)), *nested] if plain else nested


def _flat(values: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    rows: list[tuple[str, str]] = []
    for key, value in values.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping) and value:
            rows += _flat(value, f"{name}.")
        else:
            text = value if isinstance(value, str) else json.dumps(value, default=str, ensure_ascii=False)
            rows.append((name, text))
    return rows
