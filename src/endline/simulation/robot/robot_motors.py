"""The drives of the simulated robot and what its records show of them: currents, voltages, powers, sensors.

Each axis has a synchronous motor behind a strain-wave gear. All of its values are seen through the gear, as in the
published records: a torque constant of 14 Nm/A is 0.14 Nm/A at the motor. With Park's currents in peak values, the
back-EMF in V s/rad is two thirds of the torque constant in Nm/A. Noise and digits are those of such records.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.signal import lfilter, lfilter_zi

from endline.robot_signals import AXES, AXIS_UNITS, SIGNALS
from endline.simulation.robot.robot_cell import Motion
from endline.simulation.robot.robot_faults import Fault
from endline.simulation.robot.robot_motion import STEP, Array, Plan
from endline.simulation.robot.robot_plant import Conditions

TORQUE_CONSTANT = np.array((14.0, 16.0, 12.5, 9.0, 7.5, 9.0))  # Nm/A, cold
RESISTANCE = np.array((1.3, 1.0, 0.9, 2.6, 3.2, 3.2))  # ohm, cold
INDUCTANCE = 0.0012  # H
POLES = 10 * 101  # electrical turns a turn of the axis
DEMAGNETISED, HEATED = 0.02, 0.1  # less torque constant and more resistance of a warm motor
DECOUPLING = 25.0  # V/A: how hard the current controller fights a current that gives no torque
OFFSET_ANGLE = np.radians((0.8, -0.5, 0.6, -0.9, 0.4, 0.7))  # of this robot's commutation
ELASTICITY = np.array((32e3, 34e3, 30e3, 12e3, 10e3, 8e3))  # Nm/rad of gear and torque sensor
RING_HZ, RING_DAMPING = (15.0, 13.0, 17.0, 26.0, 31.0, 38.0), 0.15  # of the link on this spring
ENCODER, MOTOR_ENCODER = 2 * np.pi / 2**20, 2 * np.pi / 2**14 / 101  # rad
# Torque sensors: noise (Nm), its growth with speed, drift from cycle to cycle, offsets of a and b, digits.
SENSOR_NOISE = np.array((0.05, 0.055, 0.052, 0.012, 0.012, 0.011))
SENSOR_SPEED = np.array((0.45, 0.45, 0.4, 0.14, 0.16, 0.1))
SENSOR_DRIFT = np.array((0.07, 0.08, 0.06, 0.03, 0.01, 0.04))
SENSOR_OFFSETS = np.array(((-0.2, 0.3, 0.4, 0.1, -0.03, 0.04), (-0.4, 0.5, -0.3, -0.12, 0.02, -0.05)))
SENSOR_DIGIT = np.array((0.0112, 0.0110, 0.0110, 0.0057, 0.0029, 0.0055))
CURRENT_NOISE, VOLTAGE_NOISE = 0.009, np.array((0.045, 0.06, 0.07, 0.09, 0.12, 0.1))  # A, V
RAIL, RAIL_OHM = 48.6, 0.008  # V of the supply, ohm of its source
CABLE_DROP = np.array((0.9, 1.1, 0.72, 0.77, 0.95, 0.79))  # V between the supply and what each axis reads
CABLE_OHM = 0.035
IDLE_CURRENT, EFFICIENCY = 0.56, 0.92  # A of six drives at rest; of the inverters
CHOPPER = -12.0  # W: what braking axes feed back beyond this is burnt in a resistor
BRAKE = 11.0  # V that hold a released brake open
VOLTAGE_DIGIT, CURRENT_DIGIT = 0.0201, 0.01465  # V, A


def record(motion: Motion, plan: Plan, conditions: Conditions, fault: Fault, rng: np.random.Generator) -> Array:
    """Return what the robot records at 500 Hz, of shape (steps, 130) in the order of `SIGNALS`."""

    def noise(scale: float | Array) -> Array:
        return rng.standard_normal(motion.position.shape) * scale

    warmth = conditions.warmth
    speed = np.abs(motion.velocity)
    constant = TORQUE_CONSTANT * (1 - DEMAGNETISED * warmth)
    emf = constant * 2 / 3
    resistance = RESISTANCE * (1 + HEATED * warmth)

    load = _ring(motion.load)
    wound = load / ELASTICITY
    joint_position = _digits(motion.position - wound + noise(4e-6), ENCODER)
    joint_velocity = motion.velocity - np.gradient(wound, STEP, axis=0) + noise(0.0018 + 0.003 * np.minimum(speed, 1))
    motor_velocity = motion.velocity + noise(4e-5 + 0.002 * np.minimum(speed, 1))

    iq = motion.commanded / constant + noise(CURRENT_NOISE)
    misled = emf * motion.velocity * np.sin(fault.commutation + OFFSET_ANGLE)
    id_ = -misled / DECOUPLING + noise(CURRENT_NOISE + 0.04 * np.minimum(speed, 1))
    turning = POLES * motion.velocity * INDUCTANCE
    vq = resistance * iq + emf * motion.velocity + turning * id_
    vd = resistance * id_ - turning * iq
    power_el = 1.5 * (vq * iq + vd * id_)
    motor_torque = constant * iq

    lively = SENSOR_NOISE + SENSOR_SPEED * np.minimum(speed, 1)
    drift = rng.standard_normal((2, AXES)) * SENSOR_DRIFT
    sensor_a = _digits(load + SENSOR_OFFSETS[0] + drift[0] + noise(lively), SENSOR_DIGIT)
    sensor_b = _digits(1.01 * load + SENSOR_OFFSETS[1] + 1.5 * drift[1] + noise(lively), SENSOR_DIGIT)

    station = _station(power_el.sum(axis=1), plan, rng)
    supply = station["robot_voltage"] - RAIL_OHM * station["robot_current"]
    supply_voltage = supply[:, None] - CABLE_DROP - CABLE_OHM * np.maximum(power_el, 0) / RAIL + noise(0.012)
    dips = np.where(rng.uniform(size=speed.shape) < 0.02, -0.7, 0.0)
    axes = {
        "target_position": plan.position,
        "target_velocity": plan.velocity,
        "target_acceleration": plan.acceleration,
        "target_torque": motion.expected,
        "computed_inertia": plan.inertia,
        "computed_torque": plan.torque,
        "motor_position": _digits(motion.position, MOTOR_ENCODER),
        "motor_velocity": motor_velocity,
        "joint_position": joint_position,
        "joint_velocity": joint_velocity,
        "motor_torque": motor_torque,
        "torque_sensor_a": sensor_a,
        "torque_sensor_b": sensor_b,
        "motor_iq": iq,
        "motor_id": id_,
        "power_motor_el": power_el,
        "power_motor_mech": motor_torque * motor_velocity,
        "power_load_mech": sensor_a * joint_velocity,
        "motor_voltage": vq + noise(VOLTAGE_NOISE),
        "supply_voltage": _digits(supply_voltage, VOLTAGE_DIGIT),
        "brake_voltage": _digits(BRAKE + dips + noise(0.15), VOLTAGE_DIGIT),
    }
    per_axis = {f"{name}_{axis + 1}": axes[name][:, axis] for name in AXIS_UNITS for axis in range(AXES)}
    return np.column_stack([(station | per_axis)[signal] for signal in SIGNALS])


def _station(power: Array, plan: Plan, rng: np.random.Generator) -> dict[str, Array]:
    """Voltage and currents of the whole robot, each of shape (steps,), while its drives take `power` watts."""

    def noise(scale: float) -> Array:
        return rng.standard_normal(len(power)) * scale

    steps = np.arange(len(power))
    sucking = (steps >= plan.grip) & (steps < plan.open)  # the valve's coil
    current = np.maximum(power, CHOPPER) / EFFICIENCY / RAIL + IDLE_CURRENT + rng.normal(0, 0.02)
    voltage = RAIL + rng.normal(0, 0.01) - RAIL_OHM * current
    return {
        "robot_voltage": _digits(voltage + noise(0.009), VOLTAGE_DIGIT),
        "robot_current": _digits(current + noise(0.18), CURRENT_DIGIT),
        "io_current": _digits(0.088 + 0.03 * sucking + noise(0.007), CURRENT_DIGIT),
        "system_current": _digits(0.275 + rng.normal(0, 0.004) + noise(0.075), CURRENT_DIGIT),
    }


def _ring(load: Array) -> Array:
    """Let each link swing on the spring of its gear: (steps, 6) of torque at rest becomes that of the spring."""
    swung = np.empty_like(load)
    for axis, hertz in enumerate(RING_HZ):
        angular = 2 * np.tan(np.pi * hertz * STEP)  # bilinear, exact at the resonance
        poles = np.array((4 + 4 * RING_DAMPING * angular + angular**2, 2 * angular**2 - 8, 0))
        poles[2] = 8 + 2 * angular**2 - poles[0]
        zeros = np.array((1, 2, 1)) * angular**2
        zeros, poles = zeros / poles[0], poles / poles[0]
        swung[:, axis], _ = lfilter(zeros, poles, load[:, axis], zi=lfilter_zi(zeros, poles) * load[0, axis])
    return swung


def _digits(values: Array, digit: float | Array) -> NDArray[np.float64]:
    return np.asarray(np.round(values / digit) * digit)
