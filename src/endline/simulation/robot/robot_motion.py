"""What the controller of the simulated robot commands: the plan of a cycle and the torque of its nominal model.

A cycle goes as in Rudolph 2024, table 7.1: from one pause to the next all axes start and stop together, with
trapezoids of velocity rounded to a limited jerk; down to the can and up again the tool moves along a straight line.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import mujoco
import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline

Array = NDArray[np.float64]

STEP = 0.002  # s, of the controller, the simulation and the records: 500 Hz, as published
AXES = 6
TILTS = 3  # joints of the platform, before those of the arm
CAN_HEIGHT, CAN_MASS = 0.115, 0.241  # m, kg (Rudolph 2024, section 7.5.1)
ARMATURE = np.array((1.0, 1.0, 0.7, 0.15, 0.12, 0.1))  # kg m²: the rotors' inertia, seen through the gears
ARM_FILE = Path(__file__).with_name("robot_arm.xml")

MAX_SPEED, MAX_ACCELERATION, JERK_TIME = 1.9, 3.6, 0.08  # rad/s, rad/s², s until the acceleration is full
LINE_SPEED, LINE_ACCELERATION, LINE_HEIGHT = 0.3, 1.2, 0.12  # m/s, m/s², m above the can
HOME, SCAN = (0.45, 0.15, 0.36), (0.46, -0.22, 0.42)  # m: places of the tool where it begins and looks for the can
HOME_LEAN, SCAN_LEAN = (0.1, -0.2), (0.15, -0.3)  # m a metre down: there it does not quite point down
PLACE = (0.55, 0.3, 0.05 + CAN_HEIGHT)  # m: where the can's top shall be at the end; the belt's surface is at 0.05
FRONT = -np.pi / 2  # rad: turn of the tool in front of the robot with axis 6 at rest
# s: pauses before each of the seven movements and after the last; the third is detection, the fifth is gripping.
PAUSES = (0.56, 1.5, 0.16, 0.5, 0.12, 0.16, 0.45, 0.4)
GRIP_AFTER, OPEN_AFTER = 0.22, 0.18  # s into the pause: the vacuum holds, the valve opens


@dataclass(frozen=True)
class Job:
    """What differs from cycle to cycle for the controller.

    Attributes:
        place: (x, y) in metres where the can is believed to stand.
        turn: radians by which the can, and so the gripper, is turned.
        height: metres by which the tool stops above the can (or presses the cup, below 0).
        pauses: seconds of the eight pauses.

    Example:
        >>> Job(place=(0.5, 0.0), turn=0.0, height=0.0, pauses=(0.1,) * 8).turn
        0.0
    """

    place: tuple[float, float]
    turn: float
    height: float
    pauses: tuple[float, ...]


@dataclass(frozen=True)
class Plan:
    """The commands of one cycle at 500 Hz; `action` is of shape (steps,), all others of (steps, 6).

    `position`, `velocity`, `acceleration` in rad, rad/s and rad/s²; `torque` (Nm) and `inertia` (kg m²) are the
    nominal model's, without rotors and friction; `grip` and `open` are the steps that switch the vacuum.

    Example:
        >>> job = Job(place=(0.4, -0.3), turn=0.0, height=0.0, pauses=(0.1,) * 8)
        >>> plan(job).position.shape[1]
        6
    """

    action: NDArray[np.uint8]
    position: Array
    velocity: Array
    acceleration: Array
    torque: Array
    inertia: Array
    grip: int
    open: int


def plan(job: Job) -> Plan:
    """Plan one cycle and compute what it should take from the axes."""
    arm = nominal_arm()
    top = 0.05 + CAN_HEIGHT + job.height
    pick, place = (*job.place, top), (*PLACE[:2], PLACE[2] + job.height)
    home, scan = arm.reach(HOME, FRONT, _SEED, HOME_LEAN), arm.reach(SCAN, FRONT, _SEED, SCAN_LEAN)
    down = arm.line(pick, FRONT + job.turn, scan)
    final = arm.line(place, FRONT, home)
    moves = (
        _joint_move(home, scan),
        _joint_move(scan, down(0.0)),
        _line_move(down, lower=True),
        _line_move(down, lower=False),
        _joint_move(down(0.0), final(0.0)),
        _line_move(final, lower=True),
        _line_move(final, lower=False),
    )
    parts: list[tuple[Array, Array, Array]] = []
    for pause, move in zip(job.pauses, (*moves, None), strict=True):
        rest = np.tile(move[0][0] if move is not None else parts[-1][0][-1], (round(pause / STEP), 1))
        parts.append((rest, np.zeros_like(rest), np.zeros_like(rest)))
        if move is not None:
            parts.append(move)
    lengths = [len(part[0]) for part in parts]
    starts = np.concatenate(([0], np.cumsum(lengths)))
    position, velocity, acceleration = (np.concatenate([part[i] for part in parts]) for i in range(3))
    grip, opening = starts[6] + round(GRIP_AFTER / STEP), starts[12] + round(OPEN_AFTER / STEP)
    carried = np.zeros(len(position), dtype=np.bool_)
    carried[starts[7] : opening] = True  # the controller counts with the can from lifting to opening
    torque, inertia = arm.dynamics(position, velocity, acceleration, carried)
    action = np.repeat(np.arange(len(parts), dtype=np.uint8), lengths)
    return Plan(action, position, velocity, acceleration, torque, inertia, int(grip), int(opening))


_SEED = np.array((0.0, -0.3, 1.9, 0.0, -np.pi / 2, 0.0))  # elbow up, tool down


def _profile(speed: float, acceleration: float) -> tuple[Array, Array, Array]:
    """Way from 0 to 1 with its derivatives, at 500 Hz: a trapezoid of velocity, its corners rounded."""
    peak = min(speed, np.sqrt(acceleration))
    ramp = peak / acceleration
    time = np.arange(0, 1 / peak + ramp + STEP, STEP)
    trapezoid = np.clip(np.minimum(time, 1 / peak + ramp - time) * acceleration, 0, peak)
    box = np.full(round(JERK_TIME / STEP), STEP / JERK_TIME)
    rate = np.convolve(np.pad(trapezoid, 1), box)
    rate /= rate.sum() * STEP
    way = np.cumsum((rate + np.concatenate(([0.0], rate[:-1]))) / 2) * STEP
    return way, rate, np.gradient(rate, STEP)


def _joint_move(start: Array, end: Array) -> tuple[Array, Array, Array]:
    span = end - start
    longest = float(np.abs(span).max())
    way, rate, change = _profile(MAX_SPEED / longest, MAX_ACCELERATION / longest)
    return start + np.outer(way, span), np.outer(rate, span), np.outer(change, span)


def _line_move(line: CubicSpline[np.float64], lower: bool) -> tuple[Array, Array, Array]:
    """Follow `line` downwards, from 0 to 1, or upwards."""
    way, rate, change = _profile(LINE_SPEED / LINE_HEIGHT, LINE_ACCELERATION / LINE_HEIGHT)
    if not lower:
        way, rate, change = 1 - way, -rate, -change
    slope, bend = line(way, 1), line(way, 2)
    return line(way), slope * rate[:, None], bend * rate[:, None] ** 2 + slope * change[:, None]


class NominalArm:
    """The controller's idea of the arm: a platform that stands still, axes without friction, a can of 241 g.

    Example:
        >>> nominal_arm().tool(np.zeros(6)).shape
        (3,)
    """

    def __init__(self) -> None:
        spec = mujoco.MjSpec.from_file(str(ARM_FILE))
        spec.option.disableflags |= mujoco.mjtDisableBit.mjDSBL_CONSTRAINT
        for axis in range(1, AXES + 1):
            spec.joint(f"axis_{axis}").armature = 0.0
        self._model = spec.compile()
        self._data = mujoco.MjData(self._model)
        self._tool = self._model.site("tool").id
        self._payload = self._model.body("payload").id

    def tool(self, position: Array) -> Array:
        """Place (3,) of the tool in the room, in metres, with the axes at `position` (6,)."""
        self._data.qpos[TILTS : TILTS + AXES] = position
        mujoco.mj_kinematics(self._model, self._data)
        return np.array(self._data.site_xpos[self._tool])

    def reach(self, place: Sequence[float], turn: float, seed: Array, lean: tuple[float, float] = (0.0, 0.0)) -> Array:
        """Positions (6,) of the axes that bring the tool to `place`, turned and pointing down; Newton from `seed`.

        With a `lean` the tool points (x, y) metres aside for every metre down.
        """
        down = np.array((*lean, -1.0)) / np.linalg.norm((*lean, -1.0))
        right = np.array((np.cos(turn), np.sin(turn), 0.0))
        right -= right @ down * down
        right /= np.linalg.norm(right)
        wanted, turned, lacking = np.empty(4), np.empty(4), np.empty(3)
        mujoco.mju_mat2Quat(wanted, np.column_stack((right, down, np.cross(right, down))).ravel())
        moved, rotated = np.empty((3, self._model.nv)), np.empty((3, self._model.nv))
        axes = slice(TILTS, TILTS + AXES)
        position = seed.copy()
        for _ in range(30):
            offset = np.asarray(place) - self.tool(position)
            mujoco.mj_comPos(self._model, self._data)
            mujoco.mju_mat2Quat(turned, self._data.site_xmat[self._tool])
            mujoco.mju_subQuat(lacking, wanted, turned)
            lacking_in_room = self._data.site_xmat[self._tool].reshape(3, 3) @ lacking
            error = np.concatenate((offset, lacking_in_room))
            if np.abs(error).max() < 1e-10:
                break
            mujoco.mj_jacSite(self._model, self._data, moved, rotated, self._tool)
            step = np.linalg.solve(np.vstack((moved[:, axes], rotated[:, axes])), error)
            position += step * min(1.0, 0.5 / np.abs(step).max())
        return position

    def line(self, end: Sequence[float], turn: float, seed: Array) -> CubicSpline[np.float64]:
        """Positions (6,) of the axes over the way, 0 to 1, from `LINE_HEIGHT` above `end` straight down to it."""
        ways = np.linspace(0, 1, 9)
        knots = []
        for way in ways:
            seed = self.reach((end[0], end[1], end[2] + LINE_HEIGHT * (1 - way)), turn, seed)
            knots.append(seed)
        return CubicSpline(ways, np.stack(knots))

    def dynamics(
        self, position: Array, velocity: Array, acceleration: Array, carried: NDArray[np.bool_]
    ) -> tuple[Array, Array]:
        """Torque and own inertia of every axis along a motion, all of shape (steps, 6)."""
        model, data = self._model, self._data
        axes = slice(TILTS, TILTS + AXES)
        qpos, qvel, qacc, wrench = data.qpos[axes], data.qvel[axes], data.qacc[axes], data.qfrc_inverse[axes]
        full = np.empty((model.nv, model.nv))
        diagonal = full.diagonal()[axes]
        torque, inertia = np.empty_like(position), np.empty_like(position)
        loaded = False
        self._carry(loaded)
        for step, carries in enumerate(carried.tolist()):
            if carries != loaded:
                loaded = carries
                self._carry(loaded)
            qpos[:], qvel[:], qacc[:] = position[step], velocity[step], acceleration[step]
            mujoco.mj_inverse(model, data)
            mujoco.mj_fullM(model, data, full)
            torque[step], inertia[step] = wrench, diagonal
        return torque, inertia

    def _carry(self, can: bool) -> None:
        self._model.body_mass[self._payload] = CAN_MASS if can else 0.0
        self._model.body_inertia[self._payload] = (3e-4, 1.3e-4, 3e-4) if can else (0.0, 0.0, 0.0)
        mujoco.mj_setConst(self._model, self._data)  # also puts the arm into its zero pose
        self._data.qvel[:] = 0
        self._data.qacc[:] = 0


@cache
def nominal_arm() -> NominalArm:
    """Return the nominal arm, compiled once a process."""
    return NominalArm()
