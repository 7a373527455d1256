"""What the command line makes of its options."""

import contextlib
import os

import pytest
from click.testing import CliRunner

from endline.cli import cli


@pytest.mark.parametrize(
    ("params", "read"),
    [
        ("raw=2024", {"raw": "2024"}),
        ("group=7,seed=7", {"group": "7", "seed": 7}),
        ("group=007", {"group": "007"}),
        ("file=1.5", {"file": "1.5"}),
        ("group=true", {"group": "true"}),
        ("raw=/it's/here", {"raw": "/it's/here"}),
        ("raw=null", {"raw": None}),
        ("group='7'", {"group": "7"}),
        (
            "mirror_audio.run.group=12,mirror_audio.fit.folds=3",
            {"mirror_audio": {"run": {"group": "12"}, "fit": {"folds": 3}}},
        ),
    ],
)
def test_names_and_paths_are_words_even_where_they_look_like_numbers(params: str, read: dict[str, object]) -> None:
    context = cli.commands["run"].make_context("run", [f"--params={params}"])  # type: ignore[attr-defined]
    assert context.params["params"] == read


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (
            ["--pipeline=miror_audio"],
            "There is no pipeline 'miror_audio': did you mean 'mirror_audio'? Known are machine_audio, "
            "mirror_audio, robot_cycle, surface_image, surface_scan.",
        ),
        (
            ["--pipelines=robot_cycle,xyz"],
            "There is no pipeline 'xyz': choose one of machine_audio, mirror_audio, robot_cycle, ",
        ),
        (["--env=papr"], "There is no overlay 'papr' in conf (--env): did you mean 'paper'? Known are base, paper, "),
        (["--nodes=idnex"], "Pipeline does not contain nodes named ['idnex']: correct the option, `kedro registry "),
        (["--tags=xyz"], "Pipeline contains no nodes after applying all provided filters: correct the option"),
        (["--from-inputs=xyz"], "Pipeline does not contain datasets named ['xyz']: correct the option"),
        (["--namespaces=mir"], "Pipeline does not contain nodes with the following namespaces: ['mir']: correct"),
        (
            ["--pipelines=robot_cycle", "--from-nodes=robot_cycle.judge", "--load-versions=robot_cycle.sampels:1"],
            "The run reads no data set 'robot_cycle.sampels' (--load-versions): did you mean 'robot_cycle.samples'?",
        ),
        (
            ["--pipelines=robot_cycle", "--load-versions=robot_cycle.sampels:1"],
            "The run reads no data set 'robot_cycle.sampels' (--load-versions): leave it out, for this run makes all ",
        ),
        (
            ["--pipelines=robot_cycle", "--load-versions=robot_cycle.samples:1"],
            "The run makes 'robot_cycle.samples' itself and reads no earlier version of it (--load-versions): leave ",
        ),
        (["--runner=ParalelRunner"], "There is no runner 'ParalelRunner' (--runner): did you mean 'ParallelRunner'?"),
    ],
)
def test_names_that_are_not_there_are_told_before_anything_runs(project, sentence, options, said) -> None:
    before = sorted((project.folder / "mlruns").glob("*"))
    with contextlib.chdir(project.folder):
        result = CliRunner().invoke(cli, ["run", *options])
    assert sentence(result).replace(f"{project.folder}/", "").startswith(said)
    assert sorted((project.folder / "mlruns").glob("*")) == before


def test_an_overlay_of_the_environment_is_checked_too(project, sentence, monkeypatch) -> None:
    monkeypatch.setenv("KEDRO_ENV", "smoek")
    with contextlib.chdir(project.folder):
        assert "did you mean 'smoke'?" in sentence(CliRunner().invoke(cli, ["run"]))


@pytest.mark.parametrize("command", [["inspect", "a.wav"], ["stream", "a.csv"], ["sweep", "tiny"]])
def test_every_command_refuses_an_overlay_that_is_not_there(project, sentence, command) -> None:
    with contextlib.chdir(project.folder):
        said = sentence(CliRunner().invoke(cli, [*command, "--env=papr"]))
    assert said.startswith(f"There is no overlay 'papr' in {project.folder}/conf (--env): did you mean 'paper'?")


@pytest.mark.parametrize("command", ["inspect", "stream"])
def test_a_name_that_is_not_utf_8_is_a_sentence(project, sentence, command) -> None:
    with contextlib.chdir(project.folder):
        said = sentence(CliRunner().invoke(cli, [command, os.fsdecode(b"Ger\xe4usch.wav")]))
    assert said == "The name of Ger\\udce4usch.wav is not written in UTF-8: rename the file."
