"""The defects of a ground surface, as changes of its height map, its texture, its albedo and its gloss.

Each function draws one defect of a kind with the given strength (its own measure, see the function); strength
0 changes nothing. Lengths are pixels of a photograph of 256 x 256, maps float32 of shape (size, size), as in
`surface_texture`.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from endline.simulation.images.surface_texture import REFERENCE, Map, Surface, cloud, grid

Points = NDArray[np.float64]


@dataclass(frozen=True)
class Damage:
    """What a defect does: `height` is added, the others are factors on texture, albedo and gloss.

    Example:
        >>> damage = Damage(albedo=0.5)
        >>> damage.texture
        1.0
    """

    height: Map | float = 0.0
    texture: Map | float = 1.0
    albedo: Map | float = 1.0
    gloss: Map | float = 1.0

    def apply(self, surface: Surface) -> Surface:
        """Return the damaged surface."""
        return Surface(
            texture=np.asarray(surface.texture * self.texture, dtype=np.float32),
            form=np.asarray(surface.form + self.height, dtype=np.float32),
            albedo=np.asarray(surface.albedo * self.albedo, dtype=np.float32),
            gloss=np.asarray(surface.gloss * self.gloss, dtype=np.float32),
        )


def scratch(size: int, strength: float, rng: np.random.Generator) -> Damage:
    """A thin curved groove across the marks with a burr on both sides; strength: its depth in pixels."""
    angle = rng.uniform(0.3, np.pi - 0.3)  # along the marks nobody could tell it from one of them
    half = rng.uniform(20.0, 60.0) * np.array([np.sin(angle), np.cos(angle)])
    bow = rng.normal(0.0, 0.25) * np.array([half[1], -half[0]])
    step = np.linspace(-1, 1, 600)[:, None]
    path = _place(rng) + step * half + (1 - step**2) * bow
    width = rng.uniform(0.8, 1.3)
    distance, nearest = _distance(path, size, 5 * width)
    pressure = (1 - step[:, 0] ** 2) ** 0.4 * (1 + 0.25 * np.sin(rng.uniform(2, 9) * step[:, 0] + rng.uniform(0, 6)))
    groove = np.exp(-((distance / width) ** 2)) - 0.4 * np.exp(-(((distance - 2 * width) / width) ** 2))
    return Damage(height=(-strength * pressure[nearest] * groove).astype(np.float32))


def crack(size: int, strength: float, rng: np.random.Generator) -> Damage:
    """A jagged dark line with branches; strength: the share of light that is lost in it, 0 to 1."""
    heading = rng.uniform(0, 2 * np.pi)
    steps = int(rng.integers(14, 36))
    trunk = _walk(np.zeros(2), heading, steps, rng)
    trunk += _place(rng) - trunk[len(trunk) // 2]
    paths, widths = [trunk], [np.linspace(1.0, 0.5, len(trunk))]
    for _ in range(rng.integers(1, 4)):
        start = int(rng.integers(len(trunk) // 5, len(trunk) * 4 // 5))
        turn = rng.choice((-1, 1)) * rng.uniform(0.5, 1.1)
        branch = _walk(trunk[start], heading + turn, int(rng.integers(4, steps // 2)), rng)
        paths.append(branch)
        widths.append(np.linspace(0.75, 0.4, len(branch)))
    distance, nearest = _distance(np.concatenate(paths), size, 4.0)
    width = rng.uniform(0.8, 1.2) * np.concatenate(widths)[nearest]
    gap = (np.exp(-((distance / width) ** 2)) * (width > 0)).astype(np.float32)
    # No light comes back from the gap, neither scattered nor mirrored.
    return Damage(albedo=1 - np.float32(strength) * gap, gloss=1 - np.float32(strength) * gap)


def pit(size: int, strength: float, rng: np.random.Generator) -> Damage:
    """One to five round depressions close together; strength: depth over radius."""
    y, x = grid(size)
    height, shade = np.zeros_like(y), np.ones_like(y)
    place = _place(rng)
    for _ in range(rng.integers(1, 6)):
        centre = place + rng.normal(0.0, 12.0, 2)
        radius = rng.uniform(1.8, 4.5)
        squared = ((y - centre[0]) ** 2 + (x - centre[1]) ** 2) / radius**2
        bowl = np.maximum(1 - squared, 0).astype(np.float32)
        height -= np.float32(strength * radius) * bowl**1.5
        shade *= 1 - np.float32(min(0.5 * strength, 0.9)) * bowl  # its walls shadow it
    return Damage(height=height, albedo=shade, gloss=shade)


def stain(size: int, strength: float, rng: np.random.Generator) -> Damage:
    """A dried blotch with a darker rim; strength: the share of scattered light that it swallows, 0 to 1."""
    inside = _blotch(size, rng.uniform(16.0, 42.0), rng.uniform(0.6, 1.0), 0.3, rng)
    film = np.clip(inside / np.float32(0.25), 0, 1)
    rim = np.exp(-(((inside - np.float32(0.18)) / np.float32(0.12)) ** 2)) * film
    opacity = np.float32(strength) * (np.float32(0.7) * film + np.float32(0.6) * rim)
    return Damage(albedo=1 - opacity, gloss=1 - opacity)


def dent(size: int, strength: float, rng: np.random.Generator) -> Damage:
    """A broad shallow depression or bulge; strength: its steepest slope."""
    radius = rng.uniform(14.0, 38.0)
    inside = _blotch(size, radius, rng.uniform(0.6, 1.0), 0.12, rng)
    bowl = 1 - (1 - np.clip(inside, 0, 1)) ** 2  # 1 - r^2 for the distance r from the centre
    depth = strength * radius / 1.54  # the steepest slope of (1 - r^2)^2 is 1.54
    return Damage(height=np.float32(-depth * rng.choice((-1, 1, 1))) * bowl**2)


def worn(size: int, strength: float, rng: np.random.Generator) -> Damage:
    """A rubbed patch where the texture is missing; strength: the share of marks and grain that is gone, 0 to 1."""
    inside = _blotch(size, rng.uniform(22.0, 44.0), rng.uniform(0.6, 0.95), 0.25, rng)
    rubbed = np.float32(strength) * np.clip(inside / np.float32(0.3), 0, 1)
    return Damage(texture=1 - rubbed, gloss=1 + np.float32(0.3) * rubbed)  # rubbing polishes


def _place(rng: np.random.Generator) -> Points:
    """Where a defect lies (y, x): far enough inside for the larger part of it to be seen."""
    return np.asarray(rng.uniform(0.15, 0.85, 2) * REFERENCE)


def _walk(start: Points, heading: float, steps: int, rng: np.random.Generator) -> Points:
    """A path of straight pieces of some 3 pixels, as a crack runs from grain to grain, (points, 2)."""
    angles = heading + rng.normal(0.0, 0.55, steps) + np.cumsum(rng.normal(0.0, 0.12, steps))
    pieces = rng.uniform(2.0, 4.0, steps)[:, None] * np.column_stack([np.sin(angles), np.cos(angles)])
    corners = np.concatenate([np.zeros((1, 2)), np.cumsum(pieces, axis=0)])
    fine = np.linspace(0, steps, 12 * steps)
    path = np.column_stack([np.interp(fine, np.arange(steps + 1), corners[:, axis]) for axis in (0, 1)])
    return np.asarray(start + path)


def _distance(path: Points, size: int, reach: float) -> tuple[Points, NDArray[np.intp]]:
    """Distance of every pixel to `path` (infinite beyond `reach`), and which of its points is the nearest."""
    pixels = np.stack(grid(size), axis=-1).astype(np.float64)
    distance, nearest = cKDTree(path).query(pixels, distance_upper_bound=reach)
    return np.asarray(distance), np.minimum(nearest, len(path) - 1)  # the tree says len(path) where there is none


def _blotch(size: int, radius: float, roundness: float, roughness: float, rng: np.random.Generator) -> Map:
    """Depth inside an irregular ellipse: 1 in the middle, 0 on its outline, negative outside, (size, size)."""
    y, x = grid(size)
    centre, angle = _place(rng), rng.uniform(0, np.pi)
    along = np.cos(angle) * (x - centre[1]) + np.sin(angle) * (y - centre[0])
    across = (np.cos(angle) * (y - centre[0]) - np.sin(angle) * (x - centre[1])) / roundness
    r = np.sqrt(along**2 + across**2) / radius
    uneven = np.float32(roughness) * cloud(size, radius / 4, rng) * np.clip(r, 0, 1)
    return np.asarray(1 - r + uneven * (r < 1.6), dtype=np.float32)
