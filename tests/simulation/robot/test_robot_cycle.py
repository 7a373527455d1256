"""The simulated robot: that its records obey mechanics, what each fault does, how a set is drawn and stored."""

import json
import sys
from functools import cache
from pathlib import Path

import mujoco
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray

from endline.errors import EndlineError
from endline.robot_signals import AXES, CATEGORIES, META, SIGNALS, TRAINING_SETTING
from endline.simulation.robot.recorded_cycle import Cycle, cycle
from endline.simulation.robot.robot_cell import Motion, run
from endline.simulation.robot.robot_cycle import RobotSimulation, simulate
from endline.simulation.robot.robot_faults import AXIS_WEIGHTS, CAN_WEIGHTS, PLATFORM_HZ, VARIANTS, Fault, setting
from endline.simulation.robot.robot_motion import (
    FRONT,
    HOME,
    LINE_HEIGHT,
    MAX_ACCELERATION,
    MAX_SPEED,
    PAUSES,
    PLACE,
    STEP,
    Job,
    Plan,
    nominal_arm,
    plan,
)
from endline.simulation.robot.robot_plant import COULOMB, VISCOUS, Conditions, build

TINY = RobotSimulation(normals=6, test_normals=2, faulty=14, rate=50)
FILE = "voraus_simulated_50hz.parquet"
TARGETS = [i for i, signal in enumerate(SIGNALS) if signal.startswith(("target", "computed"))]
IN_PLACE = [kind for kind in VARIANTS if kind != "invalid_position"]  # faults that leave the task as it is


@cache
def made(kind: str, variant: int = 0, number: int = 0, rate: int = 100) -> Cycle:
    return cycle(kind, np.random.default_rng([0, number]), rate, variant)


def signal(record: Cycle, name: str) -> NDArray[np.float64]:
    return record.signals[:, SIGNALS.index(name)].astype(np.float64)


def axes(record: Cycle, name: str) -> NDArray[np.float64]:
    return np.stack([signal(record, f"{name}_{axis}") for axis in range(1, AXES + 1)], axis=1)


@pytest.fixture(scope="module")
def normal() -> Cycle:
    return made("normal")


@pytest.fixture(scope="module")
def planned() -> Plan:
    return plan(Job((0.55, -0.3), 0.2, -0.001, PAUSES))


def conditions() -> Conditions:
    return Conditions(1.0, COULOMB, VISCOUS, np.zeros(AXES), 0.241, (0.55, -0.3))


def moved(planned: Plan, fault: Fault) -> Motion:
    return run(planned, conditions(), fault, np.random.default_rng(5))


@pytest.fixture(scope="module")
def usual(planned: Plan) -> Motion:
    return moved(planned, Fault())


# The plan and its nominal model.


def test_plan_goes_through_all_actions_in_order_and_stands_still_in_the_even_ones(planned: Plan) -> None:
    assert np.all(np.diff(planned.action.astype(int)) >= 0)
    assert set(planned.action) == set(range(15))
    resting = planned.action % 2 == 0
    assert np.all(planned.velocity[resting] == 0)
    assert np.mean(np.abs(planned.velocity[~resting]).max(axis=1) > 0) > 0.95
    assert 8 < len(planned.action) * STEP < 12


def test_plan_is_smooth_and_keeps_its_limits(planned: Plan) -> None:
    np.testing.assert_allclose(np.gradient(planned.position, STEP, axis=0), planned.velocity, atol=0.01)
    np.testing.assert_allclose(np.gradient(planned.velocity, STEP, axis=0), planned.acceleration, atol=0.1)
    fast = np.isin(planned.action, (1, 3, 9))
    assert np.abs(planned.velocity[fast]).max() <= MAX_SPEED * 1.001
    assert np.abs(planned.acceleration[fast]).max() <= MAX_ACCELERATION * 1.001
    assert np.abs(np.diff(planned.acceleration, axis=0)).max() < MAX_ACCELERATION / 19  # no jump


def test_tool_goes_straight_down_to_the_can_and_up_again(planned: Plan) -> None:
    for action, top in ((5, 0.0), (7, 0.0), (11, 0.0), (13, 0.0)):
        x, y = (0.55, -0.3) if action < 9 else PLACE[:2]
        tool = np.stack([nominal_arm().tool(position) for position in planned.position[planned.action == action]])
        np.testing.assert_allclose(tool[:, :2], np.tile((x, y), (len(tool), 1)), atol=1e-5)
        assert np.ptp(tool[:, 2]) == pytest.approx(LINE_HEIGHT, abs=1e-4)
        assert tool[:, 2].min() == pytest.approx(PLACE[2] - 0.001 + top, abs=1e-5)


def test_every_place_of_the_belt_is_within_reach() -> None:
    arm = nominal_arm()
    seed = arm.reach(HOME, FRONT, np.array((0.0, -0.3, 1.9, 0.0, -np.pi / 2, 0.0)))
    for x in (0.49, 0.55, 0.61):
        for y in (-0.48, -0.3, -0.12):
            for turn in (-0.3, 0.3):
                place = (x, y, 0.164)
                np.testing.assert_allclose(arm.tool(arm.reach(place, FRONT + turn, seed)), place, atol=1e-8)


def test_nominal_torque_counts_with_the_can_while_it_is_carried(planned: Plan) -> None:
    opening = planned.open
    lighter = planned.torque[opening, 1] - planned.torque[opening - 1, 1]  # nothing moves at this moment
    assert lighter == pytest.approx(0.241 * 9.81 * np.hypot(*PLACE[:2]), rel=0.03)
    assert planned.inertia[opening - 1, 0] - planned.inertia[opening, 0] == pytest.approx(0.241 * 0.392, rel=0.03)


# The plant.


def test_torque_between_gear_and_link_is_that_of_the_nominal_model_while_all_is_in_order(
    planned: Plan, usual: Motion
) -> None:
    difference = usual.load - planned.torque
    before = planned.action < 5  # before the can is met
    assert np.abs(difference[before]).mean(axis=0).max() < 0.6
    resting = slice(50, 250)
    np.testing.assert_allclose(usual.load[resting].mean(axis=0), planned.torque[resting].mean(axis=0), atol=0.02)
    carrying = (planned.action == 9) | (planned.action == 8)
    assert abs(difference[carrying, 1].mean()) < 0.3  # the can is what the controller believes


def test_axes_follow_their_targets(planned: Plan, usual: Motion) -> None:
    assert np.abs(usual.position - planned.position).max() < 0.012
    assert np.abs(usual.position - planned.position)[planned.action == 6].max() < 0.003


def test_motors_carry_load_friction_and_rotors(planned: Plan, usual: Motion) -> None:
    fast = np.abs(planned.velocity[:, 0]) > 0.5
    friction = (usual.commanded - usual.load - 1.0 * planned.acceleration)[fast, 0] * np.sign(planned.velocity[fast, 0])
    expected = COULOMB[0] + VISCOUS[0] * np.abs(planned.velocity[fast, 0])
    assert np.mean(friction - expected) == pytest.approx(0, abs=0.8)


def test_can_stands_on_the_belt_and_weighs_on_the_arm_while_it_is_carried(planned: Plan, usual: Motion) -> None:
    model, data = build(planned, conditions(), Fault())
    for _ in range(200):
        mujoco.mj_step(model, data)
    np.testing.assert_allclose(data.body("can").xpos, (0.55, -0.3, 0.1075), atol=1e-3)
    missed = moved(planned, Fault(gripped=False)).load - usual.load
    np.testing.assert_array_equal(missed[: planned.grip], 0)
    weight = 0.241 * 9.81 * np.hypot(0.55, 0.3)  # at the shoulder, whose axis lies across the arm
    assert missed[planned.action == 8, 1].mean() == pytest.approx(weight, rel=0.1)
    assert np.abs(missed[planned.action == 14].mean(axis=0)).max() < 0.5  # both have nothing in the end


# What each fault does, and what it leaves alone.


@pytest.mark.parametrize("kind", IN_PLACE)
def test_a_fault_leaves_targets_and_nominal_model_as_they_are(kind: str, normal: Cycle) -> None:
    faulty = made(kind)
    np.testing.assert_array_equal(faulty.action, normal.action)
    np.testing.assert_array_equal(faulty.time, normal.time)
    np.testing.assert_array_equal(faulty.signals[:, TARGETS], normal.signals[:, TARGETS])
    assert not np.array_equal(faulty.signals, normal.signals)


@pytest.mark.parametrize("kind", ["miss_can", "lose_can", "can_weight"])
def test_faults_of_the_gripper_begin_with_the_can(kind: str, normal: Cycle) -> None:
    faulty = made(kind)
    change = np.abs(axes(faulty, "torque_sensor_a") - axes(normal, "torque_sensor_a"))
    # Another can weighs on the platform, too: a little is seen before it is lifted.
    assert change[normal.action < 6].max() <= (0.2 if kind == "can_weight" else 1e-6)
    assert change[normal.action > 7].max() > 0.5


def test_heavier_can_takes_more_torque_of_axis_2(planned: Plan) -> None:
    carrying = np.isin(planned.action, (8, 10))
    carried = {mass: -moved(planned, Fault(can_mass=mass)).load[carrying, 1].mean() for mass in CAN_WEIGHTS}
    masses = sorted(carried)
    torque = np.array([carried[mass] for mass in masses])
    assert np.all(np.diff(torque) > 0)
    slope = np.polyfit(masses, torque, 1)[0]
    assert slope == pytest.approx(9.81 * 0.626, rel=0.05)


def test_lost_can_is_carried_no_longer(planned: Plan, usual: Motion) -> None:
    lost = moved(planned, Fault(lost=0.5)).load
    missed = moved(planned, Fault(gripped=False)).load
    lift = int(np.argmax(planned.action == 7))
    moment = round(lift + 0.5 * (planned.open - lift))
    np.testing.assert_array_equal(lost[: moment - 1], usual.load[: moment - 1])
    after = planned.action == 10
    assert lost[after, 1].mean() == pytest.approx(missed[after, 1].mean(), abs=0.4)
    assert lost[after, 1].mean() - usual.load[after, 1].mean() > 0.8


@pytest.mark.parametrize("axis", range(AXES))
def test_friction_beyond_the_sensor_brakes_its_axis_alone(axis: int, planned: Plan, usual: Motion) -> None:
    faulty = moved(planned, Fault(coulomb=2.0 * np.eye(AXES)[axis]))
    turning = np.abs(planned.velocity[:, axis]) > 0.1
    extra = (faulty.load - usual.load)[turning] * np.sign(planned.velocity[turning, axis])[:, None]
    assert extra[:, axis].mean() == pytest.approx(2.0, abs=0.35)
    assert np.abs(np.delete(extra.mean(axis=0), axis)).max() < 0.3


def test_strapped_weight_pulls_at_all_axes_before_it(planned: Plan, usual: Motion) -> None:
    for axis, heavy in ((2, AXIS_WEIGHTS[2]), (5, AXIS_WEIGHTS[0])):
        faulty = moved(planned, Fault(weights=heavy * np.eye(AXES)[axis]))
        extra = (usual.load - faulty.load)[planned.action == 2].mean(axis=0)
        assert 0.15 * heavy * 9.81 < extra[1] < 0.6 * heavy * 9.81
        assert abs(extra[0]) < 0.02  # a vertical axis carries no weight
    light = moved(planned, Fault(weights=AXIS_WEIGHTS[0] * np.eye(AXES)[2]))
    heavy_one = moved(planned, Fault(weights=AXIS_WEIGHTS[2] * np.eye(AXES)[2]))
    rest = planned.action == 2
    ratio = (usual.load - heavy_one.load)[rest, 1].mean() / (usual.load - light.load)[rest, 1].mean()
    assert ratio == pytest.approx(AXIS_WEIGHTS[2] / AXIS_WEIGHTS[0], rel=0.05)


@pytest.mark.parametrize("kind", ["collision_foam", "collision_cable", "collision_carton"])
def test_collisions_are_short_or_light_and_begin_with_a_movement(kind: str) -> None:
    for variant in range(3):
        usual_one, hit = made("normal", number=variant), made(kind, variant, variant)
        change = np.abs(axes(hit, "torque_sensor_a") - axes(usual_one, "torque_sensor_a")).max(axis=1)
        assert 0.05 < change.max() < 60
        assert change[usual_one.action == 0].max() < 0.02
        first = int(np.argmax(change > 0.2)) if change.max() > 0.2 else int(change.argmax())
        assert usual_one.action[first] >= 1
        assert np.median(change) < 0.1


def test_commutation_takes_more_current_and_shows_in_the_current_that_gives_no_torque(normal: Cycle) -> None:
    faulty = made("motor_commutation", variant=0)
    turning = np.abs(axes(normal, "target_velocity")[:, 0]) > 0.5
    more = np.abs(signal(faulty, "motor_iq_1"))[turning].mean() / np.abs(signal(normal, "motor_iq_1"))[turning].mean()
    assert 1.02 < more < 1.2
    assert (
        np.abs(signal(faulty, "motor_id_1"))[turning].mean() > 2 * np.abs(signal(normal, "motor_id_1"))[turning].mean()
    )
    same = np.abs(signal(faulty, "torque_sensor_a_1") - signal(normal, "torque_sensor_a_1"))[turning]
    assert same.mean() < 0.6  # the arm itself moves as before
    lossy = signal(faulty, "power_motor_el_1")[turning].sum()
    assert lossy > signal(normal, "power_motor_el_1")[turning].sum()


def test_softer_platform_moves_more(planned: Plan, usual: Motion) -> None:
    spans = [np.ptp(moved(planned, Fault(platform_hz=hertz)).platform, axis=0).max() for hertz in PLATFORM_HZ]
    assert 2e-5 < np.ptp(usual.platform, axis=0).max() < 5e-4
    assert np.ptp(usual.platform, axis=0).max() * 3 < spans[0] < spans[1] < spans[2] < 0.03


def test_platform_is_at_rest_in_the_beginning(planned: Plan) -> None:
    for fault in (Fault(), Fault(platform_hz=PLATFORM_HZ[2])):
        assert np.abs(moved(planned, fault).platform[:200]).max() < 2e-4


def test_strapped_cable_pulls_where_the_arm_is_stretched(planned: Plan, usual: Motion) -> None:
    faulty = moved(planned, Fault(cable=40.0))
    change = np.abs(faulty.load - usual.load)
    assert change[:, 1].mean() > 0.3  # its weight
    assert np.ptp(change[planned.action % 2 == 0, 1]) > 0.1  # and its pull, which depends on the posture


def test_invalid_position_is_beyond_the_usual_ones_and_late() -> None:
    def grips(kind: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        ys, detections = [], []
        for number in range(5):
            record = made(kind, number=number)
            resting = axes(record, "target_position")[record.action == 6][0]
            ys.append(nominal_arm().tool(resting)[1])
            detections.append(np.mean(record.action == 2) * record.time[-1])
        return np.array(ys), np.array(detections)

    usual_y, usual_wait = grips("normal")
    odd_y, odd_wait = grips("invalid_position")
    assert np.abs(usual_y + 0.3).max() < 0.1
    assert np.abs(odd_y + 0.3).min() > 0.1
    assert odd_wait.min() > usual_wait.max()


# The records.


def test_record_is_finite_and_every_signal_moves(normal: Cycle) -> None:
    assert normal.signals.shape == (len(normal.time), len(SIGNALS))
    assert normal.signals.dtype == np.float32
    assert np.isfinite(normal.signals).all()
    assert normal.signals.std(axis=0).min() > 0
    assert np.all(np.diff(normal.time) > 0)
    assert normal.time[0] == 0
    np.testing.assert_allclose(np.diff(normal.time), 0.01, atol=5e-5)


def test_torque_current_and_motor_torque_go_together(normal: Cycle) -> None:
    constants = (14.0, 16.0, 12.5, 9.0, 7.5, 9.0)  # Nm/A at the axis, cold
    for axis, constant in enumerate(constants, start=1):
        slope = np.polyfit(signal(normal, f"motor_iq_{axis}"), signal(normal, f"motor_torque_{axis}"), 1)[0]
        assert 0.975 * constant < slope <= constant


def test_electrical_power_is_mechanical_power_and_heat(normal: Cycle) -> None:
    electrical, mechanical = axes(normal, "power_motor_el"), axes(normal, "power_motor_mech")
    currents = axes(normal, "motor_iq") ** 2 + axes(normal, "motor_id") ** 2
    heat = (electrical - mechanical).mean(axis=0)
    ohm = heat / (1.5 * currents.mean(axis=0))
    np.testing.assert_allclose(ohm, (1.37, 1.06, 0.95, 2.7, 3.4, 3.4), rtol=0.12)
    useful = axes(normal, "power_load_mech").sum(axis=0)
    assert np.all(mechanical.sum(axis=0) > useful)  # friction


def test_supply_gives_the_power_of_the_motors_and_sags(normal: Cycle) -> None:
    power = axes(normal, "power_motor_el").sum(axis=1)
    current, voltage = signal(normal, "robot_current"), signal(normal, "robot_voltage")
    assert np.polyfit(power, current, 1)[0] == pytest.approx(1 / 48.6 / 0.92, rel=0.15)
    assert np.corrcoef(power, voltage)[0, 1] < -0.4
    assert 48.3 < voltage.min() < voltage.max() < 48.8
    assert np.corrcoef(axes(normal, "power_motor_el")[:, 0], signal(normal, "supply_voltage_1"))[0, 1] < -0.5


def test_valve_of_the_vacuum_takes_current_while_the_can_is_held(normal: Cycle) -> None:
    held, free = normal.action == 9, normal.action < 6
    current = signal(normal, "io_current")
    assert current[held].mean() - current[free].mean() == pytest.approx(0.03, abs=0.004)


def test_gear_is_wound_up_by_its_load(normal: Cycle) -> None:
    wound = axes(normal, "motor_position") - axes(normal, "joint_position")
    load = axes(normal, "torque_sensor_a")
    resting = normal.action == 2
    assert wound[resting, 1].mean() == pytest.approx(load[resting, 1].mean() / 34e3, rel=0.1)


def test_both_torque_sensors_show_the_same_with_their_own_noise(normal: Cycle) -> None:
    for axis in (1, 2, 3, 4):
        a, b = signal(normal, f"torque_sensor_a_{axis}"), signal(normal, f"torque_sensor_b_{axis}")
        assert np.corrcoef(a, b)[0, 1] > 0.9
        assert 0.001 < np.std(a - b) < 0.6


def test_a_slower_record_is_the_faster_one_without_what_it_cannot_show() -> None:
    full, slow = made("normal", rate=500), made("normal", rate=100)
    assert len(slow.time) == -(-len(full.time) // 5)
    np.testing.assert_array_equal(slow.action, full.action[::5])
    for name in ("target_position_1", "joint_position_3", "computed_torque_2"):
        every_fifth = signal(full, name)[::5]
        assert np.abs(signal(slow, name) - every_fifth).max() < 0.05 * np.ptp(every_fifth)
    quieter = signal(slow, "system_current").std() / signal(full, "system_current").std()
    assert 0.35 < quieter < 0.55  # white noise keeps a fifth of its power


def test_cycles_differ_in_place_length_and_warmth() -> None:
    records = [made("normal", number=number) for number in range(6)]
    assert len({len(record.time) for record in records}) > 3
    assert all(8 < record.time[-1] < 12 for record in records)
    sensed = np.array([axes(record, "torque_sensor_a")[record.action == 4].mean(axis=0)[1] for record in records])
    assert sensed.std() > 1
    warmed = [signal(record, "motor_torque_1")[record.action == 1].min() for record in records]
    assert 0.01 < np.std(warmed) / abs(np.mean(warmed)) < 0.1


# Drawing and storing a set.


@pytest.mark.parametrize("kind", ["normal", "collision_cable", "lose_can"])
def test_a_cycle_comes_back_bit_for_bit_from_its_seed_and_number_alone(kind: str) -> None:
    first, again = (cycle(kind, np.random.default_rng([0, 0])) for _ in range(2))
    np.testing.assert_array_equal(first.signals, again.signals)
    np.testing.assert_array_equal(first.signals, made(kind).signals)  # whatever was made before
    np.testing.assert_array_equal(first.time, again.time)
    other = made(kind, number=1)
    assert other.signals.shape != first.signals.shape or not np.array_equal(other.signals, first.signals)


def test_kinds_and_their_variants_are_those_of_the_data_set() -> None:
    assert tuple(VARIANTS) == CATEGORIES[:-1]
    counts = [len(draws) for draws in VARIANTS.values()]
    assert counts == [12, 18, 2, 2, 1, 1, 1, 6, 1, 1, 6, 3]
    settings = [setting(kind, variant) for kind, draws in VARIANTS.items() for variant in range(len(draws))]
    assert settings == list(range(54))
    assert max(settings) < TRAINING_SETTING
    assert setting("axis_weight", 20) == setting("axis_weight", 2)


def test_variants_take_turns_in_axis_and_level() -> None:
    weights = [draw(np.random.default_rng(0)).weights for draw in VARIANTS["axis_weight"]]
    assert {(int(weight.argmax()), float(weight.max())) for weight in weights} == {
        (axis, level) for axis in range(AXES) for level in AXIS_WEIGHTS
    }
    assert [int(weight.argmax()) for weight in weights[:7]] == [0, 1, 2, 3, 4, 5, 0]
    assert len({float(weight.max()) for weight in weights[:6]}) == 3


def test_file_has_the_columns_and_types_of_voraus_ad(tmp_path: Path) -> None:
    schema = pq.read_schema(simulate(tmp_path / "raw", RobotSimulation(1, 0, 0, 50)) / "voraus_simulated_50hz.parquet")
    assert tuple(schema.names) == META + SIGNALS
    types = dict(zip(schema.names, schema.types, strict=True))
    assert types["time"] == pa.float64()
    assert types["anomaly"] == pa.bool_()
    assert types["action"] == pa.uint8()
    assert {types[name] for name in ("sample", "category", "setting", "active")} == {pa.int64()}
    assert {types[name] for name in SIGNALS} == {pa.float32()}


SEEN: list[tuple[int, int]] = []


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return simulate(tmp_path_factory.mktemp("deep") / "raw", TINY, lambda done, total: SEEN.append((done, total)))


def test_set_has_the_cycles_that_were_asked_for(folder: Path) -> None:
    table = pd.read_parquet(folder / FILE, columns=list(META))
    first = table.groupby("sample").first()
    assert first.index.tolist() == list(range(22))
    assert first["setting"].tolist()[:8] == [72] * 6 + [73] * 2
    assert first["category"].tolist() == [12] * 8 + [0, 0, 1, 1, *range(2, 12)]
    assert first["setting"].tolist()[8:] == [0, 1, 12, 13, *(setting(kind, 0) for kind in list(VARIANTS)[2:])]
    assert first["anomaly"].tolist() == [False] * 8 + [True] * 14
    assert table.groupby("sample")[["category", "setting", "anomaly"]].nunique().to_numpy().max() == 1
    np.testing.assert_array_equal(table["active"], table["action"] % 2)
    assert table.groupby("sample")["action"].nunique().eq(15).all()


def test_stored_cycles_are_the_made_ones(folder: Path) -> None:
    table = pd.read_parquet(folder / FILE)
    for sample, kind, place, number in ((1, "normal", 12, 1), (7, "normal", 13, 1), (11, "axis_weight", 1, 1)):
        expected = cycle(kind, np.random.default_rng([0, place, number]), 50, number)
        stored = table[table["sample"] == sample]
        np.testing.assert_array_equal(stored[list(SIGNALS)].to_numpy(), expected.signals)
        np.testing.assert_array_equal(stored["time"], expected.time)


def test_set_is_marked_as_simulated_and_a_complete_one_is_left_alone(folder: Path) -> None:
    described = json.loads((folder / "simulation.json").read_text())
    assert described["simulated"] is True
    assert described["note"] == "simulated records of a robot arm that moves cans; no real robot was recorded"
    assert described["settings"] == {"normals": 6, "test_normals": 2, "faulty": 14, "rate": 50, "seed": 0}
    assert {path.name for path in folder.iterdir()} == {FILE, "simulation.json"}
    before = (folder / FILE).stat().st_mtime_ns
    seen: list[tuple[int, int]] = []
    assert simulate(folder, TINY, lambda done, total: seen.append((done, total))) == folder
    assert seen == []
    assert (folder / FILE).stat().st_mtime_ns == before


def test_groups_of_rows_hold_20_cycles_at_most_and_progress_counts_them(folder: Path) -> None:
    assert [(i, 22) for i in range(1, 23)] == SEEN
    file = pq.ParquetFile(folder / FILE)
    assert file.num_row_groups == 2
    samples = [set(file.read_row_group(i, columns=["sample"])["sample"].to_pylist()) for i in range(2)]
    assert samples == [set(range(20)), {20, 21}]


def test_a_cycle_is_the_same_in_a_set_of_another_size_and_another_with_another_seed(
    tmp_path: Path, folder: Path
) -> None:
    small = pd.read_parquet(folder / FILE)
    simulate(tmp_path / "large", RobotSimulation(2, 3, 0, 50))
    large = pd.read_parquet(tmp_path / "large" / FILE)
    for old, new in ((0, 0), (1, 1), (6, 2), (7, 3)):
        pd.testing.assert_frame_equal(
            small[small["sample"] == old].drop(columns="sample").reset_index(drop=True),
            large[large["sample"] == new].drop(columns="sample").reset_index(drop=True),
        )
    simulate(tmp_path / "other", RobotSimulation(1, 0, 0, 50, seed=1))
    other = pd.read_parquet(tmp_path / "other" / FILE)
    assert not np.array_equal(other["joint_position_2"], small[small["sample"] == 0]["joint_position_2"])


def test_other_settings_replace_a_simulated_set_and_foreign_files_are_never_touched(tmp_path: Path) -> None:
    simulate(tmp_path / "raw", RobotSimulation(1, 0, 0, 50))
    simulate(tmp_path / "raw", RobotSimulation(1, 0, 0, 125))
    assert {path.name for path in (tmp_path / "raw").iterdir()} == {"voraus_simulated_125hz.parquet", "simulation.json"}
    (tmp_path / "raw" / "mine.parquet").write_text("mine")
    with pytest.raises(EndlineError, match=r"holds mine\.parquet, which no simulation wrote, and is left as it is"):
        simulate(tmp_path / "raw", TINY)
    assert (tmp_path / "raw" / "mine.parquet").read_text() == "mine"


def test_killed_simulation_leaves_no_folder(tmp_path: Path) -> None:
    def kill(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        simulate(tmp_path / "raw", TINY, kill)
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_a_sentence_with_a_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*arguments: object, **options: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pq.ParquetWriter, "write_table", full)
    with pytest.raises(EndlineError) as caught:
        simulate(tmp_path / "raw", RobotSimulation(1, 0, 0, 50))
    assert str(caught.value) == (
        f"The simulated robot cycles cannot be written to {tmp_path / 'raw'} ([Errno 28] No space left on device); "
        "make the folder writable and free 1 MB, or give another folder."
    )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"normals": -1}, "The simulation's normals is -1; give at least 0."),
        ({"test_normals": -2}, "The simulation's test_normals is -2; give at least 0."),
        ({"faulty": float("nan")}, "The simulation's faulty is nan; give at least 0."),
        ({"seed": -1}, "The simulation's seed is -1; give at least 0."),
        ({"rate": 60}, "The simulation's rate is 60; give 50, 100, 125, 250 or 500 samples a second."),
        ({"rate": 25}, "The simulation's rate is 25; give 50, 100, 125, 250 or 500 samples a second."),
        ({"rate": 1000}, "The simulation's rate is 1000; give 50, 100, 125, 250 or 500 samples a second."),
        (
            {"normals": 0, "test_normals": 0, "faulty": 0},
            "The simulation has no cycles; set normals, test_normals or faulty above 0.",
        ),
    ],
)
def test_settings_that_cannot_be_are_refused_with_a_remedy(settings: dict[str, int], sentence: str) -> None:
    with pytest.raises(EndlineError) as caught:
        RobotSimulation(**settings)
    assert str(caught.value) == sentence


def test_unknown_fault_is_refused() -> None:
    with pytest.raises(EndlineError, match=r"knows no fault 'rust'; choose axis_friction, .*, normal\."):
        made("rust")


def test_a_missing_mujoco_is_a_sentence_that_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("recorded_cycle", "robot_cell", "robot_plant", "robot_motion", "robot_motors"):
        monkeypatch.delitem(sys.modules, f"endline.simulation.robot.{module}")
    monkeypatch.setitem(sys.modules, "mujoco", None)  # as if it were not installed
    with pytest.raises(EndlineError, match=r"MuJoCo, which is not installed: run pip install 'endline\[simulation\]'"):
        simulate(tmp_path / "set", RobotSimulation(normals=1, test_normals=0, faulty=0))
    assert not (tmp_path / "set").exists()
