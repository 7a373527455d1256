"""Five kinds of part as height fields over a support, each with the spread and the texture of its series.

The view is `FIELD` mm wide; heights are mm above the support. Maps are float32 of shape (size, size); noise is that of
`surface_texture`, whose reference pixel is half a millimetre here.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from endline.simulation.images.surface_texture import REFERENCE, Map, cloud, filtered_noise, frequencies, grid

FIELD = 128.0  # mm: width and height of the view
SUPPORT = (0.24, 0.31, 0.38)  # colour of the support, a matt belt

Colour = tuple[float, float, float]


@dataclass(frozen=True)
class Part:
    """One part of a series, lying on the support.

    Attributes:
        height: mm above the support, 0 beside the part.
        colour: (size, size, 3), share of the light that is scattered; the support's own beside the part.
        gloss: strength of the highlight.
        inside: bool, where the part is.
        core: colour of the material below the skin, which a cut shows.
        soiled: colour of a stain on it.

    Example:
        >>> part = Part.draw("foam", np.random.default_rng(0), 64)
        >>> part.colour.shape, bool(part.inside[32, 32]), bool(part.inside[0, 0])
        ((64, 64, 3), True, False)
    """

    height: Map
    colour: Map
    gloss: Map
    inside: NDArray[np.bool_]
    core: Colour
    soiled: Colour

    @classmethod
    def draw(cls, category: str, rng: np.random.Generator, size: int) -> Self:
        """A part of a category of `CATEGORIES`, at its place in the view."""
        make = CATEGORIES[category]
        body = make(Place.draw(rng, size, make.turns), rng)
        inside = body.height > 0
        belt = np.array(SUPPORT, np.float32) * (1 + np.float32(0.05) * cloud(size, 2.0, rng))[:, :, None]
        colour = np.where(inside[:, :, None], np.clip(body.colour, 0.01, 1), belt)
        return cls(
            height=np.where(inside, body.height, 0).astype(np.float32),
            colour=colour.astype(np.float32),
            gloss=np.where(inside, make.gloss, 0.02).astype(np.float32),
            inside=inside,
            core=make.core,
            soiled=make.soiled,
        )


@dataclass(frozen=True)
class Place:
    """Where a part lies: the coordinates of every pixel as the part sees them.

    Attributes:
        u, v: mm from its middle, along and across its axis.
        angle: of its axis in the view, radians.

    Example:
        >>> place = Place.draw(np.random.default_rng(0), 64, turns=0.1)
        >>> place.u.shape, abs(place.angle) < 0.5
        ((64, 64), True)
    """

    u: Map
    v: Map
    angle: float

    @classmethod
    def draw(cls, rng: np.random.Generator, size: int, turns: float) -> Self:
        """A place near the middle, at an angle with the standard deviation `turns` in radians (infinite: any)."""
        angle = float(rng.normal(0.0, turns) if np.isfinite(turns) else rng.uniform(-np.pi, np.pi))
        y, x = ((axis - REFERENCE / 2) * np.float32(FIELD / REFERENCE) for axis in grid(size))
        x, y = x - np.float32(rng.normal(0.0, 1.2)), y - np.float32(rng.normal(0.0, 1.2))
        cosine, sine = np.float32(np.cos(angle)), np.float32(np.sin(angle))
        return cls(cosine * x + sine * y, cosine * y - sine * x, angle)

    @property
    def size(self) -> int:
        """Pixels of a side."""
        return len(self.u)

    def noise(self, length: float, rng: np.random.Generator) -> Map:
        """Isotropic noise, rms 1, smooth below `length` in mm."""
        return cloud(self.size, length * REFERENCE / FIELD, rng)

    def grain(self, length: float, rng: np.random.Generator) -> Map:
        """Isotropic noise, rms 1, of spots of about `length` in mm, and none larger."""
        across, along = frequencies(self.size)
        squared = (across**2 + along**2) * np.float32((2.0 * length * REFERENCE / FIELD) ** 2)
        return filtered_noise(squared * np.exp(-squared), rng)

    def fibres(self, length: float, width: float, rng: np.random.Generator) -> Map:
        """Noise, rms 1, of streaks along the axis, correlated over `length` along it and `width` across, in mm."""
        across, along = frequencies(self.size, -self.angle)
        scale = 2 * np.pi * REFERENCE / FIELD
        weights = 1 / ((1 + (scale * length * along) ** 2) * (1 + (scale * width * across) ** 2))
        return filtered_noise(weights.astype(np.float32), rng)


@dataclass(frozen=True)
class Body:
    """Height in mm, not above 0 beside the part, and colour (size, size, 3) of a part.

    Example:
        >>> Body(np.zeros((2, 2), np.float32), np.zeros((2, 2, 3), np.float32)).height.shape
        (2, 2)
    """

    height: Map
    colour: Map


@dataclass(frozen=True)
class Series:
    """What all parts of a category share.

    Attributes:
        shape: draws one at a place.
        turns: standard deviation of its angle in radians; infinite where it lies at any angle.
        gloss: strength of its highlight.
        core, soiled: as `Part` has them.

    Example:
        >>> CATEGORIES["dowel"].turns < CATEGORIES["bagel"].turns
        True
    """

    shape: Callable[[Place, np.random.Generator], Body]
    turns: float
    gloss: float
    core: Colour
    soiled: Colour

    def __call__(self, place: Place, rng: np.random.Generator) -> Body:
        """One part of the series."""
        return self.shape(place, rng)


def _bagel(place: Place, rng: np.random.Generator) -> Body:
    """A torus, never quite round, with a crust that is darkest on top, and seeds."""
    stretch = np.float32(rng.normal(1.0, 0.025))
    radius, turn = np.hypot(place.u * stretch, place.v / stretch), np.arctan2(place.v, place.u)
    waves = sum(rng.normal(0, 0.5) * np.cos(order * turn + rng.uniform(0, 6.3)) for order in (2, 3, 4))
    t = (radius - rng.normal(31.0, 0.7) - waves) / rng.normal(14.5, 0.4)
    dome = np.sqrt(np.clip(1 - np.abs(t) ** 2.3, 0, None))
    height = np.where(np.abs(t) < 1, rng.normal(9.5, 0.3) * (1 + dome), 0)
    lumps = place.noise(5.0, rng)
    height += np.where(height > 0, 0.22 * lumps, 0)
    baked = np.clip(1.35 * dome - 0.55 + 0.13 * lumps + 0.07 * place.grain(1.0, rng), 0, 1)[:, :, None]
    colour = (1 - baked) * np.array([0.74, 0.53, 0.29]) + baked * np.array([0.47, 0.25, 0.095])
    colour *= 1 + 0.05 * place.grain(0.5, rng)[:, :, None]
    for _ in range(int(rng.integers(25, 45))):
        far, where, lies = rng.normal(31.0, 5.0), rng.uniform(0, 6.3), rng.uniform(0, 3.2)
        right, down = place.u - far * np.cos(where), place.v - far * np.sin(where)
        near = (np.maximum(np.abs(right), np.abs(down)) < 1.8) & (np.abs(t) < 0.8)
        along = np.cos(lies) * right[near] + np.sin(lies) * down[near]
        across = np.cos(lies) * down[near] - np.sin(lies) * right[near]
        seed = np.clip(1.4 * (1 - (along / 1.7) ** 2 - (across / 0.95) ** 2), 0, 1)
        height[near] += 0.45 * seed
        colour[near] += seed[:, None] * (np.array([0.88, 0.78, 0.56]) - colour[near])
    return Body(height, colour)


def _dowel(place: Place, rng: np.random.Generator) -> Body:
    """A fluted wooden pin with chamfered ends."""
    half, radius = rng.normal(42.0, 0.35), rng.normal(9.0, 0.12)
    end = np.abs(place.u) - half
    turn = np.arcsin(np.clip(place.v / radius, -1, 1)) + rng.uniform(0, 6.3)
    flute = np.clip(np.cos(16 * turn), 0.3, 1) - 0.3
    local = radius - np.clip(end + 3.2, 0, None) * 0.75 - 0.55 * flute * (end < -2.4)
    inside = (end < 0) & (np.abs(place.v) < local)
    height = np.where(inside, radius + np.sqrt(np.clip(local**2 - place.v**2, 0, None)), 0)
    grain = place.fibres(12.0, 0.35, rng)
    height += np.where(inside, 0.05 * grain, 0)
    tone = np.array([0.76, 0.57, 0.35]) * rng.normal(1.0, 0.03)
    shade = 1 + 0.09 * grain + 0.05 * place.noise(6.0, rng) - 0.16 * flute
    return Body(height, tone * shade[:, :, None])


def _tyre(place: Place, rng: np.random.Generator) -> Body:
    """A rubber ring on its side: lugs at the outer shoulder, a raised rib and blocks of a lettering."""
    radius, turn = np.hypot(place.u, place.v), np.arctan2(place.v, place.u)
    t = (radius - rng.normal(33.0, 0.25)) / rng.normal(12.0, 0.2)
    flank = np.clip(1 - np.abs(t) ** 5, 0, None) ** 0.4
    lug = np.clip(2.2 * np.cos(30 * turn + 4 * t + rng.uniform(0, 6.3)), -1, 1) * np.clip((t - 0.42) / 0.12, 0, 1)
    rib = np.exp(-(((t + 0.5) / 0.055) ** 2)) + np.exp(-(((t - 0.33) / 0.045) ** 2))
    around = np.mod(turn / np.pi, 1)  # the lettering stands twice
    letters = np.clip(5 * np.cos(62 * turn) + 2.5, 0, 1) * (around > 0.18) * (around < 0.58)
    letters *= np.clip((0.2 - np.abs(t + 0.08)) / 0.05, 0, 1)
    relief = 0.75 * lug + 0.5 * rib + 0.5 * letters + 0.05 * place.grain(0.6, rng) + 0.12 * place.noise(9.0, rng)
    height = np.where(np.abs(t) < 1, (rng.normal(17.5, 0.2) + relief) * flank, 0)
    dust = np.clip(0.35 + 0.3 * place.noise(4.0, rng) - 0.4 * letters - 0.3 * lug, 0, 1)[:, :, None]
    colour = (1 - 0.3 * dust) * np.array([0.085, 0.085, 0.09]) + 0.3 * dust * np.array([0.30, 0.28, 0.25])
    return Body(height, colour * (1 + 0.08 * place.grain(0.5, rng)[:, :, None]))


def _foam(place: Place, rng: np.random.Generator) -> Body:
    """A sawn block with open pores and edges that are not quite straight."""
    wavy = 0.35 * place.noise(6.0, rng)
    long, wide = rng.normal(37.0, 0.4), rng.normal(27.0, 0.4)
    edge = np.minimum(long - np.abs(place.u), wide - np.abs(place.v)) + wavy
    top = rng.normal(24.0, 0.3) + rng.normal(0, 0.006) * place.u + 0.15 * place.noise(10.0, rng)
    pores = np.clip(place.grain(0.9, rng) - 0.6, 0, 2.5)
    rim = np.clip(1.5 - edge, 0, None) ** 2  # the sawn edge is rounded
    height = np.where(edge > 0, top - 0.32 * pores - 0.9 * rim, 0)
    tone = np.array([0.80, 0.66, 0.27]) * rng.normal(1.0, 0.025)
    shade = 1 - 0.2 * pores + 0.025 * place.noise(6.0, rng)
    return Body(height, tone * shade[:, :, None])


def _gland(place: Place, rng: np.random.Generator) -> Body:
    """A cable gland on its thread: hexagonal body, ribbed dome nut, a sealing ring, and the hole for the cable."""
    radius, turn = np.hypot(place.u, place.v), np.arctan2(place.v, place.u)
    flats = [np.abs(np.cos(a) * place.u + np.sin(a) * place.v) for a in np.pi / 3 * np.arange(3)]
    edge = rng.normal(36.0, 0.2) - np.maximum.reduce(flats)
    hexagon = np.where(edge > 0, rng.normal(14.0, 0.12) - 0.35 * np.clip(2.0 - edge, 0, None), 0)
    ribbed = 26.0 + 0.5 * np.clip(2 * np.cos(22 * turn + rng.uniform(0, 6.3)), -1, 1)
    inward = np.clip(ribbed - radius, 0, None)
    shoulder = np.clip(1 - inward / 9.0, 0, 1) ** 2
    dome = np.where(inward > 0, rng.normal(30.0, 0.2) - 7.0 * shoulder, 0)
    hole = rng.normal(9.5, 0.12)
    seal = (radius < hole + 3.2) & (radius >= hole)
    dome = np.where(seal, dome - 1.2, dome)
    height = np.where(radius < hole, 12.0, np.maximum(hexagon, dome))
    tone = np.array([0.60, 0.61, 0.60]) * rng.normal(1.0, 0.02)
    shade = 1 + 0.02 * place.noise(6.0, rng) + 0.03 * place.grain(0.5, rng)
    colour = tone * shade[:, :, None]
    colour[seal] = np.array([0.11, 0.11, 0.12])
    colour[radius < hole] *= np.float32(0.25)
    height += np.where(height > 0, 0.05 * place.grain(0.6, rng), 0)
    return Body(height, np.asarray(colour, np.float32))


CATEGORIES: dict[str, Series] = {
    "bagel": Series(_bagel, np.inf, 0.10, core=(0.86, 0.77, 0.58), soiled=(0.30, 0.34, 0.24)),
    "cable_gland": Series(_gland, 0.08, 0.35, core=(0.80, 0.80, 0.78), soiled=(0.42, 0.26, 0.14)),
    "dowel": Series(_dowel, 0.15, 0.08, core=(0.88, 0.74, 0.52), soiled=(0.26, 0.20, 0.16)),
    "foam": Series(_foam, 0.08, 0.03, core=(0.90, 0.80, 0.44), soiled=(0.40, 0.27, 0.12)),
    "tyre": Series(_tyre, np.inf, 0.08, core=(0.24, 0.23, 0.22), soiled=(0.46, 0.44, 0.40)),
}
