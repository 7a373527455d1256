"""Fan, gearbox, bearing and toy car: what turns, meshes, rolls and blows, and what a fault does to it.

Each function returns the sound of a `Run` near the machine, float32 of (count,), rms about 1 where healthy. The
frequencies of bearing defects follow from its geometry: with n balls of diameter d on a circle D, the outer race is
passed n/2 (1 - d/D) times a turn, the inner race n/2 (1 + d/D) times (Randall and Antoni 2011, section 2).
"""

import numpy as np

from endline.simulation.sound.machine_run import RATE, Run
from endline.simulation.sound.sources import (
    Colour,
    Signal,
    blows,
    coloured_noise,
    decibel,
    decibels,
    heard,
    passings,
    swing,
    table_entries,
    turning,
    wavetable,
)

FAN_SPEEDS = {"W": 19.5, "X": 21.0, "Y": 24.0, "Z": 26.0}  # turns a second; the letter also names the neighbour
BLADES = 7
GEAR_TEETH = 23
OUTER_RACE, INNER_RACE = 3.6, 5.4  # passings a turn: 9 balls, d/D = 0.2
CAR_PINION, CAR_RATIO = 9, 4.0  # teeth on the motor's shaft, and its turns per turn of the wheels

FLOW: Colour = ((60, -8), (250, 0), (900, -6), (2500, -16), (8000, -34))
STALL: Colour = ((30, 0), (150, -2), (400, -14), (8000, -50))
ROLLING: Colour = ((100, -18), (600, -8), (1800, 0), (3200, -4), (8000, -20))
GRINDING: Colour = ((200, -24), (1200, -6), (3000, 0), (6000, -4), (8000, -14))
TYRES: Colour = ((80, -6), (400, 0), (1500, -8), (4000, -18), (8000, -30))


def fan(run: Run) -> Signal:
    """Rotation harmonics, blade passing and flow noise.

    Faults: `unbalance` swings level and blade passing once a turn; `clogged` stalls the flow, which rumbles, and lets
    the lighter motor run faster; `loose_guard` rattles once in most turns.
    """
    part, rng, count = run.of_part("fan"), run.chance, run.count
    unbalance, clogged, loose = (run.strength_of(fault) for fault in ("unbalance", "clogged", "loose_guard"))
    speed = FAN_SPEEDS[run.condition["m-n"]]
    phase = turning(speed * (1 + 0.05 * clogged), count, RATE, 0.004, rng)
    orders = np.arange(1.0, 12 * BLADES + 1)
    tones = 0.35 / (orders + 2) * decibels(3.0, part, len(orders))
    tones[BLADES - 1 :: BLADES] *= 9 * (1 - 0.3 * clogged)
    blades = wavetable(tones, part) * np.float32(decibel(1.0, rng))
    once = 1 + unbalance * swing(phase + part.uniform())
    flow = coloured_noise(FLOW, count, RATE, rng) * (1 + 0.3 * swing(BLADES * phase))
    sound = (speed / 22) ** 2.5 * once * (blades[table_entries(phase)] + decibel(0.8, rng) * 0.8 * flow)
    if unbalance:
        sound += 0.5 * unbalance * swing(phase)
    if clogged:
        sound += 1.2 * clogged * coloured_noise(STALL, count, RATE, run.fault_chance)
    if loose:
        turns = passings(phase, run.fault_chance.uniform())
        peaks = run.fault_chance.exponential(1.0, len(turns)) * (run.fault_chance.uniform(size=len(turns)) < 0.8)
        sound += heard(blows(turns, 5 * loose * peaks, count), run.structure("guard", 1100, 4200, 35))
    return np.asarray(sound, dtype=np.float32)


def gearbox(run: Run) -> Signal:
    """Gear mesh with sidebands at the shaft's rate, and the motor; voltage sets the speed, weight the load.

    Faults: `worn` teeth run out of round, so that the mesh has more sidebands; a `chipped` tooth strikes once a turn;
    a `dry` mesh grinds.
    """
    part, rng, count = run.of_part("gearbox"), run.chance, run.count
    worn, chipped, dry = (run.strength_of(fault) for fault in ("worn", "chipped", "dry"))
    load = run.number("wt") / 100
    shaft = turning(11.0 * run.number("volt") * (1 - 0.06 * load), count, RATE, 0.004, rng)
    mesh = 1 / (np.arange(1.0, 10) + 0.5) * decibels(3.0, part, 9)
    teeth = wavetable(mesh, part)
    motor = wavetable(0.3 / (np.arange(1.0, 41) + 3) * decibels(3.0, part, 40), part)
    eccentric = swing(shaft + part.uniform())
    lead = 0.02 * worn * swing(shaft + run.fault_chance.uniform())  # turns of the mesh by which teeth come early
    depth = 1 + (0.15 + 0.5 * worn) * eccentric + 0.25 * worn * swing(2 * shaft)
    sound = (0.5 + 0.4 * load) * decibel(1.0, rng) * depth * teeth[table_entries(GEAR_TEETH * shaft + 4 * lead)]
    sound += motor[table_entries(3 * shaft)]
    sound += 0.35 * decibel(1.0, rng) * coloured_noise(ROLLING, count, RATE, rng)
    if chipped:
        turns = passings(shaft, run.fault_chance.uniform())
        peaks = 3.5 * chipped * decibels(2.0, run.fault_chance, len(turns))
        sound += heard(blows(turns, peaks, count), run.structure("housing", 700, 3600, 25))
    if dry:
        grinding = coloured_noise(GRINDING, count, RATE, run.fault_chance)
        sound += 0.8 * dry * grinding * (1 + 0.6 * swing(GEAR_TEETH * shaft))
    return np.asarray(1.7 * sound, dtype=np.float32)


def bearing(run: Run) -> Signal:
    """Shaft harmonics and rolling noise, at `vel` turns a second; `loc` is where the microphone stands.

    Faults: `outer_race` and `inner_race` strike the housing's resonance as often as balls pass the defect, with some
    slip, the inner one louder while it turns through the load; a `dry` bearing hisses in swells.
    """
    part, rng, count = run.of_part("bearing"), run.chance, run.count
    dry = run.strength_of("dry")
    speed = run.number("vel")
    shaft = turning(speed, count, RATE, 0.003, rng)
    tones = wavetable(0.8 / (np.arange(1.0, 61) + 2) * decibels(4.0, part, 60), part)
    swell = 1 + 0.2 * swing(shaft)
    level = (speed / 14) ** 0.7
    sound = decibel(1.0, rng) * tones[table_entries(shaft)]
    sound += 0.8 * level * decibel(1.0, rng) * coloured_noise(ROLLING, count, RATE, rng) * swell
    housing = run.structure("housing", 2400, 4600, 22)
    sound += heard(0.15 * level * rng.standard_normal(count, dtype=np.float32), housing)
    for fault, passes in (("outer_race", OUTER_RACE), ("inner_race", INNER_RACE)):
        strength = run.strength_of(fault)
        if strength:
            balls = turning(passes * speed, count, RATE, 0.006, run.fault_chance)
            at = passings(balls)
            slip = run.fault_chance.normal(0, 0.01 * RATE / (passes * speed), len(at))
            at = at + np.round(slip).astype(np.int64)
            peaks = level * strength * decibels(2.0, run.fault_chance, len(at))
            if fault == "inner_race":
                peaks = peaks * (0.55 + 0.45 * swing(shaft)[np.clip(at, 0, count - 1)])
            sound += heard(blows(at, 4.0 * peaks, count), housing)
    if dry:
        slow = 0.6 + 0.4 * swing(0.4 * shaft + run.fault_chance.uniform())  # the cage turns 0.4 times a turn
        sound += 0.8 * level * dry * slow * coloured_noise(GRINDING, count, RATE, run.fault_chance)
    return np.asarray(0.75 * sound, dtype=np.float32)


def toy_car(run: Run) -> Signal:
    """Motor and gear whine of a car on a track with joints; car, voltage (`spd`) and microphone are its attributes.

    Faults: a `bent_shaft` swings load and pitch once a turn of the wheels; a `deformed_gear` strikes once a turn of
    its pinion's wheel; a `flat_wheel` drums on the track.
    """
    part, rng, count = run.of_part(f"car {run.condition['car']}"), run.chance, run.count
    bent, deformed, flat = (run.strength_of(fault) for fault in ("bent_shaft", "deformed_gear", "flat_wheel"))
    lap = turning(run.number("spd") / 90, count, RATE, 0.004, rng)
    bends = 1 + 0.02 * swing(2 * lap).astype(np.float64)  # slower in two of them
    speed = 4.0 * run.number("spd") * bends * part.uniform(0.97, 1.03)
    motor = turning(speed, count, RATE, 0.004, rng)
    wheels = motor / CAR_RATIO
    motor = motor + 0.12 * bent * swing(wheels)
    whine = wavetable(0.5 / (np.arange(1.0, 31) + 3) * decibels(4.0, part, 30), part)
    mesh = wavetable(0.45 / np.arange(1.0, 6) * decibels(3.0, part, 5), part)
    load = 1 + (0.1 + 0.6 * bent) * swing(wheels + part.uniform())
    sound = load * decibel(1.0, rng) * whine[table_entries(motor)]
    sound += load * decibel(1.0, rng) * mesh[table_entries(CAR_PINION * motor)]
    sound += 0.6 * decibel(1.0, rng) * coloured_noise(TYRES, count, RATE, rng)
    body = run.structure("body", 300, 2600, 12)
    force = np.zeros(count, dtype=np.float32)
    for joint in np.sort(part.uniform(size=5)):
        for axle in (0.0, 0.02):  # of the lap, from the front wheels to the rear ones
            at = passings(lap, joint + axle)
            force += blows(at, 3.0 * decibels(2.0, rng, len(at)), count)
    if deformed:
        at = passings(wheels, run.fault_chance.uniform())
        force += blows(at, 2.2 * deformed * decibels(2.0, run.fault_chance, len(at)), count)
    if flat:
        drum = np.maximum(swing(wheels + run.fault_chance.uniform()), 0) ** 6
        sound += 2.0 * flat * drum * coloured_noise(TYRES, count, RATE, run.fault_chance)
    return np.asarray(1.1 * (sound + heard(force, body)), dtype=np.float32)
