"""The layout of voraus-AD: columns, signal groups, categories (Rudolph 2024, tables 7.1 to 7.3).

Real files and simulated ones have it; the station `robot_cycle` reads it beside plain folders of cycles.
"""

META = ("time", "sample", "anomaly", "category", "setting", "action", "active")
AXES = 6
ROBOT = ("robot_voltage", "robot_current", "io_current", "system_current")
# The signals of one axis, in the order of the published files, with their units.
AXIS_UNITS = {
    "target_position": "rad",
    "target_velocity": "rad/s",
    "target_acceleration": "rad/s²",
    "target_torque": "Nm",
    "computed_inertia": "kg m²",
    "computed_torque": "Nm",
    "motor_position": "rad",
    "motor_velocity": "rad/s",
    "joint_position": "rad",
    "joint_velocity": "rad/s",
    "motor_torque": "Nm",
    "torque_sensor_a": "Nm",
    "torque_sensor_b": "Nm",
    "motor_iq": "A",
    "motor_id": "A",
    "power_motor_el": "W",
    "power_motor_mech": "W",
    "power_load_mech": "W",
    "motor_voltage": "V",
    "supply_voltage": "V",
    "brake_voltage": "V",
}
ROBOT_UNITS = {"robot_voltage": "V", "robot_current": "A", "io_current": "A", "system_current": "A"}
UNITS = {**ROBOT_UNITS, **{f"{name}_{axis}": unit for axis in range(1, AXES + 1) for name, unit in AXIS_UNITS.items()}}
SIGNALS = tuple(UNITS)  # the 130 machine signals, in the order of the published files

_ELECTRICAL = {"motor_iq", "motor_id", "power_motor_el", "motor_voltage", "supply_voltage", "brake_voltage", *ROBOT}
_MEASURED = {
    "motor_position", "motor_velocity", "joint_position", "joint_velocity", "torque_sensor_a", "torque_sensor_b",
    "motor_voltage", "supply_voltage", "brake_voltage", *ROBOT,
}  # fmt: skip


def stem(signal: str) -> str:
    """Name of a signal without its axis: `motor_iq` of `motor_iq_3`."""
    name, _, axis = signal.rpartition("_")
    return name if axis.isdecimal() and name in AXIS_UNITS else signal


def axis_of(signal: str) -> int | None:
    """Axis (1 to 6) that a signal belongs to; None for one of the whole robot, or of another machine."""
    return int(signal.rpartition("_")[2]) if stem(signal) != signal else None


# Group -> its signals, as published: targets and estimations together are computed.
GROUPS: dict[str, tuple[str, ...]] = {
    "all": SIGNALS,
    "mechanical": tuple(signal for signal in SIGNALS if stem(signal) not in _ELECTRICAL),
    "electrical": tuple(signal for signal in SIGNALS if stem(signal) in _ELECTRICAL),
    "measured": tuple(signal for signal in SIGNALS if stem(signal) in _MEASURED),
    "computed": tuple(signal for signal in SIGNALS if stem(signal) not in _MEASURED),
}

# Number in the column `category` -> kind; 12 is normal operation.
CATEGORIES = (
    "axis_friction",
    "axis_weight",
    "collision_foam",
    "collision_cable",
    "collision_carton",
    "miss_can",
    "lose_can",
    "can_weight",
    "entangled",
    "invalid_position",
    "motor_commutation",
    "wobbling_station",
    "normal",
)
TRAINING_SETTING = 72  # `setting` of the 948 cycles that train
# Number in the column `action` -> what the robot does; it pauses between two movements.
ACTIONS = (
    "pause", "move to scan", "pause", "move over can", "pause", "move down to can", "pause", "lift can",
    "pause", "move to place", "pause", "set can down", "pause", "move up", "pause",
)  # fmt: skip
