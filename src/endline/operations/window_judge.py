"""Judge a recording of hours window by window, each as the item that it would be cut out."""

import math
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from endline.compute import CPU, Compute
from endline.errors import EndlineError
from endline.evidence.station import find_station
from endline.operations.inspection import Inspector
from endline.operations.streaming import Hysteresis, WindowVerdict
from endline.published import PublishedModel

STAYS = 0.5  # p-value of a window above which an alarm goes off


class WindowJudge:
    """Judges the windows of evidence that runs on, each as an item that `inspect` would be given.

    The alarm goes on with a window that is flagged, and off again with one that half of all normals would score at
    least as high as. A window that cannot be judged leaves it as it is.

    Args:
        model: the published model of a station with `windows`.
        rate: stated share of false alarms among windows; that of the run where none is given.
        compute: device and precision.

    Raises:
        EndlineError: when the station judges no windows.

    Example:
        `WindowJudge(PublishedModel.load(folder)).judge(Path("night.flac"), hop=5.0)`
    """

    def __init__(self, model: PublishedModel, rate: float | None = None, compute: Compute = CPU) -> None:
        if find_station(model.station).windows is None:
            raise EndlineError(f"The station {model.station} judges no windows of something longer: inspect its items.")
        if rate is not None and not 0 < rate < 1:
            raise EndlineError(f"rate={rate} must lie between 0 and 1: write 0.05 for 5 %.")
        known = model.calibration
        calibration = known if rate is None else replace(known, stated_rate=rate)
        self.inspector = Inspector(replace(model, calibration=calibration), compute)
        self.hysteresis = Hysteresis(calibration.threshold, float(np.median(calibration.held_out)))

    def judge(self, file: Path, hop: float | None = None, follow: float | None = None) -> Iterator[WindowVerdict]:
        """Verdicts on a file of any length, as soon as each window is read.

        Args:
            file: such as a recording of hours; in memory is one window.
            hop: seconds from one window to the next; None: as the station thinks best.
            follow: seconds after which a file that is still written and does not grow has ended; None: it is complete.

        Raises:
            EndlineError: when the file cannot be read at all, or is shorter than a window.
        """
        windows, alarm = find_station(self.inspector.model.station).windows, False
        assert windows is not None
        for window in windows(file, self.inspector.model.preparation, hop, self.inspector.compute, follow):
            if window.inspected is None:
                yield WindowVerdict(window.start, window.stop, math.nan, alarm, 0.0, str(window.problem))
                continue
            begun = time.perf_counter()
            verdict = self.inspector.judge(*window.inspected).iloc[0]
            alarm = bool(verdict["flagged"]) or (alarm and float(verdict["p_value"]) <= STAYS)
            milliseconds = 1000 * (time.perf_counter() - begun)
            yield WindowVerdict(window.start, window.stop, float(verdict["score"]), alarm, milliseconds)
