"""A ground metal surface and its photograph: height map, light, camera.

The height map is that of surface grinding: marks along one direction (correlated over some 70 pixels along
and 1 across), the wheel's feed every 27 pixels, isotropic grain, and a slow form. It is shaded by Lambert's
law and by Blinn's highlight (Models of light reflection for computer synthesized pictures, SIGGRAPH 1977).
Lengths are pixels of a photograph of 256 x 256 and scale with its size; heights are in the same pixels, so
that gradients are slopes; grey values are relative to full scale. Maps are float32 of shape (size, size).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.fft import irfft2
from scipy.ndimage import gaussian_filter

Map = NDArray[np.float32]

REFERENCE = 256  # pixels: the size of photograph in whose pixels all lengths are given
LAMP = 1200.0  # reference pixels from the middle of the part to the lamp


def grid(size: int) -> tuple[Map, Map]:
    """Return y and x of every pixel in reference pixels, 0 to 256, each (size, size)."""
    steps = (np.arange(size, dtype=np.float32) + np.float32(0.5)) * np.float32(REFERENCE / size)
    y, x = np.meshgrid(steps, steps, indexing="ij")
    return y, x


def frequencies(size: int, angle: float = 0.0) -> tuple[Map, Map]:
    """Return cycles per reference pixel across and along `angle` (radians), each (size, size // 2 + 1)."""
    scale = size / REFERENCE
    v = np.fft.fftfreq(size)[:, None] * scale
    u = np.fft.rfftfreq(size)[None, :] * scale
    across = np.cos(angle) * v - np.sin(angle) * u
    along = np.cos(angle) * u + np.sin(angle) * v
    return across.astype(np.float32), along.astype(np.float32)


def filtered_noise(weights: Map, rng: np.random.Generator) -> Map:
    """Return Gaussian noise, mean 0 and rms 1, whose amplitude spectrum is `weights`, (size, size // 2 + 1)."""
    size = len(weights)
    white = rng.standard_normal((size, 2 * weights.shape[1]), dtype=np.float32).view(np.complex64)
    white *= weights
    white[0, 0] = 0  # no mean
    noise = np.asarray(irfft2(white, s=(size, size)), dtype=np.float32)
    return np.asarray(noise / noise.std())


def cloud(size: int, length: float, rng: np.random.Generator) -> Map:
    """Return isotropic noise, rms 1, smooth below `length` and of all scales above it, up to the whole image."""
    across, along = frequencies(size)
    squared = across**2 + along**2
    return filtered_noise(np.exp(-squared * np.float32(length) ** 2) / (squared + np.float32(1e-4)), rng)


@dataclass(frozen=True)
class Surface:
    """One part: everything that differs from part to part and belongs to the metal.

    `texture` are the heights of grinding marks and grain, which wear can take away, `form` those of the feed and of
    the slow form; `albedo` is the share of light that is scattered, `gloss` the strength of the highlight.

    Example:
        >>> Surface.draw(np.random.default_rng(0), 128).texture.shape
        (128, 128)
    """

    texture: Map
    form: Map
    albedo: Map
    gloss: Map

    @classmethod
    def draw(cls, rng: np.random.Generator, size: int) -> "Surface":
        """Draw a part of the series."""
        angle = rng.normal(0.0, 0.025)  # rad: how the part lies; the marks run from left to right
        across, along = frequencies(size, angle)
        length, width = rng.normal(70.0, 9.0), rng.normal(1.2, 0.15)
        spectrum = 1 / (1 + (2 * np.pi * length * along) ** 2)
        spectrum *= across**2 / (across**2 + np.float32(0.04**2))  # the slow form is drawn below
        spectrum /= 1 + (2 * np.pi * width * across) ** 2
        marks = filtered_noise(spectrum.astype(np.float32), rng)
        # Single grains stick out of the wheel: healthy parts have a few deep, straight marks too.
        marks -= np.float32(rng.uniform(0.5, 1.1)) * np.maximum(-marks - np.float32(1.9), 0)
        marks *= np.float32(rng.normal(0.11, 0.011)) * (1 + np.float32(0.15) * cloud(size, 30.0, rng))
        grain = filtered_noise((across**2 + along**2 + np.float32(0.05**2)) ** -0.6, rng)
        texture = marks + np.float32(rng.normal(0.045, 0.006)) * grain

        y, x = grid(size)
        lanes = np.float32(np.cos(angle)) * y - np.float32(np.sin(angle)) * x
        lanes = lanes / np.float32(rng.normal(27.0, 0.6)) + np.float32(0.06) * cloud(size, 40.0, rng)
        lanes = lanes + np.float32(rng.uniform())  # where the part lies
        form = np.float32(rng.normal(0.13, 0.03)) * np.sin(np.float32(2 * np.pi) * lanes)
        form += np.float32(rng.normal(0.3, 0.06)) * cloud(size, 25.0, rng)

        shade = rng.normal(0.42, 0.012)
        albedo = np.float32(shade) * (1 + np.float32(rng.uniform(0.008, 0.02)) * cloud(size, 12.0, rng))
        gloss = np.float32(rng.normal(0.42, 0.03)) * (1 + np.float32(rng.uniform(0.02, 0.06)) * cloud(size, 20.0, rng))
        return cls(texture, form, albedo, gloss)


@dataclass(frozen=True)
class Shot:
    """One exposure: light and camera, which know nothing of the part.

    `light` is the place of the lamp in reference pixels from the image's centre (y, x, height), `exposure`
    a factor, `tint` the white balance (red, green, blue), `centre` the lens's axis (y, x) in reference
    pixels, `vignetting` the loss of light at 128 pixels from it, `blur` of the lens in reference pixels.

    Example:
        >>> round(Shot.draw(np.random.default_rng(0)).exposure, 1)
        1.0
    """

    light: tuple[float, float, float]
    exposure: float
    tint: tuple[float, float, float]
    centre: tuple[float, float]
    vignetting: float
    blur: float

    @classmethod
    def draw(cls, rng: np.random.Generator) -> "Shot":
        """Draw the light and the camera of one photograph."""
        azimuth, elevation = rng.normal(1.15, 0.08), rng.normal(0.95, 0.03)  # rad: from above, a little from the left
        return cls(
            light=(
                float(-LAMP * np.cos(elevation) * np.sin(azimuth)),
                float(-LAMP * np.cos(elevation) * np.cos(azimuth)),
                float(LAMP * np.sin(elevation)),
            ),
            exposure=float(np.exp(rng.normal(0.0, 0.035))),
            tint=(float(rng.normal(1.01, 0.004)), 1.0, float(rng.normal(0.985, 0.006))),
            centre=(float(rng.normal(128.0, 4.0)), float(rng.normal(128.0, 4.0))),
            vignetting=float(rng.normal(0.11, 0.01)),
            blur=float(rng.uniform(0.55, 0.75)),
        )

    def take(self, surface: Surface) -> NDArray[np.float32]:
        """Return the photograph without the sensor's noise, grey values of (size, size, 3), 1 = full scale."""
        size = len(surface.form)
        y, x = grid(size)
        slope_y, slope_x = np.gradient(surface.texture + surface.form, np.float32(REFERENCE / size))
        normal = 1 / np.sqrt(1 + slope_y**2 + slope_x**2)
        to_y = np.float32(self.light[0] + REFERENCE / 2) - y
        to_x = np.float32(self.light[1] + REFERENCE / 2) - x
        to_z = np.float32(self.light[2])
        distance = np.sqrt(to_y**2 + to_x**2 + to_z**2)
        light_y, light_x, light_z = to_y / distance, to_x / distance, to_z / distance
        lambert = np.maximum(normal * (light_z - slope_y * light_y - slope_x * light_x), 0)
        half = 1 / np.sqrt(light_y**2 + light_x**2 + (1 + light_z) ** 2)  # the camera looks from straight above
        facing = np.maximum(normal * half * (1 + light_z - slope_y * light_y - slope_x * light_x), 0)
        highlight = facing**24
        falloff = (np.float32(LAMP) / distance) ** 2
        grey = falloff * (surface.albedo * lambert + surface.gloss * highlight)
        radius = ((y - np.float32(self.centre[0])) ** 2 + (x - np.float32(self.centre[1])) ** 2) / np.float32(128**2)
        grey = grey * (1 - np.float32(self.vignetting) * radius) * np.float32(self.exposure)
        grey = gaussian_filter(grey, self.blur * size / REFERENCE)
        return np.asarray(grey[:, :, None] * np.array(self.tint, dtype=np.float32))


def sensor_noise(photograph: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    """Return the noise of a sensor in this light, (size, size, 3): of the photons, and of reading them out."""
    deviation = np.sqrt(np.float32(1.5e-4) * np.maximum(photograph, 0) + np.float32(1.6e-5))
    return np.asarray(deviation * rng.standard_normal(photograph.shape, dtype=np.float32))
