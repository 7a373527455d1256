"""When a station is retrained, and what a task may take: `conf/base/schedule.yml`."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any
from zoneinfo import available_timezones

from endline.dotted import flatten
from endline.errors import EndlineError, nearest
from endline.evidence.station import find_station
from endline.operations.sweep.resolved import configuration

FILE = "conf/base/schedule.yml"
_CRON = re.compile(r"@(hourly|daily|weekly|monthly)|\S+( \S+){4}")


@dataclass(frozen=True)
class Schedule:
    """When and how a station is retrained.

    Attributes:
        station: its name.
        schedule: five fields of cron, minutes from one run to the next, or None: only when somebody triggers it.
        timezone: in which the cron is meant.
        retries: of a task that failed.
        retry_minutes: until a failed task is tried again.
        task_minutes: after which a task is given up.
        run_minutes: after which the whole run is given up.
        env: overlay of the configuration.
        params: runtime parameters of the runs.
        recalibrate: false-alarm rate at which a promoted model judges; None: as it was trained.

    Raises:
        EndlineError: for an unknown station or time zone, or a number or cron that is none.

    Example:
        >>> Schedule("mirror_audio", "0 2 * * *", params={"raw": "/plant/line4", "seed": 1}).option
        'raw=/plant/line4,seed=1'
    """

    station: str
    schedule: str | float | None = None
    timezone: str = "UTC"
    retries: int = 2
    retry_minutes: float = 5
    task_minutes: float = 360
    run_minutes: float = 720
    env: str | None = None
    params: Mapping[str, Any] = field(default_factory=dict)
    recalibrate: float | None = None

    def __post_init__(self) -> None:
        find_station(self.station)
        cron = isinstance(self.schedule, str) and _CRON.fullmatch(self.schedule)
        if not (cron or self.schedule is None or _positive(self.schedule)):
            raise self._wrong("schedule", 'write five fields of cron ("0 2 * * *"), minutes (30), or null')
        if self.timezone not in available_timezones():
            raise self._wrong("timezone", "write a name such as Europe/Berlin")
        if not isinstance(self.retries, int) or self.retries < 0:
            raise self._wrong("retries", "write a whole number from 0")
        for name in ("retry_minutes", "task_minutes", "run_minutes"):
            if not _positive(getattr(self, name)):
                raise self._wrong(name, "write minutes above 0")
        if self.recalibrate is not None and not (_positive(self.recalibrate) and self.recalibrate < 1):
            raise self._wrong("recalibrate", "write a rate between 0 and 1, or null")
        for name, value in flatten(self.params).items():
            if "," in str(value):
                raise EndlineError(
                    f"{self.station}: {name}={value} of params in {FILE} has a comma, which --params reads as the end "
                    "of a value: set it in the station's parameters instead."
                )

    def _wrong(self, name: str, remedy: str) -> EndlineError:
        return EndlineError(f"{self.station}: {name}={getattr(self, name)!r} in {FILE} cannot be used: {remedy}.")

    @property
    def option(self) -> str | None:
        """`params` as a command's `--params` takes them; None where there are none."""
        items = [f"{name}={_plain(value)}" for name, value in flatten(self.params).items()]
        return ",".join(items) or None


def _positive(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value > 0


def _plain(value: Any) -> str:
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def read_schedules(project: Path, env: str | None = None) -> tuple[list[Schedule], dict[str, list[str]]]:
    """Schedules of the stations, and the tasks of a run: name -> layers of the catalog whose outputs it makes.

    Args:
        project: the project's folder.
        env: overlay of the configuration, which may have a `schedule.yml` of its own.

    Raises:
        EndlineError: for a project without such a file, an unknown key, or a value that is none.
    """
    if not (project / FILE).exists():
        raise EndlineError(f"{project / FILE} is not there: copy it from the repository of endline.")
    content = configuration(project, env, {})["schedule"]
    known = {each.name for each in fields(Schedule)} - {"station"}
    schedules = []
    for station, own in content["stations"].items():
        settings = {**content["defaults"], **(own or {})}
        for name in settings:
            if name not in known:
                raise EndlineError(f"{station}: nothing reads '{name}' of {FILE}: {nearest(name, known)}")
        schedules.append(Schedule(station, **{"env": env, **{k: v for k, v in settings.items() if v is not None}}))
    return schedules, {name: list(layers) for name, layers in content["tasks"].items()}
