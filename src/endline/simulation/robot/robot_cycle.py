"""The embedded default data of the station `robot_cycle`: simulated records of a robot that moves cans.

The layout is that of voraus-AD (Rudolph 2024, chapter 7; `endline.robot_signals`): 130 signals of an arm of six
axes that looks for a can on a belt, grips it and puts it down elsewhere. MuJoCo moves the arm; places, friction,
warmth and noise differ from cycle to cycle, and a fault is added to a plant that is otherwise drawn like all
others. Noise and friction have the size that real records of such an arm show; masses and lengths are ours. Each
cycle draws its friction and warmth anew: there is no slow drift over a set, and test cycles are not later ones.

Difficulty was chosen, not found: see the strengths in `robot_faults`, some of which were revised in sight of figures
like these (unstable platforms, commutation, obstacles). With the 120 training and 40 other normal
cycles of the defaults and 20 of each kind, the L1 distance to the nearest training cycle (standardised signals,
padded with zeros) gives a mean AUROC of 0.71: axis_friction 0.82, axis_weight 0.74, collision_foam 0.53,
collision_cable 0.52, collision_carton 0.44, miss_can 0.69, lose_can 0.68, can_weight 0.64, entangled 0.96,
invalid_position 1.00, motor_commutation 0.83, wobbling_station 0.70 (each +- 0.07). What principal components
of 90 % variance leave over gives 0.79. Measured once, by hand, with RECIPE 1.
"""

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from endline.errors import EndlineError
from endline.robot_signals import CATEGORIES, META, SIGNALS, TRAINING_SETTING
from endline.simulation.robot.recording_rate import check_rate
from endline.simulation.robot.robot_faults import VARIANTS, setting
from endline.simulation.simulated_folder import SimulatedFolder, check_least

if TYPE_CHECKING:
    from endline.simulation.robot.recorded_cycle import Cycle

RECIPE = 1  # raise it whenever the same settings would give other cycles
TEST_SETTING = 73  # of normal cycles that test, as published; faults have 0 to 53 (`robot_faults.setting`)
CYCLES_A_GROUP = 20  # of rows in the file, so that it can be written and read in pieces
COLUMNS = {"time": pa.float64(), "anomaly": pa.bool_(), "action": pa.uint8()}
SCHEMA = pa.schema(
    [(name, COLUMNS.get(name, pa.int64())) for name in META] + [(signal, pa.float32()) for signal in SIGNALS]
)
# Noise has no values that come again: a dictionary of them would only add to it.
STORED: dict[str, Any] = {
    "compression": "zstd",
    "use_dictionary": list(META[1:]),
    "use_byte_stream_split": list(SIGNALS),
}


@dataclass(frozen=True)
class RobotSimulation:
    """Settings of a simulated set; that of the thesis has 948, 419 and 755 cycles.

    Attributes:
        normals: normal cycles to train on, at least 0.
        test_normals: normal cycles to test on, at least 0.
        faulty: cycles with a fault, at least 0, dealt evenly to the 12 kinds, whose variants take turns.
        rate: samples a second, 50 to 500, a divisor of 500.
        seed: seed of the whole set, at least 0; a cycle depends on (seed, its kind and use, its number) alone.

    Example:
        >>> RobotSimulation(faulty=24).rate
        100
    """

    normals: int = 120
    test_normals: int = 40
    faulty: int = 72
    rate: int = 100
    seed: int = 0

    def __post_init__(self) -> None:
        check_least(self, normals=0, test_normals=0, faulty=0, seed=0)
        check_rate(self.rate)
        if self.normals + self.test_normals + self.faulty == 0:
            raise EndlineError("The simulation has no cycles; set normals, test_normals or faulty above 0.")


def simulate(folder: Path, settings: RobotSimulation, progress: Callable[[int, int], None] | None = None) -> Path:
    """Write the simulated set to `folder` and return it; a complete set of the same settings is left alone.

    Layout: `voraus_simulated_100hz.parquet` (100 being the rate), with the columns of voraus-AD and a group of rows
    for every 20 cycles, and `simulation.json`. The set is written beside `folder` and moved there when it is
    complete, so that a killed simulation leaves nothing that is ever read. A simulated set of other settings is
    replaced, since its own settings bring it back; a folder with any other file is never touched.

    Args:
        folder: where the set shall lie; its parents are made.
        settings: see `RobotSimulation`.
        progress: called with (cycles written, cycles in all) after each cycle.

    Raises:
        EndlineError: `folder` holds files that no simulation wrote, the disk cannot be written, or MuJoCo is missing.
    """
    cycles = list(_deal(settings))
    name = f"voraus_simulated_{settings.rate}hz.parquet"
    simulated = SimulatedFolder(
        contents="robot cycles",
        note="simulated records of a robot arm that moves cans; no real robot was recorded",
        recipe=RECIPE,
        settings=asdict(settings),
        files=(name,),
        pattern=r"voraus_simulated_\d+hz\.parquet",
        megabytes=int(len(cycles) * 11 * settings.rate * len(SIGNALS) * 4 / 1e6) + 1,
    )

    def write(beside: Path) -> None:
        cycle = _physics()
        pending: list[pa.Table] = []
        with pq.ParquetWriter(beside / name, SCHEMA, **STORED) as writer:
            for sample, (kind, use, number) in enumerate(cycles):
                # Numbered within its kind: more cycles of one kind change none of another.
                place = CATEGORIES.index(kind) + (use == TEST_SETTING)
                made = cycle(kind, np.random.default_rng([settings.seed, place, number]), settings.rate, number)
                pending.append(_table(made, sample, kind, use))
                if len(pending) == CYCLES_A_GROUP or sample == len(cycles) - 1:
                    group = pa.concat_tables(pending)
                    writer.write_table(group, row_group_size=len(group))
                    pending.clear()
                if progress is not None:
                    progress(sample + 1, len(cycles))

    return simulated.fill(folder, write)


def _physics() -> Callable[..., "Cycle"]:
    """What makes a cycle: it needs MuJoCo, an extra that recorded cycles do without."""
    try:
        from endline.simulation.robot.recorded_cycle import cycle
    except ModuleNotFoundError as error:
        if error.name != "mujoco":
            raise
        raise EndlineError(
            "Robot cycles are simulated with MuJoCo, which is not installed: run pip install 'endline[simulation]', or "
            "give recorded cycles (--params=raw=...)."
        ) from error
    return cycle


def _deal(settings: RobotSimulation) -> Iterator[tuple[str, int, int]]:
    """Kind, setting and number within kind and use of every cycle."""
    yield from (("normal", TRAINING_SETTING, number) for number in range(settings.normals))
    yield from (("normal", TEST_SETTING, number) for number in range(settings.test_normals))
    for place, kind in enumerate(VARIANTS):
        for number in range(len(range(place, settings.faulty, len(VARIANTS)))):
            yield kind, setting(kind, number), number


def _table(made: "Cycle", sample: int, kind: str, use: int) -> pa.Table:
    rows = len(made.time)
    meta = {
        "time": made.time,
        "sample": np.full(rows, sample),
        "anomaly": np.full(rows, kind != "normal"),
        "category": np.full(rows, CATEGORIES.index(kind)),
        "setting": np.full(rows, use),
        "action": made.action,
        "active": (made.action % 2).astype(np.int64),
    }
    signals = dict(zip(SIGNALS, made.signals.T, strict=True))
    return pa.table({**meta, **signals}, schema=SCHEMA)
