"""DAG files for Airflow, one a station, made from its pipeline and its schedule."""

import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from kedro.framework.project import pipelines

from endline.errors import EndlineError
from endline.evidence.station import find_station
from endline.files import write_whole
from endline.operations.scheduling import alerts
from endline.operations.scheduling.schedule import Schedule, read_schedules
from endline.operations.scheduling.tasks import group_nodes, layers_of
from endline.operations.sweep.resolved import configuration

FOLDER = Path(".airflow/dags")
BASH = '"$`\\!'  # what bash reads within double quotes
BEGUN = "{{ ti.xcom_pull(task_ids='new_data')[%r] }}"  # what `endline begin` has printed, in Airflow's own template


def dag_files(project: Path, env: str | None = None) -> dict[str, str]:
    """The files of the DAG folder: name -> content.

    Args:
        project: the project's folder.
        env: overlay of the configuration, for schedules that name none.

    Raises:
        EndlineError: as `read_schedules` and `group_nodes`.
    """
    schedules, tasks = read_schedules(project, env)
    catalog = configuration(project, env, {})["catalog"]
    files = {
        "endline_alerts.py": Path(alerts.__file__).read_text(encoding="utf-8"),
        ".airflowignore": "endline_alerts\n",
    }
    for schedule in schedules:
        groups = group_nodes(pipelines[schedule.station], layers_of(catalog, schedule.station), tasks)
        files[f"endline_{schedule.station}.py"] = render_dag(schedule, groups, project, Path(sys.executable).parent)
    return files


def render_dag(schedule: Schedule, groups: Mapping[str, Sequence[str]], project: Path, programs: Path) -> str:
    """The DAG file of a station.

    Args:
        schedule: of the station.
        groups: task -> its nodes, in order.
        project: the project's folder, in which the commands are called.
        programs: folder of `kedro` and `endline`.

    Example:
        >>> page = render_dag(Schedule("mirror_audio"), {"train": ["fit"]}, Path("/line"), Path("/line/.venv/bin"))
        >>> compile(page, "dag.py", "exec").co_name
        '<module>'
    """
    station, version = schedule.station, BEGUN % "version"
    environment = Environment(
        loader=PackageLoader("endline.operations.scheduling"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,
    )
    environment.filters["repr"] = repr
    own = [f"--env={schedule.env}"] if schedule.env else []
    given = [schedule.option] if schedule.option else []
    begun = f"run_version={version},mlflow_run_id={BEGUN % 'mlflow_run_id'}"
    params = f"{schedule.option},{begun}" if schedule.option else f"--params={begun}"
    endline, kedro = str(programs / "endline"), str(programs / "kedro")
    when = schedule.schedule
    return environment.get_template("dag.py.jinja").render(
        schedule=schedule,
        dag_id=f"endline_{station}",
        title=f"{find_station(station).title}: train on new data, promote what is better",
        when=repr(when) if when is None or isinstance(when, str) else f"timedelta(minutes={when})",
        project=str(project),
        environment={"DO_NOT_TRACK": "1"},
        begin=_bash(
            endline,
            "begin",
            station,
            *own,
            *given,
            f"--hours={schedule.run_minutes / 60:g}",
            key="{{ dag_run.run_id }}",
        )
        + " {{ '--force' if params.force else '' }}",
        groups={
            task: _bash(
                kedro, "run", f"--pipelines={station}", *own, f"--nodes={','.join(nodes)}", "--only-missing-outputs"
            )
            + f" {_quoted(params)}"
            for task, nodes in groups.items()
        },
        promote=_bash(endline, "promote", station, *own) + f" --run={_quoted(version)}",
        recalibrate=_bash(
            endline, "recalibrate", f"--station={station}", *own, f"--false-alarm-rate={schedule.recalibrate}"
        )
        + f" --run={_quoted(version)}"
        if schedule.recalibrate is not None
        else None,
        conclude=_bash(endline, "conclude", station, *own) + f" --run={_quoted(version)}",
    )


def _bash(*words: str, key: str | None = None) -> str:
    """A command line of words that hold no template; `key` is one."""
    if any("{{" in word or "{%" in word or "{#" in word for word in words):
        raise EndlineError(f"Airflow would read a template in {' '.join(words)}: take the braces out.")
    return shlex.join(words) + ("" if key is None else f" --key={_quoted(key)}")


def _quoted(text: str) -> str:
    """Text with templates of Airflow in double quotes; nothing else in it may have a meaning for bash."""
    if strange := sorted(set(text) & set(BASH)):
        raise EndlineError(f"bash would read {' '.join(strange)} in {text}: rename what it names.")
    return f'"{text}"'


def write_dags(project: Path, folder: Path, env: str | None = None) -> list[Path]:
    """Write the files into the DAG folder, each whole, and remove those of stations that are no longer scheduled."""
    files = dag_files(project, env)
    for name, content in files.items():
        if not (folder / name).exists() or (folder / name).read_text(encoding="utf-8") != content:
            write_whole(folder / name, content)
    for left in set(folder.glob("endline_*.py")) - {folder / name for name in files}:
        left.unlink()
    return [folder / name for name in sorted(files) if name.endswith(".py") and name != "endline_alerts.py"]


def check_dags(project: Path, folder: Path, env: str | None = None) -> None:
    """See that the DAG folder holds what `write_dags` would write.

    Raises:
        EndlineError: naming the files that differ, are missing, or are left of stations that are no longer scheduled.
    """
    files = dag_files(project, env)
    differ = {
        name
        for name, content in files.items()
        if not (folder / name).exists() or (folder / name).read_text(encoding="utf-8") != content
    }
    differ |= {path.name for path in folder.glob("endline_*.py")} - files.keys()
    if differ:
        raise EndlineError(
            f"{', '.join(sorted(differ))} in {folder} are not what the pipeline and conf/base/schedule.yml say: call "
            "`endline dags` to write them."
        )
