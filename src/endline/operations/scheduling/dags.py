"""DAG files for Airflow, one a station, made from its pipeline and its schedule."""

import json
import re
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from kedro.framework.project import pipelines

from endline.errors import EndlineError
from endline.evidence.station import find_station
from endline.files import write_whole
from endline.operations.scheduling import alerts
from endline.operations.scheduling.schedule import Schedule, read_schedules
from endline.operations.scheduling.tasks import group_nodes, layers_of
from endline.operations.sweep.resolved import configuration
from endline.reporting.page_templates import page_templates

FOLDER = Path(".airflow/dags")
BASH = '"$`\\!'  # what bash reads within double quotes
BEGUN = ("run_version=$RUN_VERSION", "mlflow_run_id=$RUN_MLFLOW")  # variables that the template gives each task


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
        _check_rate(schedule, project)
        groups = group_nodes(pipelines[schedule.station], layers_of(catalog, schedule.station), tasks)
        files[f"endline_{schedule.station}.py"] = render_dag(schedule, groups, project, Path(sys.executable).parent)
    return files


def _check_rate(schedule: Schedule, project: Path) -> None:
    """Refuse a recalibration that changes nothing: its task would fail each night."""
    trained = configuration(project, schedule.env, schedule.params)["parameters"][schedule.station]
    if schedule.recalibrate == trained["verdict"]["false_alarm_rate"]:
        raise EndlineError(
            f"{schedule.station} is trained with the false-alarm rate {schedule.recalibrate:g} already: leave "
            "recalibrate out of conf/base/schedule.yml."
        )


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
    environment = page_templates("endline.operations.scheduling", html=False)
    environment.filters["text"] = lambda value: json.dumps(value, ensure_ascii=False)  # Python's too, in double quotes
    station, when, rate = schedule.station, schedule.schedule, schedule.recalibrate
    endline, kedro = str(programs / "endline"), str(programs / "kedro")
    env = [f"--env={schedule.env}"] if schedule.env else []
    given = [f"--params={schedule.option}"] if schedule.option else []
    group = [f"--group={schedule.params['group']}"] if schedule.params.get("group") else []
    params = ",".join([*([schedule.option] if schedule.option else []), *BEGUN])
    promote = _bash([endline, "promote", station, *env, *group])  # without a run: the challenger, the newest model
    begin = [endline, "begin", station, *env, *given, f"--hours={schedule.run_minutes / 60:g}"]
    groups = {
        task: [kedro, "run", f"--pipelines={station}", *env, f"--nodes={','.join(nodes)}", "--only-missing-outputs"]
        for task, nodes in groups.items()
    }
    return environment.get_template("dag.py.jinja").render(
        schedule=schedule,
        title=f"{find_station(station).title}: train on new data, promote what is better",
        when=f"timedelta(minutes={when})" if isinstance(when, int | float) else repr(when),
        project=str(project),
        begin=f'{_bash(begin)} --key="$KEY" $FORCE',
        groups={task: f"{_bash(words)} {_quoted(f'--params={params}')}" for task, words in groups.items()},
        promote=f"{promote} --run=$RUN_VERSION",
        recalibrate=rate
        and f"{_bash([endline, 'recalibrate', *env, f'--false-alarm-rate={rate}'])} --run=$RUN_VERSION && {promote}",
        conclude=f"{_bash([endline, 'conclude', station, *env])} --run=$RUN_VERSION",
    )


def _bash(words: Sequence[str]) -> str:
    """A command line of words, quoted; Airflow reads it as a template before bash does."""
    if strange := [word for word in words if re.search("{[{%#]", word)]:
        raise EndlineError(f"Airflow would read {strange[0]} as a template: take the braces out.")
    return shlex.join(words)


def _quoted(text: str) -> str:
    """Text in double quotes, in which bash shall read the variables `BEGUN` and nothing else."""
    if strange := sorted(set(text.replace(",".join(BEGUN), "")) & set(BASH)):
        raise EndlineError(f"bash would read {' '.join(strange)} in {text}: rename what it names.")
    return f'"{text}"'


def write_dags(project: Path, folder: Path, env: str | None = None) -> list[Path]:
    """Write the files into the DAG folder, each whole, and remove those of stations that are no longer scheduled."""
    files = dag_files(project, env)
    for name in _differing(folder, files):
        write_whole(folder / name, files[name])
    for left in _left(folder, files):
        (folder / left).unlink()
    return [folder / name for name in sorted(files) if name.endswith(".py") and name != "endline_alerts.py"]


def check_dags(project: Path, folder: Path, env: str | None = None) -> None:
    """See that the DAG folder holds what `write_dags` would write.

    Raises:
        EndlineError: naming the files that differ, are missing, or are left of stations that are no longer scheduled.
    """
    files = dag_files(project, env)
    if differ := _differing(folder, files) | _left(folder, files):
        raise EndlineError(
            f"{', '.join(sorted(differ))} in {folder} are not what the pipeline and conf/base/schedule.yml say: call "
            "`endline dags` to write them."
        )


def _differing(folder: Path, files: Mapping[str, str]) -> set[str]:
    """Names of files that the folder lacks, or holds with another content."""
    return {
        name
        for name, content in files.items()
        if not (folder / name).exists() or (folder / name).read_text(encoding="utf-8") != content
    }


def _left(folder: Path, files: Mapping[str, str]) -> set[str]:
    """Names of DAG files of stations that are no longer scheduled."""
    return {path.name for path in folder.glob("endline_*.py")} - files.keys()
