"""One run of a sweep, in a process of its own: the Kedro session, and its metrics by its own version."""

import json
import logging
from pathlib import Path

import mlflow
import pandas as pd
from kedro.framework.project import configure_project
from kedro.framework.session import KedroSession

from endline.errors import EndlineError, cause_of
from endline.operations.sweep.job import Job, Outcome
from endline.operations.sweep.resolved import configuration
from endline.operations.sweep.scores import kept_columns

log = logging.getLogger(__name__)


def run_job(job: Job) -> Outcome:
    """Run a station's pipeline under the job's version; a run that fails is an outcome that says why.

    Raises:
        KeyboardInterrupt: when the sweep is stopped; the MLflow run is then marked as killed.
    """
    try:
        return _run(job)
    except Exception as error:
        cause = cause_of(error, EndlineError)
        if cause is not None:
            return Outcome(reason=str(cause), version=job.version)
        log.exception("A run of the sweep broke.")
        return Outcome(reason=" ".join(f"{type(error).__name__}: {error}".split()), version=job.version)


def _run(job: Job) -> Outcome:
    configure_project(job.package)
    status = "KILLED"
    try:
        session = _session(job)
        with session:
            session.run(pipeline_names=[job.station])
        status = "FINISHED"
    except Exception:
        status = "FAILED"
        raise
    finally:
        # kedro-mlflow opens its run again at every node and closes it once; and not at all after Ctrl-C.
        while mlflow.active_run() is not None:
            mlflow.end_run(status)
    file = _file(job, "metrics")
    if not file.exists():
        raise EndlineError(
            f"The pipeline '{job.station}' wrote no {file}: a sweep needs a station that ends in metrics."
        )
    run = mlflow.last_active_run()
    run_id = None if run is None else str(run.info.run_id)
    metrics, scores = json.loads(file.read_text(encoding="utf-8")), _file(job, "scores")
    kept = kept_columns(pd.read_parquet(scores)) if scores.exists() else None
    return Outcome(metrics, version=job.version, mlflow_run_id=run_id, scores=kept)


def _session(job: Job) -> KedroSession:
    """A session that saves under the job's version: Kedro's own are the time to a millisecond, which two can share."""
    session = KedroSession.create(project_path=job.project, env=job.env, runtime_params=dict(job.parameters))
    assert isinstance(session, KedroSession)  # its type says less
    session.session_id = job.version
    session._store["session_id"] = job.version  # what `run` takes as save version; Kedro offers no other way
    return session


def _file(job: Job, dataset: str) -> Path:
    catalog = configuration(job.project, job.env, job.parameters)["catalog"]
    folder = Path(str(job.project / catalog[f"{{station}}.{dataset}"]["filepath"]).format(station=job.station))
    return folder / job.version / folder.name
