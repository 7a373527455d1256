"""DAG files: made from the pipeline, read without Airflow, and imported by it where it is installed."""

import ast
import contextlib
import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from kedro.framework.project import pipelines
from kedro.pipeline import Pipeline, node

from endline.commands import cli
from endline.errors import EndlineError
from endline.evidence.station import station_names
from endline.operations.scheduling.dags import check_dags, dag_files, render_dag, write_dags
from endline.operations.scheduling.schedule import Schedule
from endline.operations.scheduling.tasks import group_nodes

ROOT = Path(__file__).parents[3]
AIRFLOW = ROOT / ".airflow/venv/bin/python"
IMPORT = """
import importlib.util, sys
sys.path.insert(0, sys.argv[1])
for path in sys.argv[2:]:
    spec = importlib.util.spec_from_file_location("dag_file", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    tasks = (f"{task.task_id}<{'+'.join(sorted(task.upstream_task_ids))}" for task in module.dag.tasks)
    print(module.dag.dag_id, *tasks)
assert not {"kedro", "endline", "mlflow"} & sys.modules.keys()
"""
GROUPS = {"read": ["mirror_audio.locate", "mirror_audio.index"], "train": ["mirror_audio.fit"]}


def rendered(**settings: Any) -> str:
    return render_dag(
        Schedule("mirror_audio", **settings), GROUPS, Path("/plant/line 4"), Path("/plant/line 4/.venv/bin")
    )


def commands(page: str) -> dict[str, str]:
    """Task -> the command that bash is given."""
    calls = [each for each in ast.walk(ast.parse(page)) if isinstance(each, ast.Call)]
    own = [call for call in calls if isinstance(call.func, ast.Name) and call.func.id == "command"]
    return {ast.literal_eval(call.args[0]): ast.literal_eval(call.args[1]) for call in own}


@pytest.fixture(scope="module")
def files() -> dict[str, str]:
    return dag_files(ROOT)


def test_each_station_has_a_file_whose_tasks_run_all_its_nodes_once(files: dict[str, str]) -> None:
    assert {name for name in files if name.endswith(".py")} == {
        "endline_alerts.py",
        *(f"endline_{station}.py" for station in station_names()),
    }
    for station in station_names():
        page = files[f"endline_{station}.py"]
        compile(page, f"endline_{station}.py", "exec")
        nodes = [name for each in re.findall(r"--nodes=([\w.,]+)", page) for name in each.split(",")]
        assert sorted(nodes) == sorted(each.name for each in pipelines[station].nodes)
        tasks = list(commands(page))
        assert tasks == ["new_data", "read_and_extract", "train", "judge", "evaluate", "promote", "report"]
        assert f"{' >> '.join(tasks)}\n" in page


def test_no_file_imports_the_project(files: dict[str, str]) -> None:
    for name, page in files.items():
        if name.endswith(".py"):
            imports = [each for each in ast.walk(ast.parse(page)) if isinstance(each, ast.Import | ast.ImportFrom)]
            roots = {(getattr(each, "module", None) or each.names[0].name).split(".")[0] for each in imports}
            assert not roots & {"kedro", "endline", "mlflow", "numpy", "pandas", "torch"}


def test_the_settings_of_a_schedule_stand_in_the_file() -> None:
    page = rendered(
        schedule=2.5, timezone="Europe/Berlin", retries=1, env="smoke", params={"raw": "/p q"}, recalibrate=0.02
    )
    for text in (
        "schedule=timedelta(minutes=2.5)",
        'tz="Europe/Berlin"',
        '"retries": 1',
        "max_active_runs=1",
        "is_paused_upon_creation=False",
        "promote >> recalibrate >> report",
        'cwd="/plant/line 4"',
    ):
        assert text in page
    said = {task: shlex.split(command) for task, command in commands(page).items()}
    assert said["train"] == [
        "/plant/line 4/.venv/bin/kedro",
        "run",
        "--pipelines=mirror_audio",
        "--env=smoke",
        "--nodes=mirror_audio.fit",
        "--only-missing-outputs",
        "--params=raw=/p q,run_version=$RUN_VERSION,mlflow_run_id=$RUN_MLFLOW",
    ]
    assert said["new_data"][1:5] == ["begin", "mirror_audio", "--env=smoke", "--params=raw=/p q"]
    assert "--false-alarm-rate=0.02" in said["recalibrate"]
    assert said["recalibrate"][-4:] == ["/plant/line 4/.venv/bin/endline", "promote", "mirror_audio", "--env=smoke"]
    by_hand = rendered()
    assert "schedule=None" in by_hand
    assert "is_paused_upon_creation=True" in by_hand
    assert "recalibrate" not in by_hand
    assert "schedule='@daily'" in rendered(schedule="@daily")


def test_a_recalibration_to_the_rate_of_the_training_is_refused(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "conf", tmp_path / "conf")
    plan = tmp_path / "conf/base/schedule.yml"
    plan.write_text(plan.read_text().replace("robot_cycle: {}", "robot_cycle: {recalibrate: 0.05}"))
    with pytest.raises(EndlineError, match=r"robot_cycle is trained with the false-alarm rate 0\.05 already"):
        dag_files(tmp_path)


@pytest.mark.parametrize("raw", ["/a$HOME", "/a`ls`", '/a"b', "/{{ run_id }}"])
def test_what_bash_or_airflow_would_read_in_a_value_is_refused(raw: str) -> None:
    with pytest.raises(EndlineError):
        rendered(params={"raw": raw})


def test_nodes_that_share_what_is_not_kept_are_one_task_and_none_runs_before_its_inputs() -> None:
    nodes = [
        node(len, "raw", "samples", name="index"),
        node(len, "samples", "shown", name="show"),  # in memory alone
        node(len, "samples", "model", name="fit"),
        node(len, "model", "masks", name="masks"),  # of an earlier layer than what it reads
        node(max, ["shown", "masks"], "report", name="report"),
    ]
    layers = {"samples": "primary", "model": "models", "masks": "feature", "report": "reporting"}
    tasks = {"read": ["primary", "feature"], "train": ["models"], "evaluate": ["reporting"]}
    assert group_nodes(Pipeline(nodes), layers, tasks) == {
        "read": ["index"],
        "train": ["fit", "masks"],
        "evaluate": ["show", "report"],
    }
    with pytest.raises(EndlineError, match="No task of the schedule makes the layer 'models', in which model lies"):
        group_nodes(Pipeline(nodes), layers, {"read": ["primary", "feature", "reporting"]})


def test_files_are_written_once_and_what_differs_is_told(tmp_path: Path, files: dict[str, str]) -> None:
    folder = tmp_path / "dags"
    with contextlib.chdir(ROOT):
        written = CliRunner().invoke(cli, ["dags", f"--folder={folder}"])
        assert written.exit_code == 0, written.output
        assert {path.name: path.read_text() for path in folder.iterdir()} == files
        assert CliRunner().invoke(cli, ["dags", f"--folder={folder}", "--check"]).exit_code == 0
        (folder / "endline_mirror_audio.py").write_text("changed")
        (folder / "endline_gone.py").write_text("left")
        told = CliRunner().invoke(cli, ["dags", f"--folder={folder}", "--check"])
    assert told.exit_code == 1
    assert "endline_gone.py, endline_mirror_audio.py in" in told.output
    write_dags(ROOT, folder)
    assert {path.name for path in folder.iterdir()} == files.keys()
    check_dags(ROOT, folder)


@pytest.mark.skipif(not AIRFLOW.exists(), reason="Airflow is not installed: `make airflow` does it")
def test_airflow_reads_the_files_and_nothing_of_the_project(tmp_path: Path, files: dict[str, str]) -> None:
    written = write_dags(ROOT, tmp_path / "dags")
    environment = {**os.environ, "AIRFLOW_HOME": str(tmp_path), "AIRFLOW__CORE__UNIT_TEST_MODE": "True"}
    environment.pop("PYTHONPATH", None)
    done = subprocess.run(
        [AIRFLOW, "-c", IMPORT, tmp_path / "dags", *written], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    for line in [line for line in done.stdout.splitlines() if line.startswith("endline_")]:
        assert line.split(" ", 1)[1] == (
            "new_data< read_and_extract<new_data train<read_and_extract judge<train evaluate<judge promote<evaluate "
            "report<evaluate+promote"
        )
    assert len(written) == len(station_names())
