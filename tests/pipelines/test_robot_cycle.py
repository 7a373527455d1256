"""The station `robot_cycle`, from cycles to the report, on a simulated set in a project of its own."""

import contextlib
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

from endline.cli import cli
from endline.errors import EndlineError
from endline.evaluation.summary import METRICS
from endline.robot_signals import SIGNALS
from endline.samples import check_samples


@pytest.fixture(scope="session")
def run(cells) -> str:
    return cells.run(exhibits=1)


@pytest.fixture
def folder(tmp_path):
    """Makes a folder of cycles of two signals."""
    rng = np.random.default_rng(0)
    for kind, count in (("normal", 9), ("stuck", 3)):
        (tmp_path / "raw" / kind).mkdir(parents=True)
        for number in range(count):
            times = np.arange(100 + number) / 50
            force = np.sin(times) + 0.1 * rng.standard_normal(len(times)) + (kind == "stuck")
            table = pd.DataFrame({"time": times, "force": force, "way": times**2})
            table.to_csv(tmp_path / "raw" / kind / f"{number}.csv", index=False)
    return tmp_path / "raw"


def test_the_sample_table_follows_the_published_split(cells, run):
    samples = check_samples(cells.load("samples"))
    assert samples["split"].value_counts().to_dict() == {"train": 8, "test": 5}
    assert set(samples.loc[samples["split"] == "train", "kind"]) == {"normal"}
    assert samples["simulated"].all()
    assert cells.load("preparation").signals == SIGNALS


def test_the_metrics_are_those_of_every_station(cells, run):
    metrics = cells.load("metrics")
    assert tuple(metrics) == METRICS
    assert metrics["station"] == "robot_cycle"
    assert metrics["simulated"] is True
    assert metrics["n_train"] == 8
    figures = [found["auroc"] for found in metrics["auroc_by_kind"].values()]
    assert len(figures) == 3
    assert metrics["auroc_mean_of_kinds"] == pytest.approx(np.mean(figures))


def test_the_report_shows_the_attribution_and_its_ranking(cells, run):
    page = cells.load("report")
    assert "SIMULATED DATA" in page
    for caption in ("attribution, and the nearest normal cycle", "share of the signals and axes"):
        assert f"<figcaption>{caption}</figcaption>" in page
    assert "counts most and stands out at" in page


@pytest.mark.parametrize(
    "detector",
    [
        "mts_flow",
        "mts_ast",
        "nearest_cycle",
        "pca",
        "conv_autoencoder",
        "lstm_vae",
        "ganf",
        "hmm",
        "gaussian",
        "rocket_neighbour",
    ],
)
def test_every_detector_runs_and_its_cycles_can_be_shown(cells, run, detector):
    cells.run(detector=detector, exhibits=1)
    metrics = cells.load("metrics")
    assert metrics["detector"] == detector
    assert np.isfinite(cells.load("scores")["score"]).all()
    assert "attribution, and the nearest normal cycle" in cells.load("report")


def test_a_folder_of_cycles_inspection_and_stream(cells, folder, sentence):
    cells.run(raw=str(folder), rate=25, calibration="hold_out", detector="mts_flow")
    assert cells.load("metrics")["n_test_anomalous"] == 3
    file, half = str(folder / "stuck/0.csv"), cells.folder / "half.csv"
    pd.read_csv(file).iloc[:50].to_csv(half, index=False)
    with contextlib.chdir(cells.folder):
        broken_off = CliRunner().invoke(cli, ["stream", "--env=smoke", "--rate=0.5", "--window=10", str(half)])
        verdict = CliRunner().invoke(cli, ["inspect", "--env=smoke", "--station=robot_cycle", file])
        stream = CliRunner().invoke(cli, ["stream", "--env=smoke", "--rate=0.5", "--window=10", "--hop=10", file])
        short = CliRunner().invoke(cli, ["stream", "--env=smoke", "--rate=0.5", "--window=5", file])
        followed = CliRunner().invoke(cli, ["stream", "--env=smoke", "--follow=5", file])
    assert verdict.exit_code == 0, verdict.output
    assert "score" in verdict.output
    assert cells.shown(Path(file)).figures
    assert stream.exit_code == 0, stream.output
    assert "alarm on above" in stream.output
    assert "the cycle lasts" not in stream.output
    assert "ALARM  the cycle lasts 0.98 s, the training cycles" in broken_off.output, broken_off.output
    assert "Of normal cycles at most 50 % raise the alarm in any of their windows" in stream.output
    assert stream.output.count("  steps ") == 5  # 50 steps at 25 Hz
    assert short.output.count("  steps ") == 10  # no step is left out
    assert sentence(followed) == "Cycles of robot_cycle are complete when they come: leave out --follow."


@pytest.mark.parametrize("params", [{"rate": 25}, {"steps": 40}])
def test_a_cycle_that_runs_on_or_stops_half_way_is_not_called_normal(cells, folder, params):
    rng = np.random.default_rng(1)
    for kind, count in (("long", 180), ("half", 50)):
        times = np.arange(count) / 50
        force = np.sin(times) + 0.1 * rng.standard_normal(count) + 10 * (times > 2.2)
        (folder / kind).mkdir()
        pd.DataFrame({"time": times, "force": force, "way": times**2}).to_csv(folder / kind / "0.csv", index=False)
    cells.run(
        raw=str(folder),
        detector="nearest_cycle",
        calibration="cross_fit",
        train=7,
        false_alarm_rate=0.2,
        exhibits=3,
        **params,
    )
    scores = cells.load("scores").set_index("kind")
    assert scores.loc[["long", "half"], "flagged"].all()
    assert scores.loc[["long", "half"], "score"].min() > scores.loc["normal", "score"].max() + 10
    assert len(cells.load("rejected")) == 0
    page = cells.load("report")
    for said in ("It lasts 3.58 s, the training cycles", "It lasts 0.98 s, the training cycles"):
        assert page.count(said) == 2  # beside its pictures, and beside its verdict
    assert ("its last" in page) == ("rate" in params)
    for kind in ("long", "half"):
        with contextlib.chdir(cells.folder):
            options = ["inspect", "--env=smoke", "--station=robot_cycle", str(folder / kind / "0.csv")]
            verdict = CliRunner().invoke(cli, options)
        assert "that counts as an anomaly by itself" in " ".join(verdict.output.split()), verdict.output
        assert "anomal" in verdict.output


@pytest.mark.parametrize(
    ("params", "said"),
    [
        (
            {"rate": 25, "calibration": "cross_fit"},
            "run `kedro run --pipeline=robot_cycle --params=calibration=hold_out`",
        ),
        ({"steps": 40, "calibration": "hold_out"}, "The latest run stretched every cycle to 40 steps"),
    ],
)
def test_a_run_that_cannot_judge_a_running_cycle_is_told(cells, folder, sentence, params, said):
    cells.run(raw=str(folder), detector="hmm", **params)
    with contextlib.chdir(cells.folder):
        assert said in sentence(CliRunner().invoke(cli, ["stream", "--env=smoke", str(folder / "stuck/0.csv")]))


def test_good_cycles_alone_are_enough(cells, folder):
    for file in (folder / "stuck").iterdir():
        file.unlink()
    cells.run(raw=str(folder), rate=25)
    metrics = cells.load("metrics")
    assert metrics["auroc"] is None
    assert metrics["auroc_mean_of_kinds"] is None
    assert metrics["simulated"] is False


def test_what_is_fitted_does_not_depend_on_any_tested_cycle(cells, folder):
    weights = []
    for factor in (1, -3):
        cells.run(raw=str(folder), rate=25)
        for file in (folder / "stuck").iterdir():
            table = pd.read_csv(file)
            table.assign(force=factor * table["force"] + 1).to_csv(file, index=False)
        weights.append({name: one.model.state_dict() for name, one in cells.load("detectors").items()})
    first, second = weights
    for name, state in first.items():
        assert all((state[key] == second[name][key]).all() for key in state)


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({"detector": "patchcore", "signals": "gearbox"}, "There is no signal 'gearbox': choose a group"),
        ({"detector": "cutpaste"}, "The detector reads 'image', which is made of images, not of cycles: choose one"),
        ({"rate": 400}, "None of the 13 cycles"),
        ({"format": "xml"}, "robot_cycle.preparation.formats has no 'xml': choose one of cycles, plain, recordings"),
        ({"train_fraction": 0.1}, "1 normal item(s) would train, at least 3 are needed"),
        ({"raw": "/nowhere"}, "There is no folder /nowhere"),
    ],
)
def test_wrong_options_end_in_a_sentence(cells, run, sentence, params, said):
    assert said in sentence(cells.command(**params))


def test_of_several_robots_the_group_names_the_folder(cells, folder):
    for robot in ("left", "right"):
        (folder / robot).mkdir()
    for kind in ("normal", "stuck"):
        (folder / kind).rename(folder / "left" / kind)
    cells.run(raw=str(folder), group="left", detector="cycle_neighbour")
    samples = cells.load("samples")
    assert set(samples["group"]) == {"left"}
    assert samples["path"].str.startswith("left/").all()
    assert len(samples) == 12


@pytest.mark.parametrize(
    ("params", "said"),
    [({}, "holds the cycles of 2 robot(s), each with its own normals"), ({"group": "lfet"}, "has no folder lfet")],
)
def test_of_several_robots_one_must_be_chosen(cells, folder, sentence, params, said):
    for robot in ("left", "right"):
        shutil.copytree(folder / "normal", folder / robot / "normal")
    shutil.rmtree(folder / "normal")
    told = sentence(cells.command(raw=str(folder), **params))
    assert f"{said}: choose one of left, right (--params=group=left)" in told
    shutil.copytree(folder / "left" / "normal", folder / "normal")
    assert "labels with words that may mean a fault or not: 'left/normal'" in sentence(cells.command(raw=str(folder)))


def test_a_chosen_detector_is_named_wherever_a_run_says_what_it_is(cells):
    cells.run(detector="auto", exhibits=0)
    metrics, choice = cells.load("metrics"), cells.load("choice")
    assert metrics["detector"] == metrics["chosen"] == choice["detector"] != "auto"
    assert metrics["chosen_criterion"] == choice["chosen_criterion"]
    assert [row["detector"] for row in choice["candidates"]] == [
        "segment_gaussian", "pca", "nearest_cycle", "rocket_neighbour", "cycle_neighbour", "mts_flow"
    ]  # fmt: skip
    tracked = cells.tracked()
    assert tracked.data.tags["detector"] == choice["detector"]
    assert tracked.data.params["robot_cycle.choice.detector"] == choice["detector"]
    model = cells.load("model")
    assert model.about["detector"] == choice["detector"]
    page = cells.load("report")
    assert "Why this detector" in page
    assert "<dd>auto</dd>" not in page
    assert choice["chosen_reason"].split(" (")[0] in page


def test_a_candidate_that_is_not_there_is_told_before_anything_is_read(cells):
    with pytest.raises(EndlineError, match="There is no detector 'no_such'"):
        cells.run(detector="auto", raw="/nowhere", robot_cycle={"auto": {"candidates": ["pca", "no_such"]}})
