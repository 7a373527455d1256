"""The simulated machines: layout and names, what a clip depends on, what conditions and faults do to the sound."""

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
from numpy.typing import NDArray
from scipy.signal import butter, find_peaks, hilbert, sosfiltfilt

from endline.errors import EndlineError
from endline.simulation.sound.linear_machines import PATTERNS
from endline.simulation.sound.machine_audio import MACHINES, Clip, MachineSimulation, clips, simulate, synthesise
from endline.simulation.sound.machine_run import HEALTHY, RATE, Run
from endline.simulation.sound.rotating_machines import (
    BLADES,
    CAR_PINION,
    FAN_SPEEDS,
    GEAR_TEETH,
    INNER_RACE,
    OUTER_RACE,
)
from endline.simulation.sound.sources import Signal

TINY = MachineSimulation(train=1, target=1, normals=1, faulty=1, seconds=3, machines=("fan", "valve"))
NAME = re.compile(
    r"section_00_(?P<domain>source|target)_(?P<part>train|test)_(?P<label>normal|anomaly)_(?P<number>\d{4})"
    r"(?P<attributes>(_[A-Za-z-]+_[A-Za-z0-9.]+)+)\.wav"
)
Values = NDArray[np.float64]


def sound(
    machine: str, condition: dict[str, str], fault: str = HEALTHY, strength: float = 0.0, seed: int = 0
) -> Values:
    """The machine alone, without a room and noise; the same seed is the same run, with and without the fault."""
    run_chance, fault_chance = np.random.default_rng(seed).spawn(2)
    run = Run(condition, 6 * RATE, (0, 7), run_chance, fault_chance, fault, strength)
    return MACHINES[machine].sound(run).astype(np.float64)


def band(signal: Values, low: float, high: float) -> Values:
    return np.asarray(sosfiltfilt(butter(4, [low, high], "bandpass", fs=RATE, output="sos"), signal))


def level(signal: Values, low: float, high: float) -> float:
    return float(10 * np.log10(np.mean(band(signal, low, high) ** 2)))


def line(signal: Values, hertz: float, tolerance: float = 0.03) -> float:
    """Height of the strongest line about `hertz` above the median of the spectrum around it, as a factor."""
    spectrum = np.abs(np.fft.rfft((signal - signal.mean()) * np.hanning(len(signal))))
    grid = np.fft.rfftfreq(len(signal), 1 / RATE)
    near = np.abs(grid / hertz - 1) < tolerance
    around = np.abs(grid / hertz - 1) < 0.5
    return float(spectrum[near].max() / np.median(spectrum[around]))


def strongest(signal: Values, low: float, high: float) -> float:
    """Frequency of the strongest line between two frequencies, in hertz."""
    spectrum = np.abs(np.fft.rfft(signal * np.hanning(len(signal))))
    grid = np.fft.rfftfreq(len(signal), 1 / RATE)
    inside = (grid > low) & (grid < high)
    return float(grid[inside][np.argmax(spectrum[inside])])


def envelope(signal: Values, low: float, high: float) -> Values:
    return np.asarray(np.abs(hilbert(band(signal, low, high))))


def clicks(signal: Values) -> NDArray[np.int64]:
    """Samples of the loud short events of a valve."""
    loud = np.convolve(envelope(signal, 1000, 7500), np.ones(64) / 64, "same")
    at, _ = find_peaks(loud, height=0.2 * loud.max(), distance=int(0.05 * RATE))
    return np.asarray(at)


def files_of(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


@pytest.fixture(scope="module")
def every() -> list[tuple[Clip, Signal]]:
    """Some clips of every machine, with every fault in both domains."""
    settings = replace(TINY, faulty=3, machines=tuple(MACHINES))
    return [(clip, synthesise(clip, settings)) for clip in clips(settings)]


def test_clips_are_neither_silent_nor_clipped(every: list[tuple[Clip, Signal]]) -> None:
    for clip, heard in every:
        assert heard.dtype == np.float32, clip
        assert heard.shape == (3 * RATE,), clip
        assert np.abs(heard).max() < 0.9, clip
        assert 0.002 < np.sqrt(np.mean(heard**2)) < 0.06, clip
        parts = heard.reshape(30, -1)
        assert np.sqrt(np.mean(parts**2, axis=1)).min() > 3e-4, clip


def test_every_machine_has_two_to_four_faults_and_all_are_dealt(every: list[tuple[Clip, Signal]]) -> None:
    for name, machine in MACHINES.items():
        assert 2 <= len(machine.faults) <= 4
        for domain in ("source", "target"):
            dealt = [clip.fault for clip, _ in every if (clip.machine, clip.domain) == (name, domain)]
            assert sorted(fault for fault in dealt if fault != HEALTHY) == sorted(machine.faults)


def test_defaults_are_the_counts_of_dcase() -> None:
    made = pd.DataFrame([(clip.machine, clip.domain, clip.part) for clip in clips(MachineSimulation())])
    counts = made.value_counts().unstack([1, 2])
    assert sorted(counts.index) == sorted(["fan", "gearbox", "bearing", "slider", "valve", "ToyCar"])
    assert set(counts["source", "train_normal"]) == {100}
    assert set(counts["target", "train_normal"]) == {10}
    assert (counts.drop(columns=[("source", "train_normal"), ("target", "train_normal")]) == 30).all().all()


def test_names_tell_the_condition_and_nothing_of_the_fault() -> None:
    made = list(clips(MachineSimulation()))
    assert len({clip.path for clip in made}) == len(made)
    for clip in made:
        machine, folder, name = clip.path.split("/")
        parsed = NAME.fullmatch(name)
        assert parsed is not None, name
        assert (machine, parsed["domain"], parsed["part"]) == (clip.machine, clip.domain, folder)
        assert (parsed["label"] == "anomaly") == (clip.fault != HEALTHY)
        words = parsed["attributes"][1:].split("_")
        assert dict(zip(words[::2], words[1::2], strict=True)) == clip.condition
        assert clip.fault not in name.replace("_normal_", "") or clip.fault == HEALTHY


def test_domains_share_no_condition_and_all_conditions_are_trained() -> None:
    for name, machine in MACHINES.items():
        found: dict[str, set[str]] = {"source": set(), "target": set()}
        for clip in clips(MachineSimulation(machines=(name,))):
            if clip.part == "train_normal":
                found[clip.domain].add(str(clip.condition))
        assert not found["source"] & found["target"]
        for domain, conditions in found.items():
            assert conditions == {str(condition) for condition in machine.domains[domain].conditions}


def test_a_clip_does_not_depend_on_how_many_others_are_made() -> None:
    few = {clip.path: clip for clip in clips(TINY)}
    more = replace(TINY, train=7, target=4, normals=5, faulty=8, machines=("gearbox", "valve", "fan"))
    many = {clip.path: clip for clip in clips(more)}
    assert few.items() <= many.items()
    path = "valve/test/" + min(clip.path for clip in few.values() if "valve/test" in clip.path).split("/")[-1]
    np.testing.assert_array_equal(synthesise(few[path], TINY), synthesise(many[path], more))


def test_later_numbers_are_other_clips_of_the_same_machines() -> None:
    few = MachineSimulation(train=2, target=1, normals=1, faulty=1, seconds=3, machines=("fan",))
    later, longer = replace(few, first=2), replace(few, train=4)
    assert {clip.number for clip in clips(later)} == {2, 3}
    (clip,) = [each for each in clips(later) if each.part == "train_normal" and each.number == 3]
    np.testing.assert_array_equal(synthesise(clip, later), synthesise(clip, longer))
    assert {each.path for each in clips(few)}.isdisjoint(each.path for each in clips(later))


def test_a_clip_comes_back_from_its_seed_and_differs_from_all_others() -> None:
    first, second = list(clips(replace(TINY, train=2)))[:2]
    np.testing.assert_array_equal(synthesise(first, TINY), synthesise(first, TINY))
    again = replace(second, condition=first.condition)
    assert not np.array_equal(synthesise(first, TINY), synthesise(again, TINY))
    assert not np.array_equal(synthesise(first, TINY), synthesise(first, replace(TINY, seed=1)))
    tested = replace(first, part="test_normal")
    assert not np.array_equal(synthesise(first, TINY), synthesise(tested, TINY))


def test_a_fault_leaves_the_noise_and_the_rest_of_the_run_as_they_are() -> None:
    clip = next(clip for clip in clips(TINY) if clip.machine == "valve" and clip.part == "test_anomaly")
    healthy = synthesise(replace(clip, fault=HEALTHY), TINY)
    added = synthesise(replace(clip, fault="leak"), TINY) - healthy
    assert 0 < np.mean(added**2) < np.mean(healthy**2)
    assert abs(np.corrcoef(added, healthy)[0, 1]) < 0.1  # a noise of its own, not another draw of the same


def test_noise_is_as_far_below_the_machine_as_the_domain_says() -> None:
    for name, machine in MACHINES.items():
        for domain in machine.domains.values():
            around = domain.surroundings
            noise = around.noise(3 * RATE, np.random.default_rng(0))
            snr = -10 * np.log10(np.mean(noise.astype(np.float64) ** 2))
            assert around.snr[0] - 0.01 < snr < around.snr[1] + 0.01
            for condition in domain.conditions:
                assert 0.5 < np.std(sound(name, dict(condition))) < 2.0, (name, condition)


def test_domains_differ_more_than_clips_of_a_domain() -> None:
    settings = MachineSimulation(train=4, target=4, normals=0, faulty=0, seconds=3)
    for name in MACHINES:
        spectra: dict[str, list[Values]] = {"source": [], "target": []}
        for clip in clips(replace(settings, machines=(name,))):
            heard = synthesise(clip, settings).astype(np.float64)
            power = np.abs(np.fft.rfft(heard[: 3 * 15 * 1024].reshape(-1, 1024), axis=1)) ** 2
            spectra[clip.domain].append(10 * np.log10(power.mean(axis=0)[1:513].reshape(32, 16).mean(axis=1)))
        source, target = np.array(spectra["source"]), np.array(spectra["target"])
        between = np.abs(source.mean(axis=0) - target.mean(axis=0)).max()
        spread = np.sqrt((source.var(axis=0) + target.var(axis=0)) / 4).mean()
        assert between > 3 * spread, name
        assert between > 2, name  # dB


@pytest.mark.parametrize("letter", ["W", "X", "Y", "Z"])
def test_fan_blades_pass_at_the_speed_of_its_letter(letter: str) -> None:
    passing = BLADES * FAN_SPEEDS[letter]
    assert strongest(sound("fan", {"m-n": letter}), 0.7 * passing, 1.3 * passing) == pytest.approx(passing, rel=0.015)


@pytest.mark.parametrize("volt", ["1.0", "2.0", "3.0"])
def test_voltage_sets_the_mesh_of_the_gearbox_and_weight_its_level(volt: str) -> None:
    free, loaded = (sound("gearbox", {"volt": volt, "wt": weight}) for weight in ("0", "100"))
    mesh = GEAR_TEETH * 11 * float(volt)
    assert line(free, mesh, 0.02) > 20
    assert line(loaded, 0.94 * mesh, 0.02) > 20  # and slows it down
    assert level(loaded, 0.9 * mesh, mesh) > level(free, 0.95 * mesh, 1.05 * mesh) + 2


def test_faster_bearings_and_sliders_are_louder_and_cars_whine_higher() -> None:
    slow, fast = (sound("bearing", {"vel": speed, "loc": "A"}) for speed in ("6", "14"))
    assert level(fast, 500, 7000) > level(slow, 500, 7000) + 3
    slow, fast = (sound("slider", {"vel": speed, "ac": "0.2"}) for speed in ("300", "500"))
    assert level(fast, 500, 7000) > level(slow, 500, 7000) + 2
    for volts in (28, 40):
        car = sound("ToyCar", {"car": "B1", "spd": f"{volts}V", "mic": "2"})
        mesh = 4 * CAR_PINION * volts
        assert strongest(car, 0.8 * mesh, 1.2 * mesh) == pytest.approx(mesh, rel=0.06)


def test_where_the_microphone_stands_is_heard() -> None:
    clip = next(clips(replace(TINY, machines=("bearing",))))
    there = replace(clip, condition={**clip.condition, "loc": "B" if clip.condition["loc"] == "A" else "A"})
    assert not np.allclose(synthesise(clip, TINY), synthesise(there, TINY), atol=1e-4)


@pytest.mark.parametrize("pattern", sorted(PATTERNS))
def test_valve_clicks_in_its_pattern(pattern: str) -> None:
    period, windows = PATTERNS[pattern]
    at = clicks(sound("valve", {"pat": pattern})) / RATE
    expected = 2 * len(windows) * 6 / period
    assert expected - 4 <= len(at) <= expected
    assert np.median(at[2 * len(windows) :] - at[: -2 * len(windows)]) == pytest.approx(period, abs=0.005)


CAR = {"car": "A1", "spd": "28V", "mic": "1"}
TURNING = [  # machine, condition, fault, strength, band in which the envelope beats, rate of the beats in hertz
    ("bearing", {"vel": "10", "loc": "A"}, "outer_race", 1.0, (2000, 6000), OUTER_RACE * 10),
    ("bearing", {"vel": "10", "loc": "A"}, "inner_race", 1.0, (2000, 6000), INNER_RACE * 10),
    ("gearbox", {"volt": "1.5", "wt": "50"}, "chipped", 0.8, (2500, 6000), 16.0),
    ("fan", {"m-n": "W"}, "unbalance", 0.6, (300, 3000), 19.5),
    ("fan", {"m-n": "W"}, "loose_guard", 0.6, (1500, 6000), 19.5),
    ("ToyCar", CAR, "bent_shaft", 1.0, (200, 3000), 28.0),
    ("ToyCar", CAR, "deformed_gear", 1.0, (400, 3000), 28.0),
    ("ToyCar", CAR, "flat_wheel", 1.5, (200, 3000), 28.0),
]


@pytest.mark.parametrize(("machine", "condition", "fault", "strength", "edges", "hertz"), TURNING)
def test_what_turns_beats_at_the_rate_of_its_defect(
    machine: str, condition: dict[str, str], fault: str, strength: float, edges: tuple[float, float], hertz: float
) -> None:
    tolerance = 0.05 if machine == "ToyCar" else 0.02
    healthy = line(envelope(sound(machine, condition), *edges), hertz, tolerance)
    faulty = line(envelope(sound(machine, condition, fault, strength), *edges), hertz, tolerance)
    assert faulty > 6
    assert faulty > 1.5 * healthy


def test_defect_of_the_inner_race_is_louder_under_the_load_once_a_turn() -> None:
    condition = {"vel": "10", "loc": "A"}
    inner = envelope(sound("bearing", condition, "inner_race", 1.0), 2000, 6000)
    outer = envelope(sound("bearing", condition, "outer_race", 1.0), 2000, 6000)
    assert line(inner, 10 * (INNER_RACE - 1), 0.02) > 2 * line(outer, 10 * (OUTER_RACE - 1), 0.02)


def test_worn_teeth_raise_the_sidebands_of_the_mesh() -> None:
    def sideband(strength: float) -> float:
        worn = sound("gearbox", {"volt": "1.0", "wt": "0"}, "worn", strength)
        shaft, mesh = 11.0, 11.0 * GEAR_TEETH
        beside = max(level(worn, mesh + sign * shaft - 4, mesh + sign * shaft + 4) for sign in (-1, 1))
        return beside - level(worn, mesh - 4, mesh + 4)

    assert sideband(1.0) > sideband(0.4) + 1
    assert sideband(0.4) > sideband(0.0) + 3


@pytest.mark.parametrize(
    ("machine", "condition", "fault", "edges"),
    [
        ("gearbox", {"volt": "1.5", "wt": "50"}, "dry", (2000, 7000)),
        ("bearing", {"vel": "10", "loc": "A"}, "dry", (4500, 7500)),
        ("fan", {"m-n": "W"}, "clogged", (25, 110)),
        ("valve", {"pat": "00"}, "leak", (2000, 5000)),
    ],
)
def test_dry_clogged_and_leaking_machines_are_louder_where_it_grinds_rumbles_and_hisses(
    machine: str, condition: dict[str, str], fault: str, edges: tuple[float, float]
) -> None:
    greatest = MACHINES[machine].faults[fault][1]
    levels = [level(sound(machine, condition, fault, strength), *edges) for strength in (0.0, greatest / 2, greatest)]
    assert levels[0] + 0.5 < levels[1] < levels[2] - 0.5
    elsewhere = (600, 900)
    assert (
        abs(
            level(sound(machine, condition, fault, greatest), *elsewhere) - level(sound(machine, condition), *elsewhere)
        )
        < 4
    )


def test_clogged_fan_runs_faster() -> None:
    clogged = sound("fan", {"m-n": "W"}, "clogged", 0.6)
    assert strongest(clogged, 120, 160) == pytest.approx(1.03 * BLADES * 19.5, rel=0.01)


def test_leak_hisses_while_the_valve_is_closed() -> None:
    loudness = [
        np.percentile(
            np.convolve(envelope(sound("valve", {"pat": "00"}, "leak", strength), 2000, 5000), np.ones(800) / 800), 20
        )
        for strength in (0.0, 0.5)
    ]
    assert loudness[1] > 5 * loudness[0]


def test_weak_coil_misses_clicks_and_the_rest_stays() -> None:
    healthy, faulty = sound("valve", {"pat": "00"}), sound("valve", {"pat": "00"}, "weak_coil", 0.4)
    openings = len(clicks(healthy)) // 2
    assert len(clicks(healthy)) - len(clicks(faulty)) == 2 * round(0.4 * openings)
    least = sound("valve", {"pat": "00"}, "weak_coil", 0.01)
    assert len(clicks(healthy)) - len(clicks(least)) == 2  # one at least, else there were no fault


def test_slow_plunger_clicks_late_and_softly() -> None:
    healthy, faulty = sound("valve", {"pat": "00"}), sound("valve", {"pat": "00"}, "slow", 0.5)
    late = clicks(faulty)[:6] - clicks(healthy)[:6]
    assert np.median(late) == pytest.approx(0.06 * 0.5 * RATE, abs=32)
    assert np.abs(faulty).max() < 0.85 * np.abs(healthy).max()


SLIDER = {"vel": "400", "ac": "0.2"}


def added(fault: str, strength: float = 1.0) -> Values:
    return sound("slider", SLIDER, fault, strength) - sound("slider", SLIDER)


def rests() -> NDArray[np.bool_]:
    """Where the slider stands still, some hundredths of a second after its knock."""
    moving = np.convolve(np.abs(band(sound("slider", SLIDER), 2500, 7000)), np.ones(320) / 320, "same")
    return np.asarray(moving < 0.03 * np.median(moving))


def test_stick_slip_jerks_every_few_millimetres_and_only_while_it_moves() -> None:
    jerks = np.abs(added("stick_slip"))
    still = rests()
    assert 0.01 < still.mean() < 0.3
    assert jerks[still].mean() < 0.2 * jerks[~still].mean()
    slower = sound("slider", {"vel": "300", "ac": "0.2"}, "stick_slip", 1.0) - sound(
        "slider", {"vel": "300", "ac": "0.2"}
    )
    assert np.mean(slower**2) < np.mean(jerks**2)  # as many jerks a metre, fewer metres


def test_dent_clicks_once_a_stroke() -> None:
    loud = np.convolve(np.abs(added("dented_rail")), np.ones(160) / 160, "same")
    at, _ = find_peaks(loud, height=0.2 * loud.max(), distance=int(0.1 * RATE))
    stroke = 0.4 / 0.4 + 0.4 / (0.2 * 9.81) + 0.12
    assert abs(len(at) - 6 / stroke) <= 1.5
    assert np.diff(at[::2]) / RATE == pytest.approx(2 * stroke, rel=0.02)  # forth and back again


def test_loose_stop_knocks_at_the_ends() -> None:
    knocks = added("loose_stop") ** 2
    quiet = np.sort(knocks.reshape(-1, 1600).sum(axis=1))
    assert quiet[: int(0.6 * len(quiet))].sum() < 0.01 * quiet.sum()


def test_simulate_writes_the_layout_of_dcase_once(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    folder = simulate(tmp_path / "deep" / "raw", TINY, lambda done, total: seen.append((done, total)))
    assert seen == [(i, 12) for i in range(1, 13)]
    assert files_of(folder) == sorted(
        [clip.path for clip in clips(TINY)] + ["fan/attributes_00.csv", "valve/attributes_00.csv", "simulation.json"]
    )
    info = soundfile.info(folder / files_of(folder)[3])
    assert (info.samplerate, info.channels, info.subtype, info.frames) == (16000, 1, "PCM_16", 48000)
    clip = list(clips(TINY))[4]
    stored, _ = soundfile.read(folder / clip.path, dtype="float32")
    np.testing.assert_allclose(stored, synthesise(clip, TINY), atol=1 / 32768)
    simulate(folder, TINY, lambda done, total: seen.append((done, total)))
    assert len(seen) == 12  # complete: nothing is done again
    assert [path.name for path in folder.parent.iterdir()] == ["raw"]


def test_attributes_match_the_names_and_the_mark_tells_the_faults(tmp_path: Path) -> None:
    settings = replace(TINY, faulty=3, machines=("bearing", "fan"))
    folder = simulate(tmp_path / "raw", settings)
    table = pd.read_csv(folder / "bearing" / "attributes_00.csv", dtype=str)
    assert list(table.columns) == ["file_name", "d1p", "d1v", "d2p", "d2v"]
    assert sorted(table["file_name"]) == [name for name in files_of(folder) if "bearing/t" in name]
    for row in table.itertuples():
        assert str(row.file_name).endswith(f"_{row.d1p}_{row.d1v}_{row.d2p}_{row.d2v}.wav")
    described = json.loads((folder / "simulation.json").read_text())
    assert described["simulated"] is True
    anomalies = {name for name in files_of(folder) if "_anomaly_" in name}
    assert set(described["faults"]) == anomalies
    assert {fault for name, fault in described["faults"].items() if "fan/" in name} == set(MACHINES["fan"].faults)


def test_killed_simulation_leaves_no_folder_and_can_be_started_again(tmp_path: Path) -> None:
    def kill(done: int, total: int) -> None:
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        simulate(tmp_path / "raw", TINY, kill)
    assert list(tmp_path.iterdir()) == []
    simulate(tmp_path / "raw", TINY)
    assert len(files_of(tmp_path / "raw")) == 15


def test_other_settings_replace_a_simulated_set_and_foreign_files_stay(tmp_path: Path) -> None:
    simulate(tmp_path / "raw", TINY)
    simulate(tmp_path / "raw", replace(TINY, machines=("slider",), train=1, faulty=0))
    assert {name.split("/")[0] for name in files_of(tmp_path / "raw")} == {"slider", "simulation.json"}
    (tmp_path / "raw" / "slider" / "train" / "mine.wav").write_text("mine")
    before = files_of(tmp_path / "raw")
    with pytest.raises(EndlineError, match=r"holds slider/train/mine\.wav.*give another folder"):
        simulate(tmp_path / "raw", TINY)
    assert files_of(tmp_path / "raw") == before


def test_a_full_disk_is_a_sentence_with_a_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*arguments: object, **options: object) -> None:
        raise soundfile.LibsndfileError(2)

    monkeypatch.setattr(soundfile, "write", full)
    with pytest.raises(EndlineError, match=r"simulated clips cannot be written to .*raw .*free 2 MB"):
        simulate(tmp_path / "raw", TINY)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ({"train": 0}, "train is 0; give at least 1"),
        ({"faulty": -1}, "faulty is -1; give at least 0"),
        ({"seconds": 2}, "seconds is 2; give at least 3"),
        (
            {"machines": ["fan", "pump"]},
            "no machine 'pump'; choose one or more of fan, gearbox, bearing, slider, valve, ToyCar",
        ),
        ({"machines": []}, "no machines, or one of them twice"),
        ({"machines": ["fan", "fan"]}, "no machines, or one of them twice"),
    ],
)
def test_impossible_settings_are_refused(setting: dict[str, object], words: str) -> None:
    with pytest.raises(EndlineError, match=words):
        MachineSimulation(**setting)  # type: ignore[arg-type]


def test_lists_and_a_single_name_become_tuples() -> None:
    assert MachineSimulation(machines=["fan", "valve"]).machines == ("fan", "valve")  # type: ignore[arg-type]
    assert MachineSimulation(machines="fan").machines == ("fan",)  # type: ignore[arg-type]


def test_an_unknown_fault_is_refused() -> None:
    clip = next(clips(TINY))
    with pytest.raises(EndlineError, match="fan has no fault 'leak'; choose one of unbalance, clogged, loose_guard"):
        synthesise(replace(clip, fault="leak"), TINY)
