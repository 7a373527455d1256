"""What a fit shows while it runs, and where a killed fit goes on."""

import json
import time
from collections.abc import Callable
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from endline.files import whole


class Progress:
    """Reports each finished epoch and keeps one checkpoint.

    Args:
        checkpoint: file of the checkpoint (safetensors), or None to keep none.
        on_epoch: called with (epoch from 1, epochs, loss) after each epoch.
        interval: least seconds between two checkpoints, so that short epochs do not spend their time on the disk;
            the last epoch is always kept.

    Example:
        >>> progress = Progress(on_epoch=lambda epoch, epochs, loss: print(f"{epoch}/{epochs}: {loss}"))
        >>> progress.epoch(1, 8, 0.5)
        1/8: 0.5
    """

    def __init__(
        self,
        checkpoint: Path | None = None,
        on_epoch: Callable[[int, int, float], None] | None = None,
        interval: float = 2.0,
    ) -> None:
        self.checkpoint = checkpoint
        self.on_epoch = on_epoch
        self.interval = interval
        self.owner = ""  # set by the detector: its class, settings and pyramid
        self._written = time.monotonic()

    def stage(self, name: str) -> "Progress":
        """Progress of one training of several in a fit, with a checkpoint of its own beside this one's."""
        file = None if self.checkpoint is None else self.checkpoint.with_suffix(f".{name}{self.checkpoint.suffix}")
        stage = Progress(file, self.on_epoch, self.interval)
        stage.owner = f"{self.owner} {name}"
        return stage

    def epoch(self, epoch: int, epochs: int, loss: float) -> None:
        """Report that an epoch is done."""
        if self.on_epoch is not None:
            self.on_epoch(epoch, epochs, loss)

    def due(self, last: bool) -> bool:
        """Whether a checkpoint is worth writing now; `last` says that the fit has ended."""
        return self.checkpoint is not None and (last or time.monotonic() - self._written >= self.interval)

    def keep(self, fingerprint: str, state: dict[str, Tensor], losses: list[float]) -> None:
        """Write the checkpoint, whole or not at all.

        Args:
            fingerprint: what is being fitted: only the same fit goes on from the checkpoint.
            state: everything that the next epoch starts from.
            losses: of the epochs so far.

        Raises:
            EndlineError: when the disk is full or read-only.
        """
        if self.checkpoint is None:
            return
        about = {"fingerprint": f"{self.owner} {fingerprint}", "losses": json.dumps(losses)}
        with whole(self.checkpoint) as partial:
            try:
                save_file({name: x.contiguous().cpu() for name, x in state.items()}, partial, metadata=about)
            except SafetensorError as error:  # its own kind of exception, for the disk's errors too
                raise OSError(str(error)) from error
        self._written = time.monotonic()

    def kept(self, fingerprint: str) -> tuple[dict[str, Tensor], list[float]] | None:
        """State and losses of the checkpoint, if it belongs to the same fit."""
        if self.checkpoint is None or not self.checkpoint.exists():
            return None
        try:
            with safe_open(self.checkpoint, "pt") as file:
                about = file.metadata()
                if about["fingerprint"] != f"{self.owner} {fingerprint}":
                    return None
                return {name: file.get_tensor(name) for name in file.keys()}, json.loads(about["losses"])  # noqa: SIM118
        except (OSError, SafetensorError, KeyError, TypeError, ValueError):
            return None  # not a checkpoint of ours: start anew
