"""What the alarm of a stream promises, in words: the share of false alarms, of what, and how many an hour that is."""

from endline.evaluation.calibration import Calibration
from endline.evaluation.thresholds import normals_needed, promisable

HOUR = 3600.0  # s


def window_promise(calibration: Calibration, hop: float | None) -> str:
    """Promise for the windows of a recording, each as long as the held-out clips, one every `hop` seconds, above 0.

    A held-out clip is a window of a sound machine that the detectors have not seen, cut as those of the recording are:
    the threshold of clips is that of windows. The rate is that of a single one. Of an hour's windows, which one machine
    fills, as many are flagged on average over machines and calibrations, and they come in runs.

    Example:
        >>> made = Calibration(("whole",), ((1.0,),) * 39, (0,) * 39, tuple(range(39)), 0.05)
        >>> window_promise(made, hop=5.0)
        'Of the windows of a sound machine at most 5 % are flagged: on average 36 of the 720 an hour, one every 5 s. \
For one an hour 719 held-out clips are needed, and --rate=0.00139; there are 39.'
    """
    if calibration.bound is None:
        return f"Nothing is promised: the rule '{calibration.rule}' has no bound of its false alarms."
    rate = calibration.rate
    proved = (
        "" if calibration.bound <= rate + 1e-9 else f" (usually; at most {min(1, calibration.bound):.2%} is proved)"
    )
    said = f"Of the windows of a sound machine at most {100 * rate:.3g} % are flagged{proved}"
    if hop is None:
        return f"{said}."
    windows = HOUR / hop
    said += f": on average {rate * windows:.3g} of the {windows:.4g} an hour, one every {hop:g} s."
    if rate * windows <= 1:
        return said
    return said + (
        f" For one an hour {normals_needed(1 / windows)} held-out clips are needed, and --rate={1 / windows:.3g}; "
        f"there are {calibration.limiting.units}."
    )


def cycle_promise(rate: float, cycles: int, seconds: float) -> str:
    """Promise for running cycles, by so many held-out cycles and the seconds that one lasts.

    Its threshold is of the largest window score of a cycle, so that the rate is that of a cycle, however many windows
    it has.

    Example:
        >>> cycle_promise(0.05, cycles=39, seconds=9.0)
        'Of normal cycles at most 5 % raise the alarm in any of their windows: of cycles of 9 s one after the other, \
20 an hour.'
    """
    kept = promisable(rate, cycles)
    return (
        f"Of normal cycles at most {100 * kept:.3g} % raise the alarm in any of their windows: of cycles of "
        f"{seconds:.3g} s one after the other, {kept * HOUR / seconds:.3g} an hour."
    )
