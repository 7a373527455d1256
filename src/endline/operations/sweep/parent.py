"""The MLflow parent run of a sweep: its runs hang below it, its tables are its artifacts."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kedro.framework.session import KedroSession
from mlflow import MlflowClient

from endline.tracking import own_tags


class ParentRun:
    """Opened by the client and never active: it spans the processes of its runs.

    An unfinished parent of the same sweep is taken up again, and children that a killed process left running are
    marked as killed.

    Args:
        project: the project's folder.
        env: overlay of the configuration.
        parameters: runtime parameters of a run: the context that sets MLflow up refuses misspelt ones.
        name: of the sweep.
        fresh: start a new parent in any case.

    Raises:
        EndlineError: for a parameter that nothing reads.

    Example:
        `ParentRun(project, None, {"seed": 0}, "mirror42", fresh=False).id`
    """

    def __init__(
        self, project: Path, env: str | None, parameters: Mapping[str, Any], name: str, *, fresh: bool
    ) -> None:
        session = KedroSession.create(project_path=project, env=env, runtime_params=dict(parameters))
        tracking = getattr(session.load_context(), "mlflow").tracking  # noqa: B009  kedro-mlflow puts it there
        self._client = MlflowClient()
        experiment = self._client.get_experiment_by_name(tracking.experiment.name)
        if experiment is None:  # kedro-mlflow has just made it
            raise RuntimeError("kedro-mlflow has set up no experiment.")
        self._experiments = [experiment.experiment_id]
        own = f"tags.sweep = '{name}' and tags.sweep_role = 'parent'"
        latest = self._client.search_runs(self._experiments, own, max_results=1)
        if latest and not fresh and latest[0].info.status != "FINISHED":
            self.id: str = latest[0].info.run_id
            self._client.update_run(self.id, "RUNNING")
            for key, value in own_tags().items():
                self._client.set_tag(self.id, key, value)
            self._end_left()
        else:
            tags = {"sweep": name, "sweep_role": "parent", **own_tags()}
            self.id = self._client.create_run(self._experiments[0], run_name=f"sweep {name}", tags=tags).info.run_id

    def end(self, status: str, counts: dict[str, int], files: list[Path]) -> None:
        """Log the tables, tag the counts of runs by their status, and close: FINISHED, FAILED or KILLED.

        No run of the sweep is going on any more: what MLflow still calls running belongs to a killed process.
        """
        self._end_left()
        for file in files:
            if file.exists():
                self._client.log_artifact(self.id, str(file))
        for key, count in counts.items():
            self._client.set_tag(self.id, f"runs_{key}", count)
        self._client.set_terminated(self.id, status)

    def _end_left(self) -> None:
        """Mark as killed the children that a killed process left running."""
        left = f"tags.`mlflow.parentRunId` = '{self.id}' and attributes.status = 'RUNNING'"
        for child in self._client.search_runs(self._experiments, left):
            self._client.set_terminated(child.info.run_id, "KILLED")
