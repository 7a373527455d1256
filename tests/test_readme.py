"""Every command of the README exists, with the options that it shows."""

import re
import shlex
import subprocess
from pathlib import Path

import click
import pytest

from endline.cli import cli

PROJECT = Path(__file__).parents[1]
README = (PROJECT / "README.md").read_text()
BLOCKS = re.findall(r"```sh\n(.*?)```", README, re.DOTALL)
CONTINUED = re.compile(r"\\\n\s*")
LINES = [line for block in BLOCKS for line in CONTINUED.sub("", block).splitlines()]
COMMANDS = [line.split("#")[0].strip() for line in LINES if line.strip()]
COMMANDS += re.findall(r"`(kedro sweep \w+)`", README)


@pytest.mark.parametrize("command", [line for line in COMMANDS if line.startswith("make ")])
def test_make_knows_the_target(command):
    subprocess.run([*shlex.split(command), "--dry-run"], cwd=PROJECT, check=True, capture_output=True)


@pytest.mark.parametrize(
    "command",
    [
        line
        for line in COMMANDS
        if re.match(r"(kedro|endline) (run|inspect|watch|recalibrate|sweep|stream|prune)", line)
    ],
)
def test_kedro_knows_the_command_and_its_options(command):
    _, name, *words = shlex.split(command)
    chosen = cli.commands[name]
    context = chosen.make_context(name, list(words))  # raises for an unknown option
    assert isinstance(context, click.Context)
    if name == "sweep":
        assert f"\n{words[0]}:" in (PROJECT / "benchmarks/sweeps.yml").read_text()
    known = "\n".join(path.read_text() for path in (PROJECT / "conf/base/parameters").glob("*.yml"))
    for option in context.params.get("params") or {}:
        assert f"${{runtime_params:{option}," in known


def test_every_path_that_is_named_exists():
    named = re.findall(r"`((?:conf|src|notebooks|benchmarks)/[\w./]+)`", README)
    assert named
    assert [path for path in named if not (PROJECT / path).exists()] == []


def test_no_figure_is_left_open():
    assert re.findall(r"\b[A-Z]+_[A-Z0-9]+\b", README.replace("ENDLINE_DATA", "")) == []
