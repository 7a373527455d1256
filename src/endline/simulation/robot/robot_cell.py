"""The simulated robot at work: its controller drives the plant (`robot_plant`), which MuJoCo moves.

The controller adds feedback to what its nominal model (`robot_motion`) computes, and knows nothing of a fault.
"""

from dataclasses import dataclass

import mujoco
import numpy as np
from scipy.ndimage import maximum_filter1d

from endline.simulation.robot.robot_faults import Fault
from endline.simulation.robot.robot_motion import ARMATURE, AXES, STEP, TILTS, Array, Plan
from endline.simulation.robot.robot_plant import COULOMB, VISCOUS, Conditions, build

COMPENSATED = 0.7  # share of the usual friction that the controller makes up for beforehand
BANDWIDTH = 50.0  # rad/s, of the position loop
LOADED = ARMATURE + np.array((1.5, 2.5, 0.9, 0.03, 0.015, 0.001))  # kg m²: what the loop is laid out for
STIFFNESS, DAMPING, INTEGRAL = LOADED * BANDWIDTH**2, 1.8 * LOADED * BANDWIDTH, 0.15 * LOADED * BANDWIDTH**3
HELD_AFTER = 0.15  # s before and after an axis moves in which its integral part goes on, too
RESTLESS = np.array((0.2, 0.25, 0.28, 0.15, 0.1, 0.1))  # Nm: noise of the controller at rest, from its encoders
LIVELY = np.array((1.2, 1.5, 1.5, 0.6, 0.5, 0.4))  # Nm s/rad: what speed adds to it
# Ripple of the gears, twice a turn of the wave generator: Nm, share of the torque, motor turns a turn of the axis.
RIPPLE, RIPPLE_SHARE, GEAR = np.array((0.7, 0.5, 0.5, 0.18, 0.15, 0.12)), 0.01, 101


@dataclass(frozen=True)
class Motion:
    """What happened at 500 Hz, all of shape (steps, 6) but `platform`.

    Attributes:
        position, velocity: of the axes at the motor's side of the gear, rad and rad/s.
        commanded: torque that the controller asks for, Nm at the axis.
        expected: the part of it that the controller knows beforehand, with gravity, rotors and usual friction.
        load: torque between gear and link, Nm.
        platform: (steps, 3), tilts about x and y and twist of the platform, rad.

    Example:
        >>> Motion(*[np.zeros((1, 6))] * 5, platform=np.zeros((1, 3))).load.shape
        (1, 6)
    """

    position: Array
    velocity: Array
    commanded: Array
    expected: Array
    load: Array
    platform: Array


def run(plan: Plan, conditions: Conditions, fault: Fault, rng: np.random.Generator) -> Motion:
    """Let the robot carry out `plan` in a plant of `conditions` with `fault`."""
    model, data = build(plan, conditions, fault)
    steps = len(plan.action)
    axes, tilts = slice(TILTS, TILTS + AXES), slice(0, TILTS)
    compensated = COMPENSATED * (COULOMB * np.tanh(plan.velocity / 0.02) + VISCOUS * plan.velocity)
    speed = np.abs(plan.velocity)
    noise = rng.standard_normal((steps, AXES)) * (RESTLESS + LIVELY * np.minimum(speed, 1))
    expected = plan.torque + ARMATURE * plan.acceleration + compensated + noise
    waves = np.sin(2 * GEAR * plan.position + np.arange(AXES)) * np.tanh(speed / 0.02)
    ripple = waves * (RIPPLE + RIPPLE_SHARE * np.abs(plan.torque))
    efficiency = np.cos(fault.commutation)
    grip, release = _vacuum(plan, fault)
    vacuum, can = model.equality("vacuum").id, model.body("can").id

    data.qpos[axes] = plan.position[0]
    # What friction holds after the cycle before, the motor works against.
    integral = conditions.held * conditions.coulomb
    position, velocity, commanded, acceleration, stuck = (np.empty((steps, AXES)) for _ in range(5))
    platform = np.empty((steps, TILTS))
    control, qpos, qvel, qacc, tilted = data.ctrl, data.qpos[axes], data.qvel[axes], data.qacc[axes], data.qpos[tilts]
    # The integral part is held at rest, lest it wind up against friction.
    moving = maximum_filter1d(speed > 1e-3, round(2 * HELD_AFTER / STEP) + 1, axis=0)
    integrate = moving * INTEGRAL * STEP
    for step in range(steps):
        if step == grip:
            _hold(model, data, vacuum, can)
        elif step == release:
            data.eq_active[vacuum] = 0
        error = plan.position[step] - qpos
        integral += integrate[step] * error
        asked = expected[step] + STIFFNESS * error + DAMPING * (plan.velocity[step] - qvel) + integral
        position[step], velocity[step], commanded[step], platform[step] = qpos, qvel, asked, tilted
        control[:] = efficiency * asked + ripple[step]
        mujoco.mj_step(model, data)
        acceleration[step] = qacc
        stuck[step] = data.efc_force[data.ne : data.ne + AXES]  # rows of the axes' friction, after those of the vacuum
    gear = conditions.coulomb / (conditions.coulomb + fault.coulomb)  # a fault's friction lies beyond the sensor
    load = efficiency * commanded + ripple + gear * stuck - conditions.viscous * velocity - ARMATURE * acceleration
    return Motion(position, velocity, commanded, expected, load, platform)


def _vacuum(plan: Plan, fault: Fault) -> tuple[int, int]:
    """Steps at which the can is gripped and comes off; -1 for never."""
    if not fault.gripped:
        return -1, -1
    if fault.lost is None:
        return plan.grip, plan.open
    lift = int(np.argmax(plan.action == 7))
    return plan.grip, round(lift + fault.lost * (plan.open - lift))


def _hold(model: mujoco.MjModel, data: mujoco.MjData, vacuum: int, can: int) -> None:
    """Fix the can to the cup as it stands."""
    cup = model.body("cup").id
    inverse, turn, offset = np.empty(4), np.empty(4), np.empty(3)
    mujoco.mju_negQuat(inverse, data.xquat[cup])
    mujoco.mju_mulQuat(turn, inverse, data.xquat[can])
    mujoco.mju_rotVecQuat(offset, data.xpos[can] - data.xpos[cup], inverse)
    model.eq_data[vacuum, :3] = 0
    model.eq_data[vacuum, 3:6], model.eq_data[vacuum, 6:10] = offset, turn
    data.eq_active[vacuum] = 1
