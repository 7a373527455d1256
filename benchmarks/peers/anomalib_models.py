"""anomalib's models of photographs on the maps of endline's backbone; run in the environment of the peers.

The pretrained weights that anomalib's models ask for cannot be had without a network, so each is given the network that
endline has, by anomalib's own way of taking a module as backbone: EfficientNet-Lite0, batch norms folded, photographs
resized and normalised as endline does. Layers are the strides that endline's detector of the same name reads.
"""

import logging
import os
import tempfile
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from anomalib.data import Folder
from anomalib.engine import Engine
from anomalib.models import EfficientAd, Padim, Patchcore, Stfpm
from anomalib.models.components import TimmFeatureExtractor
from anomalib.pre_processing import PreProcessor
from measuring import Stopwatch, Trial
from torch import nn
from torchvision.transforms.v2 import Compose, Normalize, Resize

from endline.backbones.architectures import architecture_of
from endline.backbones.weights import network_with, weights_of

BACKBONE = architecture_of("efficientnet_lite0")
POOL = 20_000  # patches, drawn from all, of which the coreset of PatchCore is chosen
EPOCHS = 10  # of STFPM; anomalib's own configuration says 100, ended early by labels of the validation set
SIZE_OF_TRAINED = 256  # pixels, anomalib's own, for STFPM: a step at 384 takes more than twice as long
RAW = {"post_processor": False, "evaluator": False, "visualizer": False}  # the scores as the models give them
ADAPTED = "EfficientNet-Lite0 of endline as backbone"


def layers(*strides: int) -> list[str]:
    """Names of the last blocks of some strides, as anomalib wants them.

    Example:
        >>> layers(16, 32)
        ['blocks.10', 'blocks.15']
    """
    return [f"blocks.{BACKBONE.taps[stride]}" for stride in strides]


def frozen_network() -> nn.Module:
    """The pretrained network, to be read alone."""
    network = network_with(BACKBONE, weights_of(BACKBONE.name, None), None)
    return BACKBONE.folded(network.eval().requires_grad_(False)).eval()


def prepared(size: int) -> PreProcessor:
    """Photographs resized to a square and normalised as the backbone was trained."""
    mean, deviation = BACKBONE.normalisation
    return PreProcessor(Compose([Resize((size, size), antialias=True), Normalize(mean=mean, std=deviation)]))


class CappedPatchcore(Patchcore):  # type: ignore[misc]
    """PatchCore whose coreset is chosen of at most `POOL` patches: its choice costs the square of their number.

    Example:
        >>> issubclass(CappedPatchcore, Patchcore)
        True
    """

    def fit(self) -> None:
        """Draw the pool, then choose as anomalib does."""
        patches = torch.vstack(self.model.embedding_store)
        if len(patches) > POOL:
            patches = patches[torch.randperm(len(patches))[:POOL]]
        self.model.embedding_store = [patches]
        super().fit()


def patchcore(size: int) -> tuple[Any, str]:
    model = CappedPatchcore(backbone=frozen_network(), layers=layers(16, 32), pre_processor=prepared(size), **RAW)
    return model, f"{ADAPTED}, strides 16 and 32; coreset of 10 % chosen from {POOL} random patches, not from all"


def padim(size: int) -> tuple[Any, str]:
    model = Padim(
        backbone=frozen_network(), layers=layers(8, 16, 32), n_features=100, pre_processor=prepared(size), **RAW
    )
    return model, f"{ADAPTED}, strides 8, 16 and 32; 100 channels, its number for a ResNet18"


def stfpm(size: int) -> tuple[Any, str]:
    """Teacher pretrained, student with batch norms from random weights; one module would be both."""
    model = Stfpm(backbone=frozen_network(), layers=layers(8, 16), pre_processor=prepared(SIZE_OF_TRAINED), **RAW)
    student = BACKBONE.layers(BACKBONE.build())
    model.model.student_model = TimmFeatureExtractor(student, layers=layers(8, 16), requires_grad=True)
    return model, f"{ADAPTED}, strides 8 and 16, {SIZE_OF_TRAINED} pixels; {EPOCHS} epochs instead of up to 100"


def efficient_ad(size: int) -> tuple[Any, str]:
    """As it is: its teacher and ImageNette are downloaded when it starts to train."""
    return EfficientAd(**RAW), "as it is"


MODELS: dict[str, Callable[[int], tuple[Any, str]]] = {
    "patchcore": patchcore,
    "padim": padim,
    "stfpm": stfpm,
    "efficient_ad": efficient_ad,
}


def linked(train: pd.DataFrame, tested: pd.DataFrame, folder: Path) -> None:
    """Folders `train`, `good` and `bad` of links to the files, named by the number of their row."""
    for name, rows in (("train", train), ("good", tested[tested["label"] == 0]), ("bad", tested[tested["label"] == 1])):
        (folder / name).mkdir()
        for number, path in rows["path"].items():
            (folder / name / f"{number:06d}{Path(path).suffix}").symlink_to(path)


def fitted_and_scored(blank: Trial, split: Path, size: int, seed: int) -> Trial:
    """The trial with its results: fitted and asked by anomalib's engine, on the files of a split."""
    logging.getLogger().setLevel(logging.ERROR)
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    train, tested = (pd.read_csv(split / f"{name}.csv") for name in ("train", "tested"))
    with tempfile.TemporaryDirectory() as place:
        os.chdir(place)  # where EfficientAd looks for ImageNette, and the engine writes
        linked(train, tested, Path(place))
        torch.manual_seed(seed)
        watch = Stopwatch()
        data = Folder(
            name="peers",
            root=place,
            normal_dir="train",
            normal_test_dir="good",
            abnormal_dir="bad",
            train_batch_size=1 if blank.detector == "efficient_ad" else 32,
            num_workers=0,
            val_split_mode="none",
        )
        model, note = MODELS[blank.detector](size)
        engine = Engine(
            accelerator="cpu", default_root_dir=place, enable_progress_bar=False, max_epochs=EPOCHS, limit_val_batches=0
        )
        engine.fit(model=model, datamodule=data)
        fit_seconds = watch.read()
        batches = engine.predict(model=model, datamodule=data)
        item_ms = 1000 * watch.read() / len(tested)
        found = {
            int(Path(path).stem): float(score)
            for batch in batches
            for path, score in zip(batch.image_path, batch.pred_score.flatten(), strict=True)
        }
    scores = tuple(found[number] for number in tested.index)
    return replace(blank, fit_seconds=fit_seconds, item_ms=item_ms, scores=scores, note=f"from files; {note}")
