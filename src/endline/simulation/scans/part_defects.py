"""The defects of a simulated part, as changes of its height and of its colour.

Each function draws one defect with the given strength (its own measure, see the function) on a part; strength 0
changes nothing. Lengths are mm.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_erosion

from endline.simulation.images.surface_texture import REFERENCE, Map, cloud, grid
from endline.simulation.scans.parts import FIELD, Colour, Part

STEEPEST = 1.2  # slope of the places where a defect may lie: a scanner sees them


@dataclass(frozen=True)
class Damage:
    """What a defect does: `height` in mm is added, `cover` is the share, 0 to 1, of `colour` over the part's own.

    Example:
        >>> Damage(height=-0.5).cover
        0.0
    """

    height: Map | float = 0.0
    cover: Map | float = 0.0
    colour: Colour = (0.0, 0.0, 0.0)

    def apply(self, part: Part) -> Part:
        """Return the damaged part; the support stays as it is."""
        cover = np.float32(1) * np.where(part.inside, self.cover, 0)[:, :, None]
        return Part(
            height=(part.height + np.where(part.inside, self.height, 0)).astype(np.float32),
            colour=((1 - cover) * part.colour + cover * np.array(self.colour)).astype(np.float32),
            gloss=part.gloss,
            inside=part.inside,
            core=part.core,
            soiled=part.soiled,
        )


def dent(part: Part, strength: float, rng: np.random.Generator) -> Damage:
    """A shallow bowl; strength: its depth in mm."""
    return Damage(height=-np.float32(strength) * _bowl(_blotch(part, rng.uniform(4.0, 7.0), 0.1, rng)))


def bump(part: Part, strength: float, rng: np.random.Generator) -> Damage:
    """A blister; strength: its height in mm."""
    return Damage(height=np.float32(strength) * _bowl(_blotch(part, rng.uniform(3.5, 6.5), 0.1, rng)))


def hole(part: Part, strength: float, rng: np.random.Generator) -> Damage:
    """A round hole of 4 to 7 mm across; strength: its depth in mm."""
    radius = rng.uniform(2.0, 3.5)
    inside = _blotch(part, radius, 0.05, rng)
    return Damage(height=-np.float32(strength) * np.clip(inside * np.float32(radius / 0.4), 0, 1))


def bent(part: Part, strength: float, rng: np.random.Generator) -> Damage:
    """One end of the part is lifted, as a parabola from a line near its middle on; strength: the lift in mm."""
    y, x = _millimetres(len(part.height))
    rows, columns = np.nonzero(part.inside)
    places = np.column_stack([y[rows, columns], x[rows, columns]]).astype(np.float64)
    places -= places.mean(axis=0)
    _, axes = np.linalg.eigh(places.T @ places)
    axis = axes[:, 1] * rng.choice((-1, 1))  # a part bends across its longest extent
    along = (y * axis[0] + x * axis[1]).astype(np.float32)
    start, end = np.quantile(along[part.inside], (rng.uniform(0.5, 0.7), 1.0))
    return Damage(height=np.float32(strength) * np.clip((along - start) / (end - start), 0, 1) ** 2)


def stain(part: Part, strength: float, rng: np.random.Generator) -> Damage:
    """A soiled patch; strength: the share of the skin's colour that is lost in it, 0 to 1."""
    inside = _blotch(part, rng.uniform(3.5, 7.0), 0.3, rng)
    return Damage(cover=np.float32(strength) * np.clip(inside / np.float32(0.3), 0, 1), colour=part.soiled)


def cut(part: Part, strength: float, rng: np.random.Generator) -> Damage:
    """A slit that shows what is below the skin; strength: its depth in mm."""
    y, x = _millimetres(len(part.height))
    middle, angle, length = _place(part, rng), rng.uniform(0, np.pi), rng.uniform(10.0, 24.0)
    along = np.cos(angle) * (x - middle[1]) + np.sin(angle) * (y - middle[0])
    across = np.cos(angle) * (y - middle[0]) - np.sin(angle) * (x - middle[1])
    bow = rng.normal(0.0, 0.08) * length * (1 - (2 * along / length) ** 2)
    inside = np.clip(1 - (2 * along / length) ** 2, 0, 1) ** np.float32(0.5)
    slit = inside * np.exp(-(((across - bow) / np.float32(rng.uniform(0.6, 1.0))) ** 2))
    opened = np.clip(np.float32(0.9 * min(strength, 1.0)) * slit, 0, 1)
    return Damage(height=-np.float32(strength) * slit, cover=opened, colour=part.core)


def contamination(part: Part, strength: float, rng: np.random.Generator) -> Damage:
    """A foreign body that sticks to the part, such as a chip or paint; strength: its thickness in mm."""
    inside = _blotch(part, rng.uniform(2.0, 4.2), 0.35, rng)
    body = np.clip(inside / np.float32(0.35), 0, 1)
    materials = ((0.55, 0.56, 0.58), (0.13, 0.16, 0.20), (0.20, 0.36, 0.52), (0.62, 0.22, 0.17))
    colour = materials[int(rng.integers(len(materials)))]
    cover = np.clip(np.float32(0.9 * min(strength, 1.0)) * body, 0, 1)
    return Damage(height=np.float32(strength) * body, cover=cover, colour=colour)


def _millimetres(size: int) -> tuple[Map, Map]:
    """Down and right of every pixel in mm from the upper left corner."""
    y, x = grid(size)
    return y * np.float32(FIELD / REFERENCE), x * np.float32(FIELD / REFERENCE)


def _place(part: Part, rng: np.random.Generator) -> NDArray[np.float64]:
    """Where a defect lies (y, x) in mm: on the part, away from its outline, where it is not steep."""
    size = len(part.height)
    pitch = FIELD / size
    slope = np.hypot(*np.gradient(part.height, np.float32(pitch)))
    possible = binary_erosion(part.inside, iterations=max(1, round(2.0 / pitch))) & (slope < STEEPEST)
    rows, columns = np.nonzero(possible)
    chosen = int(rng.integers(len(rows)))
    return np.array([rows[chosen] + 0.5, columns[chosen] + 0.5]) * pitch


def _blotch(part: Part, radius: float, roughness: float, rng: np.random.Generator) -> Map:
    """Depth inside an irregular ellipse on the part: 1 in the middle, 0 on its outline, negative outside."""
    y, x = _millimetres(len(part.height))
    centre, angle, roundness = _place(part, rng), rng.uniform(0, np.pi), rng.uniform(0.65, 1.0)
    along = np.cos(angle) * (x - centre[1]) + np.sin(angle) * (y - centre[0])
    across = (np.cos(angle) * (y - centre[0]) - np.sin(angle) * (x - centre[1])) / roundness
    r = np.sqrt(along**2 + across**2) / radius
    uneven = np.float32(roughness) * cloud(len(r), radius / 4 * REFERENCE / FIELD, rng) * np.clip(r, 0, 1)
    return np.asarray(1 - r + uneven * (r < 1.6), dtype=np.float32)


def _bowl(inside: Map) -> Map:
    """1 in the middle of a blotch and 0 from its outline on, smooth in both places."""
    return np.asarray((1 - (1 - np.clip(inside, 0, 1)) ** 2) ** 2, np.float32)
