"""The HTML report of a run: one file that needs no network; it lays out what it is given."""

import base64
import json
import math
import struct
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pandas as pd

from endline.reporting.choice_table import choice_table
from endline.reporting.domain_table import domain_table
from endline.reporting.exhibit import Exhibit, known_label
from endline.reporting.formats import p_value_words, plain
from endline.reporting.page_templates import page_templates
from endline.reporting.palette import DOTS_PER_INCH, INK, kind_colours, kind_name
from endline.reporting.tiles import metric_tiles
from endline.reporting.words import summary_sentences

_WHY = {
    "most anomalous": "The highest scores of the test.",
    "borderline": "The scores nearest to the threshold: a second look is worth most here.",
    "missed": "Known faults that were not flagged.",
    "false alarm": "Known normals that were flagged.",
}
FIGURES = ("scores", "roc", "training", "embedding", "importances")
_LEFT_END = 0.4  # of the AUROC bars, or 0 where an interval reaches further down


def render_report(
    *,
    title: str,
    station: str,
    metrics: Mapping[str, Any],
    scores: pd.DataFrame,
    intervals: pd.DataFrame,
    figures: Mapping[str, bytes],
    embedded: str = "",
    exhibits: Sequence[Exhibit],
    remarks: Mapping[str, str] | None = None,
    rejected: pd.DataFrame,
    near_duplicates: pd.DataFrame | None = None,
    choice: Mapping[str, Any] | None = None,
    settings: Mapping[str, Any],
    provenance: Mapping[str, Any],
    simulated: bool,
    evidence: str = "samples",
) -> str:
    """Lay out the whole report as one HTML page that works offline.

    Args:
        title: heads the page.
        station: its name.
        metrics: as `summarise` gives them; any may lack or be None.
        scores: verdicts, one row a tested item: `sample_id, score, p_value, flagged`, and `label, kind, domain` where
            they are known.
        intervals: as `auroc_intervals` gives them.
        figures: PNG files of the names `FIGURES`; any may lack.
        embedded: what the numbers of the embedding are, where there is a figure of it.
        exhibits: items shown in full, group by group.
        remarks: what should be known of tested items, by `sample_id`.
        rejected: columns `path, reason, remedy`.
        near_duplicates: columns `training, tested, distance`, tested samples that look like one that trained.
        choice: how the detector was chosen by synthetic faults, as the node `choose` says; None where it was not.
        settings: of the run, nested by section.
        provenance: as `provenance` gives it.
        simulated: whether the data are; the page then says so at its head.
        evidence: plural of what is judged, such as "recordings".

    Example:
        >>> scores = pd.DataFrame({"sample_id": ["a.png"], "score": [0.5], "p_value": [0.1], "flagged": [True]})
        >>> empty = pd.DataFrame()
        >>> page = render_report(
        ...     title="Mirrors", station="surface_image", metrics={"auroc": None}, scores=scores, intervals=empty,
        ...     figures={}, exhibits=[], rejected=empty, settings={}, provenance={}, simulated=False,
        ... )
        >>> "<h1>Mirrors</h1>" in page
        True
    """
    domains = domain_table(metrics)
    if domains is not None:  # it has the domains of each section, with the same normals and anomalies
        intervals = intervals[intervals["by"] != "domain"]
    scale = _interval_scale(intervals)
    template = page_templates("endline.reporting").get_template("report.html.jinja")
    return template.render(
        title=title,
        station=station,
        facts=_facts(station, metrics, provenance),
        simulated=simulated,
        evidence=evidence,
        summary=summary_sentences(metrics, evidence),
        tiles=metric_tiles(metrics, evidence),
        figures={name: _figure(f"{name}.png", figures) for name in FIGURES},
        embedded=embedded,
        intervals=_interval_rows(intervals, scale),
        no_auroc=metrics.get("auroc_reason") or "no labelled anomaly",
        scale=scale,
        domains=domains,
        choice=choice_table(choice),
        exhibits=_exhibit_groups(exhibits),
        turns=any(shown.turning is not None for shown in exhibits),
        verdicts=_verdict_rows(scores, remarks or {}),
        show_domain="domain" in scores and scores["domain"].nunique() > 1,
        rejected=rejected.to_dict("records"),
        look_alikes=[] if near_duplicates is None else near_duplicates.to_dict("records"),
        settings=_by_section(settings),
        provenance=_flat(provenance),
    )


def _facts(station: str, metrics: Mapping[str, Any], provenance: Mapping[str, Any]) -> list[tuple[str, str]]:
    facts = {"station": station} | {key: metrics.get(key) for key in ("group", "detector", "seed")}
    facts["date"] = provenance.get("date")
    return [(name, "–" if value is None else str(value)) for name, value in facts.items()]


def _interval_rows(intervals: pd.DataFrame, scale: float) -> list[dict[str, Any]]:
    """Rows of the AUROC table: all, each kind, each domain, each group; bars in percent of the axis' width."""
    kinds = intervals.loc[intervals["by"] == "kind", "name"].tolist() if len(intervals) else []
    colours = kind_colours(kinds)
    rows = []
    for row in intervals.to_dict("records"):
        ends = {key: round(100 * (row[key] - scale) / (1 - scale), 1) for key in ("auroc", "low", "high")}
        shown = {"x": ends["auroc"], "x_low": ends["low"], "x_high": ends["high"]}
        colour = colours[row["name"]] if row["by"] == "kind" else INK
        named: dict[str, Any] = {"name": _interval_name(row["by"], row["name"]), "colour": colour}
        rows.append({str(key): value for key, value in row.items()} | shown | named)
    return rows


def _interval_name(by: str, name: str) -> str:
    if by == "all":
        return "all faults"
    return kind_name(name) if by == "kind" else f"{by} {name}"


def _interval_scale(intervals: pd.DataFrame) -> float:
    lowest = float(intervals["low"].min()) if len(intervals) else 1.0
    return _LEFT_END if lowest >= _LEFT_END + 0.02 else 0.0


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
            "remark": shown.remark,
            "note": shown.note,
            "sound": sound,
            "outcome": _outcome(shown.flagged, shown.label),
            "figures": [_picture(caption, png) for caption, png in shown.figures],
            "table": shown.table,
            "turning": None if shown.turning is None else shown.turning.attributes,
        }
        groups.setdefault(shown.why, []).append(card)
    return [{"why": why, "words": _WHY.get(why, ""), "cards": cards} for why, cards in groups.items()]


def _verdict_rows(scores: pd.DataFrame, remarks: Mapping[str, str]) -> list[dict[str, Any]]:
    ordered = scores.sort_values("score", ascending=False, kind="stable", na_position="first")
    decimals = _decimals(ordered["score"])
    rows = []
    for row in ordered.to_dict("records"):
        label, kind, flagged = known_label(row.get("label")), row.get("kind"), row["flagged"]
        flagged = bool(flagged) if not pd.isna(flagged) else False
        domain = row.get("domain")
        rows.append(
            {
                "sample_id": str(row["sample_id"]),
                "remark": remarks.get(str(row["sample_id"]), ""),
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


def _decimals(scores: pd.Series) -> int:
    """Decimals that show four digits of a score of usual size."""
    finite = scores.astype(float).abs().replace(math.inf, math.nan).dropna()
    usual = float(finite.median()) if len(finite) else 1.0
    return 3 if usual <= 0 else min(6, max(0, 3 - math.floor(math.log10(usual))))


def _outcome(flagged: bool, label: int | None) -> str:
    if label is None:
        return "label unknown"
    if label == 0:
        return "false alarm" if flagged else "correct"
    return "detected" if flagged else "missed"


def _truth(label: int | None, kind: str | None) -> str:
    if label is None:
        return "unknown"
    return "normal" if label == 0 else kind_name(kind) if kind else "fault"


def _picture(caption: str, content: bytes) -> dict[str, Any]:
    """Show a PNG at its natural size: its header holds the width in pixels."""
    width = struct.unpack(">I", content[16:20])[0] if content[:4] == b"\x89PNG" else 2 * 520
    shown = round(width * 100 / DOTS_PER_INCH)
    return {"caption": caption, "uri": _data_uri("image/png", content), "width": shown}


def _figure(name: str, figures: Mapping[str, bytes]) -> dict[str, Any] | None:
    return _picture(name, figures[name]) if name in figures else None


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
