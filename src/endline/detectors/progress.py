"""What a fit shows while it runs, and where a killed fit goes on."""

import json
import os
import time
from collections.abc import Callable
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from endline.errors import EndlineError


class Progress:
    """Tells each finished epoch and keeps one checkpoint.

    Args:
        checkpoint: file of the checkpoint (safetensors), or None to keep none.
        on_epoch: called with (epoch from 1, epochs, loss) after each epoch.
        every: least seconds between two checkpoints, so that short epochs do not spend their time on the disk;
            the last epoch is always kept.
    """

    def __init__(
        self,
        checkpoint: Path | None = None,
        on_epoch: Callable[[int, int, float], None] | None = None,
        every: float = 2.0,
    ) -> None:
        self.checkpoint = checkpoint
        self.on_epoch = on_epoch
        self.every = every
        self.owner = ""  # set by the detector: its class and settings
        self._kept = time.monotonic()

    def stage(self, name: str) -> "Progress":
        """Progress of one training of several in a fit, with a checkpoint of its own beside this one's."""
        file = None if self.checkpoint is None else self.checkpoint.with_suffix(f".{name}{self.checkpoint.suffix}")
        stage = Progress(file, self.on_epoch, self.every)
        stage.owner = f"{self.owner} {name}"
        return stage

    def epoch(self, epoch: int, epochs: int, loss: float) -> None:
        """Tell that an epoch is done."""
        if self.on_epoch is not None:
            self.on_epoch(epoch, epochs, loss)

    def due(self, last: bool) -> bool:
        """Whether a checkpoint is worth writing now; `last` says that the fit has ended."""
        return self.checkpoint is not None and (last or time.monotonic() - self._kept >= self.every)

    def keep(self, fingerprint: str, state: dict[str, Tensor], losses: list[float]) -> None:
        """Write the checkpoint, whole or not at all.

        Args:
            fingerprint: what is being fitted: only the same fit will find the checkpoint.
            state: everything that the next epoch starts from.
            losses: of the epochs so far.

        Raises:
            EndlineError: when the disk is full or read-only.
        """
        if self.checkpoint is None:
            return
        partial = self.checkpoint.with_suffix(".partial")
        about = {"fingerprint": f"{self.owner} {fingerprint}", "losses": json.dumps(losses)}
        try:
            partial.parent.mkdir(parents=True, exist_ok=True)
            save_file({name: tensor.contiguous() for name, tensor in state.items()}, partial, metadata=about)
            os.replace(partial, self.checkpoint)
            self._kept = time.monotonic()
        except (OSError, SafetensorError) as error:
            raise EndlineError(
                f"The checkpoint {self.checkpoint} could not be written ({error}): free or unlock the disk; "
                "the same command then goes on from the last whole epoch."
            ) from error

    def found(self, fingerprint: str) -> tuple[dict[str, Tensor], list[float]] | None:
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
