"""What a fit shows while it runs, and where a killed fit goes on."""

import json
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from endline.files import clear_partials, content_key, whole
from endline.owner import Owner

SUFFIX = ".safetensors"
KEPT_FOR = 7 * 24 * 3600.0  # s that the checkpoint of a killed fit waits for the same fit


class Progress:
    """Reports each finished epoch and keeps one checkpoint.

    The file of a checkpoint carries the fit that it belongs to and the process that writes it: two processes never
    write to one file, whether their fits are the same or not, and what a dead one has left is taken over.

    Args:
        checkpoint: stem of the checkpoint's file (safetensors), or None to keep none.
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
        with whole(self._file(fingerprint)) as partial:
            try:
                save_file({name: x.contiguous().cpu() for name, x in state.items()}, partial, metadata=about)
            except SafetensorError as error:  # its own kind of exception, for the disk's errors too
                raise OSError(str(error)) from error
        self._written = time.monotonic()

    def kept(self, fingerprint: str) -> tuple[dict[str, Tensor], list[float]] | None:
        """State and losses of the checkpoint of the same fit, this process's own or one that a dead process left."""
        if self.checkpoint is None:
            return None
        own = self._file(fingerprint)
        if not own.exists():
            self._take_over(own)
        try:
            with safe_open(own, "pt") as file:
                about = file.metadata()
                if about["fingerprint"] != f"{self.owner} {fingerprint}":
                    return None
                return {name: file.get_tensor(name) for name in file.keys()}, json.loads(about["losses"])  # noqa: SIM118
        except (OSError, SafetensorError, KeyError, TypeError, ValueError):
            return None  # none, or not one of ours: start anew

    def _file(self, fingerprint: str) -> Path:
        assert self.checkpoint is not None  # asked before
        key = content_key(self.owner, fingerprint)[:12]
        return self.checkpoint.with_suffix(f".{key}_of_{Owner.current()}{SUFFIX}")

    def _take_over(self, own: Path) -> None:
        """Rename the newest checkpoint of the same fit that a dead process left; whoever else wants it finds none."""
        fit = own.name.rpartition("_of_")[0]
        left = [path for path in own.parent.glob("*") if path.name.startswith(f"{fit}_of_") and _left(path)]
        with suppress(OSError):  # somebody else was faster
            for path in sorted(left, key=lambda path: path.stat().st_mtime):
                path.replace(own)


def clear_checkpoints(folder: Path, *, own: bool) -> None:
    """Remove checkpoints that nobody goes on from; those of living processes stay.

    Those of dead processes wait a week for the same fit, which then takes them over.

    Args:
        folder: of a station's checkpoints.
        own: remove those of this process too, whose run has ended well.
    """
    for path in sorted(folder.rglob(f"*{SUFFIX}")):
        with suppress(OSError):  # somebody else was faster
            mine = own and Owner.read(path.name) == Owner.current()
            if mine or (_left(path) and time.time() - path.stat().st_mtime > KEPT_FOR):
                path.unlink()
    for each in [folder, *(path for path in folder.rglob("*") if path.is_dir())]:
        clear_partials(each)


def _left(path: Path) -> bool:
    owner = Owner.read(path.name.rpartition("_of_")[2])
    return owner is None or owner.is_dead
