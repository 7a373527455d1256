"""What Airflow calls when a retraining has failed: a line in a log, and a message to a webhook where there is one.

`endline dags` writes this file beside the DAG files, as `endline_alerts.py`: it runs in Airflow's environment, and
needs Python alone.
"""

import contextlib
import json
import os
import urllib.request
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

WEBHOOK = "ENDLINE_ALERT_WEBHOOK"  # variable of the environment: an address often holds a secret
SECONDS = 10.0  # that a webhook may take
TOLD = "task_failure"  # why a run failed, where its task has told it already
ERROR = "Error: "  # what a command of endline prints before its sentence


def alert(context: Mapping[str, Any]) -> None:
    """Tell that a task, or a whole run, has failed for good.

    Args:
        context: of Airflow's callback.

    Example:
        `DAG(..., default_args={"on_failure_callback": alert})`
    """
    if context.get("reason") == TOLD:
        return
    told = message(context)
    if url := os.environ.get(WEBHOOK):
        told["webhook"] = _post(url, told)
    line = json.dumps(told) + "\n"
    with log_file().open("a", encoding="utf-8") as file:
        file.write(line)


def log_file() -> Path:
    """Where alerts are written, a line of JSON each."""
    return Path(os.environ.get("AIRFLOW_HOME", "~/airflow")).expanduser() / "alerts.log"


def message(context: Mapping[str, Any]) -> dict[str, Any]:
    """What has failed, as plain values; `text` says it in a sentence, as chat programs want it.

    Example:
        >>> from types import SimpleNamespace
        >>> task = SimpleNamespace(dag_id="endline_mirror_audio", task_id="train", run_id="r1", try_number=3)
        >>> message({"task_instance": task, "exception": ValueError("no disk")})["text"]
        'endline_mirror_audio: train failed after 3 tries (no disk); run r1.'
    """
    task, run = context.get("task_instance"), context.get("dag_run")
    about = task if task is not None else run
    dag, run_id = getattr(about, "dag_id", "?"), getattr(about, "run_id", "?")
    reason = last_error(task) or str(context.get("exception") or context.get("reason") or "no reason given")
    tries = getattr(task, "try_number", None)
    failed = "the run failed" if task is None else f"{task.task_id} failed after {tries} tries"
    return {
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "dag": dag,
        "run": run_id,
        "task": getattr(task, "task_id", None),
        "tries": tries,
        "reason": reason,
        "log": getattr(task, "log_url", None),
        "text": f"{dag}: {failed} ({reason}); run {run_id}.",
    }


def last_error(task: Any) -> str:
    """The sentence in which a task's command has said what is wrong, by the task's log; empty without one.

    Args:
        task: Airflow's task instance; None for a whole run.
    """
    names = [(name, str(getattr(task, name, ""))) for name in ("dag_id", "run_id", "task_id")]
    folder = log_file().parent.joinpath("logs", *(f"{name}={value}" for name, value in names))
    try:
        lines = (folder / f"attempt={getattr(task, 'try_number', '')}.log").read_text(encoding="utf-8").splitlines()
    except OSError:
        return ""
    said = ""
    for line in lines:
        with contextlib.suppress(ValueError, AttributeError):
            event = str(json.loads(line).get("event", ""))
            said = event.removeprefix(ERROR) if event.startswith(ERROR) else said
    return said


def _post(url: str, told: Mapping[str, Any]) -> str:
    """Post a message as JSON; what became of it. A webhook that is away must not hide the failure that it tells of."""
    if not url.startswith(("http://", "https://")):
        return f"not sent: {WEBHOOK} is no http address"
    body, header = json.dumps(told).encode(), {"Content-Type": "application/json"}
    try:
        with urllib.request.urlopen(urllib.request.Request(url, body, header), timeout=SECONDS) as answer:
            return f"sent, answered {answer.status}"
    except (OSError, ValueError) as error:
        return f"not sent: {error}"
