"""The commands start quickly and say in plain words what is wrong."""

import subprocess
import sys
from pathlib import Path

import click
import pytest

from endline.commands import cli, plain_errors
from endline.errors import EndlineError

ROOT = Path(__file__).parents[1]
HEAVY = ("torchvision", "mlflow", "kedro", "sklearn", "scipy", "matplotlib", "pandera", "jinja2", "mujoco")


def test_inspecting_imports_nothing_that_a_verdict_does_without() -> None:
    code = f"""
import sys
from pathlib import Path
import endline.commands, endline.operations.inspect_command, endline.operations.watch_command
from endline.evidence.station import find_station, station_names
stations = [find_station(name) for name in station_names()]
print(len(stations), [name for name in {HEAVY} if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "5 []"


def test_the_package_has_public_names_and_imports_none_before_it_is_used() -> None:
    code = """
import sys
from pathlib import Path
import endline
print([name for name in ("torch", "pandas", "numpy", "kedro") if name in sys.modules], dir(endline))
from endline import EndlineError
try:
    endline.Inspektor
except AttributeError as error:
    print(EndlineError, error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [
        "[] ['EndlineError', 'Explanation', 'Inspector']",
        "<class 'endline.errors.EndlineError'> module 'endline' has no attribute 'Inspektor': its names are "
        "EndlineError, Explanation, Inspector.",
    ]


def wrapped_error() -> None:
    """What Kedro makes of an error in a node."""
    try:
        raise EndlineError("The disk is full.")
    except EndlineError as error:
        raise RuntimeError("node failed") from error


def test_the_sentence_of_an_error_is_printed_however_deep_it_lies() -> None:
    with pytest.raises(click.ClickException, match=r"^The disk is full\.$"), plain_errors():
        wrapped_error()


def test_an_interrupted_command_says_how_it_goes_on() -> None:
    with pytest.raises(click.ClickException, match="the same command goes on where it stopped"), plain_errors():
        raise KeyboardInterrupt


def test_other_errors_keep_their_traceback() -> None:
    with pytest.raises(ZeroDivisionError), plain_errors():
        _ = 1 / 0


def test_kedro_has_the_same_commands_and_run() -> None:
    from endline.cli import cli as in_kedro

    assert in_kedro is cli
    assert {"inspect", "prune", "recalibrate", "run", "stream", "sweep", "watch"} <= set(cli.commands)


def test_a_sweep_is_found_without_kedro_around_it() -> None:
    command = [sys.executable, "-m", "endline", "sweep", "mirror"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 1
    assert "There is no sweep 'mirror': choose one of my_detectors (conf/base/sweeps.yml); mirror42" in done.stderr
