"""The sound of one mirror-folding motor: what turns, what rattles, and what the housing makes of it.

A DC motor (three-slot commutator) drives a worm, the worm a wheel, a pinion on the wheel's shaft the output
gear. Sound is made in the order domain: the load gives the speed, the speed the shaft's phase, and every
tone is a wavetable read at that phase (`sources`). Times are seconds, frequencies
hertz, amplitudes relative to full scale; signals are float32 of shape (samples,).
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.fft import irfft
from scipy.signal import butter, lfilter, oaconvolve, sosfilt

from endline.simulation.sound.sources import Signal, decibel, decibels, table_entries, wavetable

MotionName = Literal["fold", "unfold"]

CONTROL_STEP = 1e-3  # s: load, speed and envelopes are computed on this grid
COAST = 0.2  # s rendered after the current is off: the rotor runs out, the housing rings out
WHEEL_TEETH = 25  # one-start worm: shaft turns per turn of the wheel
PINION_TEETH = 11  # second stage: tooth meshes per turn of the wheel
# The design's housing modes: hertz, quality factor, gain. Units scatter around them.
MODES = (
    (340.0, 9.0, 1.2), (690.0, 14.0, 1.5), (1420.0, 16.0, 1.8), (2350.0, 18.0, 1.6), (3900.0, 16.0, 1.6),
    (5050.0, 22.0, 3.0), (7300.0, 18.0, 2.2), (10300.0, 40.0, 4.5),
)  # fmt: skip


@dataclass(frozen=True)
class Motor:
    """One unit: everything that differs from motor to motor and stays during its recording.

    `side` is +1 (left mirror) or -1 (right): the worm's thrust turns round with it, so that the two motions
    exchange a little of their loads. `droop` is the relative speed lost at load 1, `spin_up` the time
    constant of the rotor in seconds, `gain` the microphone's, `housing` the impulse response, (taps,).

    Example:
        >>> Motor.draw(np.random.default_rng(0), 44_100).sample_rate
        44100
    """

    side: int
    shaft_hz: float
    droop: float
    spin_up: float
    gain: float
    friction: float
    eccentricity: float
    housing: Signal
    sample_rate: int

    @classmethod
    def draw(cls, rng: np.random.Generator, sample_rate: int) -> "Motor":
        """Draw a unit of the series."""
        return cls(
            side=int(rng.choice((-1, 1))),
            shaft_hz=float(rng.normal(113.0, 2.0)),
            droop=float(rng.normal(0.1, 0.01)),
            spin_up=float(rng.normal(0.022, 0.003)),
            gain=4.2e-4 * decibel(1.0, rng),
            friction=0.5 * decibel(1.2, rng),
            eccentricity=float(rng.uniform(0.05, 0.2)),
            housing=_housing(rng, sample_rate),
            sample_rate=sample_rate,
        )


def _housing(rng: np.random.Generator, sample_rate: int) -> Signal:
    """Impulse response of 40 ms: the direct sound and the decaying modes, the modes spread by 1.5 %."""
    time = np.arange(int(0.04 * sample_rate)) / sample_rate
    response = np.zeros_like(time)
    response[0] = 0.6
    for hertz, quality, gain in MODES:
        frequency = hertz * rng.normal(1.0, 0.015)
        decay = quality * rng.normal(1.0, 0.08) / (np.pi * frequency)
        amplitude = gain * decibel(1.5, rng) * 2 / (decay * sample_rate)  # peak of the response = gain
        if frequency < 0.45 * sample_rate:
            response += amplitude * np.exp(-time / decay) * np.sin(2 * np.pi * frequency * time)
    # A part of this size radiates no bass.
    response = np.asarray(sosfilt(butter(1, 80, "highpass", fs=sample_rate, output="sos"), response))
    if sample_rate > 32000:  # plastic cover and microphone let little through above 13 kHz
        response = np.asarray(sosfilt(butter(3, 13000, fs=sample_rate, output="sos"), response))
    return response.astype(np.float32)


@dataclass(frozen=True)
class Motion:
    """One fold or unfold of a motor: `load`, `phase` (shaft turns) and `speed` (1 = no load) on `time`.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> Motion.run(Motor.draw(rng, 44_100), "fold", 2.0, rng).name
        'fold'
    """

    name: MotionName
    duration: float
    time: NDArray[np.float64]
    load: NDArray[np.float64]
    speed: NDArray[np.float64]
    phase: NDArray[np.float64]

    @classmethod
    def run(cls, motor: Motor, name: MotionName, duration: float, rng: np.random.Generator) -> "Motion":
        """Drive the motor for `duration` seconds against the motion's load and let it coast."""
        time = np.arange(0.0, duration + COAST, CONTROL_STEP)
        part = time / duration
        leave, arrive, linkage = (0.25, 0.55, 0.30) if name == "fold" else (0.1, 0.40, -0.18)
        load = 0.4 * decibel(1.0, rng) + leave * decibel(1.0, rng) * np.exp(-((part / 0.07) ** 2))
        load = load + arrive * decibel(1.0, rng) * np.exp(-(((part - 1) / 0.045) ** 2))  # end detent
        load += (linkage + 0.04 * motor.side) * np.sin(np.pi * np.clip(part, 0, 1))  # gravity on the linkage
        load *= 1 - np.exp(-((time / 0.14) ** 4))  # backlash: the rotor runs free for some 0.14 s
        wow = lfilter([0.02], [1, -0.98], rng.normal(0, 0.02, len(time)))
        target = np.where(time < duration, 1 - motor.droop * load + wow, 0.0)
        step = 1 - np.exp(-CONTROL_STEP / motor.spin_up)  # rotor inertia against back-EMF: first order
        speed = np.asarray(lfilter([step], [1, step - 1], target))
        phase = np.cumsum(speed) * motor.shaft_hz * CONTROL_STEP + rng.uniform(0, WHEEL_TEETH)
        return cls(name, duration, time, load, speed, phase)

    def at_audio_rate(self, values: NDArray[np.float64], sample_rate: int) -> NDArray[np.float64]:
        """Interpolate values on `time` to the audio rate, (samples,)."""
        count = int((self.duration + COAST) * sample_rate)
        return np.asarray(np.interp(np.arange(count) / sample_rate, self.time, values))


def excite(motor: Motor, motion: Motion, rng: np.random.Generator) -> Signal:
    """Return the forces of a healthy motion, (samples,), before the housing: tones, friction, impacts."""
    rate = motor.sample_rate
    orders = np.arange(1.0, int(0.42 * rate / (1.1 * motor.shaft_hz)) + 1)
    light = 1.6 / (orders + 4.0)
    light[2::3] *= 3.0  # three commutator segments
    light[11::12] *= 1.8  # twelve orders: torque ripple of segments and poles
    if motion.name == "fold":
        light *= np.where(orders % 2 == 0, 1.5, 0.8)  # the worm leans the other way: another pair of flanks
    light *= decibels(2.5, rng, len(orders))
    heavy = light * (1 + 0.8 * orders / (orders + 20.0)) * decibels(1.5, rng, len(orders))
    mesh_orders = np.arange(1.0, int(0.2 * rate / (motor.shaft_hz * PINION_TEETH / WHEEL_TEETH)))
    mesh = decibels(2.0, rng, len(mesh_orders)) * 0.9 / (mesh_orders + 6.0)

    wheel = 2 * np.pi * motion.phase / WHEEL_TEETH  # the wheel's turning gives the meshes their sidebands
    wobble = 1 + motor.eccentricity * np.cos(wheel + rng.uniform(0, 2 * np.pi))
    power = np.abs(motion.speed) ** 1.5 * wobble
    phase = motion.at_audio_rate(motion.phase, rate)
    load = motion.at_audio_rate(motion.load, rate).astype(np.float32)
    tones = motion.at_audio_rate(power, rate).astype(np.float32)
    shaft, teeth = table_entries(phase), table_entries(phase * (PINION_TEETH / WHEEL_TEETH))
    unloaded = wavetable(light, rng)
    loaded = wavetable(heavy, rng) - np.float32(0.5) * unloaded
    sound = unloaded[shaft] + load * loaded[shaft]
    sound += (np.float32(0.4) + load) * wavetable(mesh, rng)[teeth]
    rub = decibels(2.0, rng, 3) * np.array((0.25, 0.1, 0.12))  # friction swells once a shaft turn, mostly
    noise = rng.standard_normal(len(phase), dtype=np.float32)
    noise *= (np.float32(0.6) + load) * (np.float32(motor.friction) * (1 + wavetable(rub, rng)))[shaft]
    sound += noise
    sound *= tones
    # Brushes and backlash at the start, the end stop at the end: every healthy unit has both.
    for _ in range(2):
        impact(sound, rate, rng.uniform(0.0, 0.1), 11.0 * decibel(3.0, rng), rng.uniform(0.003, 0.008), rng)
    stop = motion.duration - rng.uniform(0.0, 0.02)
    impact(sound, rate, stop, 11.0 * decibel(3.0, rng), rng.uniform(0.006, 0.014), rng)
    return sound


def impact(sound: Signal, rate: int, at: float, peak: float, decay: float, rng: np.random.Generator) -> None:
    """Add a decaying burst of noise to `sound`, in place, `at` seconds from its start; short = bright."""
    time = np.arange(int(6 * decay * rate)) / rate
    burst = peak * np.exp(-time / decay) * rng.standard_normal(len(time))
    smooth = np.exp(-1 / (rate * decay / 40))  # the longer the contact, the duller the blow
    burst = np.asarray(lfilter([1 - smooth], [1, -smooth], burst))
    first = int(at * rate)
    last = min(first + len(burst), len(sound))
    sound[first:last] += burst[: last - first].astype(np.float32)


def radiate(motor: Motor, force: Signal) -> Signal:
    """Return what the microphone hears of the forces, (samples,): housing response and gain."""
    heard = oaconvolve(force, motor.housing)[: len(force)]
    fade = int(0.02 * motor.sample_rate)  # the tail ends in the room noise, without a step
    heard[-fade:] *= np.linspace(1, 0, fade, dtype=np.float32)
    return (motor.gain * heard).astype(np.float32)


def room_noise(count: int, sample_rate: int, rng: np.random.Generator) -> Signal:
    """Return `count` samples of a quiet room: pink noise and mains hum (60 Hz), drawn anew per recording."""
    shape = _room_shape(count, sample_rate)
    spectrum = rng.standard_normal(2 * len(shape), dtype=np.float32).view(np.complex64)
    spectrum *= shape * np.float32(1.0e-4 * decibel(0.8, rng))
    for order, amplitude in ((1, 4e-5), (2, 3e-5), (3, 2e-5)):
        turn = np.exp(2j * np.pi * rng.uniform())
        spectrum[round(60 * order * count / sample_rate)] += amplitude * decibel(3.0, rng) * turn * count / 2
    return np.asarray(irfft(spectrum, count), dtype=np.float32)


@lru_cache(maxsize=4)
def _room_shape(count: int, sample_rate: int) -> Signal:
    """Spectral weights of the room noise, scaled so that white complex normals become noise of rms 1."""
    hertz = np.fft.rfftfreq(count, 1 / sample_rate)
    power = (1 / np.maximum(hertz, 20.0) + 4e-5) * (hertz > 10)  # pink, and the microphone's white floor
    return np.asarray(np.sqrt(power * count**2 / (4 * power.sum())), dtype=np.float32)
