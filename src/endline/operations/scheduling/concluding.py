"""The page that says what a scheduled retraining has done: what it learned from, how good it is, which model judges."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from endline.errors import EndlineError
from endline.files import write_whole
from endline.operations.decisions import DECISIONS, FORCED, KEPT, PROMOTED
from endline.operations.scheduling.beginning import DATA, FOLDER, KEY
from endline.operations.sweep.resolved import configuration
from endline.reporting.page_templates import page_templates
from endline.tracking import VERSION, tracked_in
from endline.versions import versioned_folders

if TYPE_CHECKING:  # importing it takes seconds
    from mlflow import MlflowClient
    from mlflow.entities import Run


OUTCOMES = {
    PROMOTED: "The model of this run is the champion now: it judges new parts.",
    KEPT: "The champion stays: the model of this run was not promoted.",
    FORCED: "The model of this run is the champion now: a person has decided so.",
}
RECALIBRATED = {
    PROMOTED: " Recalibrated to the rate of the schedule, it is champion with that.",
    KEPT: " Recalibrated to the rate of the schedule, it was not promoted: it judges as it was trained.",
}
UNDECIDED = "Nothing was decided on the model of this run: `endline promote` has not been asked."


def conclude(project: Path, station: str, version: str, env: str | None = None) -> Path:
    """Write the page of a run that was begun by `begin` and has published its model.

    Args:
        project: the project's folder.
        station: its name.
        version: of the run.
        env: overlay of the configuration.

    Returns:
        the page, `retrainings/<version>.html` beside the station's reports.

    Raises:
        EndlineError: for a run that nobody began, or one that has no metrics yet.
    """
    loader = configuration(project, env, {})
    folders = {name: project / path for name, path in versioned_folders(loader["catalog"], [station]).items()}
    client, run = _run(loader["mlflow"], station, version)

    def file(name: str) -> Path:
        folder = folders[f"{station}.{name}"]
        return folder / version / folder.name

    if not file("metrics").exists():
        raise EndlineError(f"The run {version} has no metrics: it has not come to its end.")
    metrics = json.loads(file("metrics").read_text(encoding="utf-8"))
    page = folders[f"{station}.report"].parent / "retrainings" / f"{version}.html"
    decision = last_decision(client, run.info.run_id)
    write_whole(page, render_page(station, version, run.data.tags, metrics, decision, file("report").as_uri()))
    return page


def _run(settings: Mapping[str, Any], station: str, version: str) -> tuple["MlflowClient", "Run"]:
    client, experiment = tracked_in(settings)
    asked = f"tags.station = '{station}' and tags.`{VERSION}` = '{version}'"
    runs = [] if experiment is None else client.search_runs([experiment], asked)
    found = next((run for run in runs if DATA in run.data.tags), None)
    if found is None:
        raise EndlineError(f"No run of {station} was begun as {version}: give the version that `endline begin` gave.")
    return client, found


def last_decision(client: "MlflowClient", run_id: str) -> dict[str, Any]:
    """What was decided last on a run's model; empty without a decision.

    Returns:
        `what`, `criteria` with `holds` and `said`, and `recalibrated`: what was decided on the same model with another
        threshold, empty without one.
    """
    with TemporaryDirectory() as name:
        paths = [file.path for file in client.list_artifacts(run_id, DECISIONS)]
        files = [Path(client.download_artifacts(run_id, path, name)) for path in paths]
        written = [dict(json.loads(file.read_text(encoding="utf-8"))) for file in files]
    written.sort(key=lambda each: each["when"])
    judged = [each for each in written if each["what"] in OUTCOMES]
    own = [each for each in judged if each["version"] == judged[0]["version"]]
    others = [each["what"] for each in judged if each["version"] != judged[0]["version"]]
    return {**(own[-1] if own else {}), "recalibrated": others[-1] if others else ""}


def render_page(
    station: str,
    version: str,
    tags: Mapping[str, str],
    metrics: Mapping[str, Any],
    decision: Mapping[str, Any],
    report: str,
) -> str:
    """The page as HTML, which works offline.

    Args:
        station: its name.
        version: of the run.
        tags: of its MLflow run.
        metrics: of the run.
        decision: as `last_decision` gives it.
        report: address of the run's own report.
    """
    outcome = OUTCOMES.get(decision.get("what", ""), UNDECIDED)
    outcome += RECALIBRATED.get(decision.get("recalibrated", ""), "")
    auroc, low, high = (metrics[name] for name in ("auroc", "auroc_low", "auroc_high"))
    tables = {
        "What it has learned from": {
            "Folder": tags[FOLDER],
            "Good parts": metrics["n_train"],
            "Detector": metrics["detector"],
        },
        "How good it is on its own test": {
            "AUROC": metrics["auroc_reason"] if auroc is None else f"{auroc:.3f} ({low:.3f} to {high:.3f})",
            "Flagged": f"{metrics['n_flagged']} of {metrics['n_tested']}",
            "False alarms": f"{metrics['n_false_alarms']} of {metrics['n_test_normal']} good parts",
            "Found": f"{metrics['n_detected']} of {metrics['n_test_anomalous']} faulty parts",
        },
        "Which run this is": {
            "Version": version,
            "MLflow run": tags.get("mlflow.runName", ""),
            "Begun by": tags.get(KEY, "a command"),
            "Written": datetime.now(UTC).isoformat(sep=" ", timespec="seconds"),
        },
    }
    template = page_templates("endline.operations.scheduling").get_template("retraining.html.jinja")
    return template.render(
        title=f"Retraining of {station}, {version[:10]}",
        simulated=metrics["simulated"],
        outcome=outcome,
        colour="#1b7f4b" if decision.get("what") in (PROMOTED, FORCED) else "#b25e00",
        criteria=decision.get("criteria", ()),
        tables=tables,
        report=report,
    )
