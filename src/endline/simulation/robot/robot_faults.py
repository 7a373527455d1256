"""What may be wrong with the simulated robot, its can or its surroundings: 12 kinds in 54 variants.

The kinds, and their weights in grams, are those of Rudolph 2024, section 7.5; where the thesis names no number
(friction, foam, cable, angle of commutation, stiffness of the platform), ours is an estimate, given below.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from endline.robot_signals import AXES

Array = NDArray[np.float64]

# Nm at rest and Nm s/rad that a foam under a tension belt adds to an axis (levels 1, 2); wrists are thinner.
FRICTION = ((1.5, 0.8), (3.5, 1.8))
WRIST = np.array((1.0, 1.0, 1.0, 0.45, 0.4, 0.4))
AXIS_WEIGHTS = (0.115, 0.231, 0.5)  # kg
CAN_WEIGHTS = (0.041, 0.448, 0.121, 0.361, 0.181, 0.301)  # kg; the first is an empty can
COMMUTATION = (15.0, 30.0)  # degrees, least and greatest error of the angle
PLATFORM_HZ = (6.0, 4.0, 2.5)  # of an unstable platform, where a firm one has 16 Hz


@dataclass(frozen=True)
class Obstacle:
    """A light thing in the way of the tool.

    Attributes:
        form: "box" stands on a post, "cable" hangs from above.
        size: half of the box's sides, or (radius, half the length of a link, 0) of the cable, in metres.
        mass: kilograms in all.
        softness: seconds that a contact takes to be resolved.
        moment: 0 to 1, where on the tool's way it is.
        aside: -1 to 1, from one edge to the other: 0 is met head-on, 1 is hardly touched.

    Example:
        >>> Obstacle("box", (0.1, 0.1, 0.1), mass=0.3, softness=0.02, moment=0.5, aside=0.0).form
        'box'
    """

    form: Literal["box", "cable"]
    size: tuple[float, float, float]
    mass: float
    softness: float
    moment: float
    aside: float


def _no_axes() -> Array:
    return np.zeros(AXES)


@dataclass(frozen=True)
class Fault:
    """How a cycle deviates; the defaults are a cycle in order.

    Attributes:
        coulomb, viscous: additional friction of each axis, (6,), Nm and Nm s/rad, at the links.
        weights: kilograms strapped to each link, (6,).
        commutation: error of the electrical angle of each motor, (6,), radians.
        can_mass: kilograms; None for an ordinary can.
        gripped: whether the vacuum ever holds.
        lost: 0 to 1, when the vacuum fails between lifting and setting down; None for never.
        cable: N/m of a cable strapped along the arm, which pulls when it is stretched; 0 for none.
        platform_hz: lowest frequency of the platform; None for a firm one.
        stop: metres along the belt from the middle of its usual places to where the can stands; None for a usual one.
        delay: seconds that its detection takes longer.
        obstacle: what stands or hangs in the way, if anything.

    Example:
        >>> Fault().gripped
        True
    """

    coulomb: Array = field(default_factory=_no_axes)
    viscous: Array = field(default_factory=_no_axes)
    weights: Array = field(default_factory=_no_axes)
    commutation: Array = field(default_factory=_no_axes)
    can_mass: float | None = None
    gripped: bool = True
    lost: float | None = None
    cable: float = 0.0
    platform_hz: float | None = None
    stop: float | None = None
    delay: float = 0.0
    obstacle: Obstacle | None = None


Draw = Callable[[np.random.Generator], Fault]


def _friction(axis: int, level: int, rng: np.random.Generator) -> Fault:
    coulomb, viscous = np.array(FRICTION[level]) * WRIST[axis] * rng.uniform(0.85, 1.15)
    return Fault(coulomb=coulomb * np.eye(AXES)[axis], viscous=viscous * np.eye(AXES)[axis])


def _weight(axis: int, level: int, rng: np.random.Generator) -> Fault:
    return Fault(weights=AXIS_WEIGHTS[level] * np.eye(AXES)[axis])


def _foam(size: int, rng: np.random.Generator) -> Fault:
    half = (0.06, 0.09)[size]
    mass = 40.0 * (2 * half) ** 3  # 40 kg/m³
    return Fault(obstacle=Obstacle("box", (half,) * 3, mass, 0.03, rng.uniform(), rng.uniform(-1, 1)))


def _hanging_cable(kind: int, rng: np.random.Generator) -> Fault:
    radius, mass = ((0.003, 0.025), (0.005, 0.07))[kind]  # a data and a power cable of 0.7 m
    return Fault(obstacle=Obstacle("cable", (radius, 0.044, 0.0), mass, 0.01, rng.uniform(), rng.uniform(-0.8, 0.8)))


def _carton(rng: np.random.Generator) -> Fault:
    return Fault(obstacle=Obstacle("box", (0.09, 0.07, 0.11), 0.14, 0.025, rng.uniform(), rng.uniform(-1, 1)))


def _invalid_position(rng: np.random.Generator) -> Fault:
    stop = float(rng.choice((-1, 1))) * rng.uniform(0.11, 0.17)  # the belt stops early or late
    return Fault(stop=stop, delay=rng.uniform(0.1, 0.6))


def _commutation(axis: int, rng: np.random.Generator) -> Fault:
    angle = np.radians(rng.uniform(*COMMUTATION)) * rng.choice((-1, 1))
    return Fault(commutation=angle * np.eye(AXES)[axis])


def _per_axis(draw: Callable[[int, int, np.random.Generator], Fault], levels: int) -> tuple[Draw, ...]:
    """Variants whose order changes axis and level from one to the next."""
    return tuple(partial(draw, i % AXES, (i + i // AXES) % levels) for i in range(AXES * levels))


# Variants of each kind, in the order in which they take turns.
VARIANTS: dict[str, tuple[Draw, ...]] = {
    "axis_friction": _per_axis(_friction, len(FRICTION)),
    "axis_weight": _per_axis(_weight, len(AXIS_WEIGHTS)),
    "collision_foam": tuple(partial(_foam, size) for size in range(2)),
    "collision_cable": tuple(partial(_hanging_cable, kind) for kind in range(2)),
    "collision_carton": (_carton,),
    "miss_can": (lambda rng: Fault(gripped=False),),
    "lose_can": (lambda rng: Fault(lost=rng.uniform(0.02, 0.98)),),
    "can_weight": tuple(partial(lambda mass, rng: Fault(can_mass=mass), mass) for mass in CAN_WEIGHTS),
    "entangled": (lambda rng: Fault(cable=rng.uniform(25.0, 60.0)),),
    "invalid_position": (_invalid_position,),
    "motor_commutation": tuple(partial(_commutation, axis) for axis in range(AXES)),
    "wobbling_station": tuple(partial(lambda hertz, rng: Fault(platform_hz=hertz), hertz) for hertz in PLATFORM_HZ),
}


def setting(kind: str, variant: int) -> int:
    """Number in the column `setting` of a variant of a kind: 0 to 53, in the order of `VARIANTS`."""
    before = 0
    for other, draws in VARIANTS.items():
        if other == kind:
            break
        before += len(draws)
    return before + variant % len(VARIANTS[kind])
