"""A new threshold without new training: the same detectors, another rate, and whether it can be promised."""

import re

import pytest

from endline.errors import EndlineError
from endline.operations.inspection import Inspector
from endline.operations.model_folders import latest_model
from endline.operations.recalibration import promise, recalibrate
from endline.published import PublishedModel


def test_a_new_version_has_the_same_detectors_and_another_threshold(scales, padim):
    done = recalibrate(scales.folder, padim, 0.2)
    assert latest_model(scales.folder, "scales") == done.folder
    read = PublishedModel.load(done.folder)
    assert read.run == done.folder.parent.name > padim.run
    assert read.calibration.scores == padim.calibration.scores
    assert (read.calibration.stated_rate, read.calibration.rate) == (0.2, 0.2)
    assert read.calibration.threshold < padim.calibration.threshold
    assert read.about["recalibrated"] == {"from": "2", "stated_rate": 0.05}
    names = [path.relative_to(done.folder) for path in done.folder.rglob("*.safetensors")]
    assert names
    assert all((done.folder / name).read_bytes() == (scales.model("2") / name).read_bytes() for name in names)
    part = scales.part("a.json")
    before, after = (Inspector.load(run, project=scales.folder).inspect(part).iloc[0] for run in ("2", read.run))
    assert (after["score"], after["p_value"]) == (before["score"], before["p_value"])


def test_the_command_says_what_is_promised_and_which_model_judges(scales, padim):
    told = scales.command("recalibrate", "--station=scales", "--false-alarm-rate=0.1")
    assert told.exit_code == 0, told.output
    assert told.output.startswith("stated rate 0.05 -> 0.1, threshold ")
    assert "\nPromised: at most 10 % of normal parts are flagged (30 held out).\nPublished as 20" in told.output
    assert "--run=2 judges as before." in told.output
    low = scales.command("recalibrate", "--station=scales", "--run=1", "--false-alarm-rate=0.01")
    said = r"Beware: 30 calibrating parts can promise no false-alarm rate below 3\.2.*%: at least 99 are needed for 1 %"
    assert re.search(said, low.output)
    assert len(list(scales.folder.glob("data/06_models/scales/model/*/model"))) == 4


@pytest.mark.parametrize(
    ("rate", "said"),
    [
        (0.05, "The run 2 states the rate 0.05 already: give another --false-alarm-rate."),
        (0.0, "false_alarm_rate=0.0 must lie between 0 and 1: write 0.05 for 5 %."),
        (5.0, "false_alarm_rate=5.0 must lie between 0 and 1: write 0.05 for 5 %."),
        (float("nan"), "false_alarm_rate=nan must lie between 0 and 1: write 0.05 for 5 %."),
    ],
)
def test_a_rate_that_is_none_or_changes_nothing_is_refused(scales, padim, rate, said):
    with pytest.raises(EndlineError) as caught:
        recalibrate(scales.folder, padim, rate)
    assert str(caught.value) == said
    assert latest_model(scales.folder, "scales") == scales.model("2")


def test_a_distribution_promises_nothing(padim):
    from dataclasses import replace

    said = promise(replace(padim.calibration, rule="gamma"))
    assert said == "Nothing is promised: gamma fits a distribution to 30 held-out parts."
