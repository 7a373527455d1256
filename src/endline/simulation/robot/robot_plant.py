"""The plant of the simulated robot: arm, platform, can and whatever is in the way, as a MuJoCo model of one cycle."""

from dataclasses import dataclass
from typing import Any

import mujoco
import numpy as np
from numpy.typing import NDArray

from endline.simulation.robot.robot_faults import Fault, Obstacle
from endline.simulation.robot.robot_motion import ARM_FILE, AXES, CAN_MASS, TILTS, Array, Plan, nominal_arm

COULOMB = np.array((15.0, 13.0, 12.0, 3.4, 2.2, 2.8))  # Nm, of a warm gear
VISCOUS = np.array((9.0, 9.0, 7.0, 2.0, 1.8, 1.8))  # Nm s/rad, of a warm gear
FIRM_HZ, PLATFORM_DAMPING = 16.0, 0.05  # Hz, of the platform; share of critical damping
# m: where a weight is strapped to each link
LINK_WEIGHTS = ((0.075, 0, 0.1), (0.07, 0, 0.25), (0.06, 0, 0.22), (0, -0.06, 0.05), (0.05, 0, 0.06), (-0.045, 0.03, 0))
CABLE_LINKS = 8
UNDER_ARM = (0.0, 0.13, 0.26)  # m from the tool towards the robot: tool, wrist and forearm are above


@dataclass(frozen=True)
class Conditions:
    """What differs from cycle to cycle in an ordinary plant.

    Attributes:
        warmth: 0 after a night, 1 after hours of work.
        coulomb, viscous: friction of the gears, (6,), Nm and Nm s/rad.
        held: torque that friction holds at the beginning, after the cycle before, (6,), as a share of `coulomb`.
        can_mass: kilograms.
        place: (x, y) in metres, where the can really stands.

    Example:
        >>> 0 < Conditions.draw((0.4, -0.3), np.random.default_rng(0)).warmth < 1
        True
    """

    warmth: float
    coulomb: Array
    viscous: Array
    held: Array
    can_mass: float
    place: tuple[float, float]

    @classmethod
    def draw(cls, place: tuple[float, float], rng: np.random.Generator) -> "Conditions":
        """Draw the state of gears and can; cold grease is stiffer."""
        warmth = rng.beta(3.0, 1.2)
        return cls(
            warmth=warmth,
            coulomb=COULOMB * (1.12 - 0.12 * warmth) * np.exp(rng.normal(0, 0.04, AXES)),
            viscous=VISCOUS * (1.35 - 0.35 * warmth) * np.exp(rng.normal(0, 0.04, AXES)),
            held=rng.normal(0.3, 0.12, AXES),
            can_mass=CAN_MASS + rng.normal(0, 0.0015),
            place=place,
        )


def build(plan: Plan, conditions: Conditions, fault: Fault) -> tuple[mujoco.MjModel, mujoco.MjData]:
    """Make the plant of one cycle, at rest where `plan` begins."""
    spec = mujoco.MjSpec.from_file(str(ARM_FILE))
    for axis, weight in enumerate(fault.weights, start=1):
        if weight > 0:
            link = spec.body(f"link_{axis}")
            link.add_geom(type=mujoco.mjtGeom.mjGEOM_SPHERE, size=[0.02, 0, 0], pos=LINK_WEIGHTS[axis - 1], mass=weight)
    if fault.cable > 0:
        _strap_cable(spec, fault.cable)
    if fault.obstacle is not None:
        _put_obstacle(spec, plan, fault.obstacle)
    mass = conditions.can_mass if fault.can_mass is None else fault.can_mass
    spec.geom("can").mass = mass
    spec.body("can").pos[:2] = conditions.place
    model = spec.compile()
    axes = slice(TILTS, TILTS + AXES)
    model.dof_frictionloss[axes] = conditions.coulomb + fault.coulomb
    model.dof_damping[axes] = conditions.viscous + fault.viscous
    data = mujoco.MjData(model)
    _set_platform(model, data, plan, fault.platform_hz or FIRM_HZ)
    return model, data


def _set_platform(model: mujoco.MjModel, data: mujoco.MjData, plan: Plan, hertz: float) -> None:
    """Put the platform on springs, at rest under the weight of the arm in its first position."""
    data.qpos[TILTS : TILTS + AXES] = plan.position[0]
    mujoco.mj_inverse(model, data)
    full = np.empty((model.nv, model.nv))
    mujoco.mj_fullM(model, data, full)
    inertia = full.diagonal()[:TILTS]
    angular = 2 * np.pi * hertz
    for joint in range(TILTS):
        stiffness = inertia[joint] * angular**2
        model.jnt_stiffness[joint] = stiffness
        model.qpos_spring[joint] = data.qfrc_inverse[joint] / stiffness
        model.dof_damping[joint] = 2 * PLATFORM_DAMPING * inertia[joint] * angular


def _strap_cable(spec: mujoco.MjSpec, stiffness: float) -> None:
    """Run a hose from the shoulder over the elbow to the wrist: it weighs, and it pulls when it is stretched."""
    places = {"link_1": (0.09, 0, 0.12), "link_3": (0.07, 0, 0.05), "link_6": (0.05, 0.03, -0.03)}
    tendon = spec.add_tendon(name="cable", stiffness=stiffness, damping=4.0, springlength=[0.0, 0.74])
    for (link, place), mass in zip(places.items(), (0.04, 0.12, 0.05), strict=True):
        body = spec.body(link)
        body.add_site(name=f"strap_{link}", pos=place)
        body.add_geom(type=mujoco.mjtGeom.mjGEOM_SPHERE, size=[0.01, 0, 0], pos=place, mass=mass)
        tendon.wrap_site(f"strap_{link}")


def _put_obstacle(spec: mujoco.MjSpec, plan: Plan, obstacle: Obstacle) -> None:
    """Put a box on a post, or hang a cable, into the way of the tool."""
    moving = np.flatnonzero(np.isin(plan.action, (1, 3, 9)))[::10]
    way = np.stack([nominal_arm().tool(position) for position in plan.position[moving]])
    free = np.flatnonzero(_free(way, plan, obstacle))
    here = free[int(obstacle.moment * len(free))]
    ahead = np.gradient(way, axis=0)[here]
    across = np.array((-ahead[1], ahead[0], 0.0)) / (np.hypot(ahead[0], ahead[1]) + 1e-9)
    reach = obstacle.size[1] if obstacle.form == "box" else obstacle.size[0]
    place = way[here] + across * obstacle.aside * (reach + 0.025)  # half the width of the gripper
    # It yields: even when the forearm comes down on a carton, it takes no more than some 100 N.
    contact = {"solref": [obstacle.softness, 1.0], "solimp": [0.5, 0.5, 0.001, 0.5, 2], "priority": 1}
    contact |= {"contype": 2, "conaffinity": 5}
    if obstacle.form == "box":
        _stand_box(spec, obstacle, place, contact)
    else:
        _hang_cable(spec, obstacle, place, contact)


def _free(way: Array, plan: Plan, obstacle: Obstacle) -> NDArray[np.bool_]:
    """Tell at which places of the tool's way an obstacle neither touches the arm at first nor is crushed by it."""
    margin = np.linalg.norm(way - way[0], axis=1) - max(obstacle.size) - 0.11
    for step in (plan.grip, plan.open):  # here the arm goes down
        below = nominal_arm().tool(plan.position[step])[:2]
        for inwards in UNDER_ARM:
            under = below * (1 - inwards / np.hypot(*below))
            margin = np.minimum(margin, np.hypot(*(way[:, :2] - under).T) - max(obstacle.size[:2]) - 0.1)
    return np.asarray(margin >= min(0.0, margin.max()))  # the best place, if none is good


def _stand_box(spec: mujoco.MjSpec, box: Obstacle, place: Array, contact: dict[str, Any]) -> None:
    body = spec.worldbody.add_body(name="obstacle", pos=place)
    body.add_freejoint()
    body.add_geom(type=mujoco.mjtGeom.mjGEOM_BOX, size=box.size, mass=box.mass, **contact)
    height = (place[2] - box.size[2]) / 2
    post = [0.25 * box.size[0], 0.25 * box.size[1], height]  # so narrow that a box that is hit soon falls
    at = [place[0], place[1], height]
    spec.worldbody.add_geom(type=mujoco.mjtGeom.mjGEOM_BOX, size=post, pos=at, contype=0, conaffinity=2)


def _hang_cable(spec: mujoco.MjSpec, cable: Obstacle, place: Array, contact: dict[str, Any]) -> None:
    radius, half, _ = cable.size
    end = 0.06  # m that it hangs lower than the tool
    body = spec.worldbody.add_body(name="obstacle", pos=place + np.array((0, 0, 2 * half * CABLE_LINKS - end)))
    for link in range(CABLE_LINKS):
        if link > 0:
            body = body.add_body(pos=[0, 0, -2 * half])
        body.add_joint(type=mujoco.mjtJoint.mjJNT_BALL, damping=3e-4, armature=1e-6)
        ends = [0, 0, 0, 0, 0, -2 * half]
        size, mass = [radius, 0, 0], cable.mass / CABLE_LINKS
        body.add_geom(type=mujoco.mjtGeom.mjGEOM_CAPSULE, fromto=ends, size=size, mass=mass, **contact)
