"""The schedule's file: what stands in it, and what is refused by a sentence."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from endline.errors import EndlineError
from endline.evidence.station import station_names
from endline.operations.scheduling.schedule import FILE, read_schedules

ROOT = Path(__file__).parents[3]


@pytest.fixture
def plant(tmp_path: Path) -> Path:
    shutil.copytree(ROOT / "conf", tmp_path / "conf")
    return tmp_path


def change(project: Path, **stations: Any) -> None:
    content = yaml.safe_load((project / FILE).read_text())
    (project / FILE).write_text(yaml.safe_dump({**content, "stations": stations}, sort_keys=False))


def test_every_station_has_a_schedule_and_the_main_job_runs_each_night() -> None:
    schedules, tasks = read_schedules(ROOT)
    assert {each.station for each in schedules} == set(station_names())
    assert {each.station: each.schedule for each in schedules if each.schedule} == {"mirror_audio": "0 2 * * *"}
    assert list(tasks) == ["read_and_extract", "train", "judge", "evaluate"]


def test_a_station_says_what_differs_from_the_defaults(plant: Path) -> None:
    params = {"raw": "/line 4", "group": "007", "detectors": {"gaussian": {"parts": None}}, "fast": True}
    change(plant, robot_cycle={"schedule": 30, "env": "smoke", "params": params, "retries": 0}, mirror_audio=None)
    (robot, mirror), _ = read_schedules(plant)
    assert (robot.schedule, robot.env, robot.retries, robot.retry_minutes) == (30, "smoke", 0, 5)
    assert robot.option == "raw=/line 4,group=007,detectors.gaussian.parts=null,fast=true"
    assert (mirror.schedule, mirror.option) == (None, None)


@pytest.mark.parametrize(
    ("station", "wrong", "said"),
    [
        ("mirror_audo", {}, "mirror_audo"),
        ("mirror_audio", {"schedul": "0 2 * * *"}, "did you mean 'schedule'?"),
        ("mirror_audio", {"schedule": "every night"}, "five fields of cron"),
        ("mirror_audio", {"schedule": -5}, "five fields of cron"),
        ("mirror_audio", {"schedule": True}, "five fields of cron"),
        ("mirror_audio", {"timezone": "Berlin"}, "Europe/Berlin"),
        ("mirror_audio", {"retries": 1.5}, "a whole number"),
        ("mirror_audio", {"task_minutes": 0}, "minutes above 0"),
        ("mirror_audio", {"recalibrate": 5}, "between 0 and 1"),
        ("mirror_audio", {"params": {"raw": "/a,b"}}, "has a comma"),
    ],
)
def test_what_is_wrong_is_said_with_its_remedy(plant: Path, station: str, wrong: dict[str, Any], said: str) -> None:
    change(plant, **{station: wrong})
    with pytest.raises(EndlineError, match=said):
        read_schedules(plant)


def test_a_project_without_a_schedule_is_told_where_one_is(plant: Path) -> None:
    (plant / FILE).unlink()
    with pytest.raises(EndlineError, match=r"schedule\.yml is not there"):
        read_schedules(plant)
