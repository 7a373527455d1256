"""The better of two: the rule, what is kept back, what each is fitted on, which one scores."""

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.metrics import roc_auc_score

from endline.detectors.kept_back import kept_back
from endline.detectors.progress import Progress
from endline.detectors.sound.best_of import BestOf, BestOfConfig, auroc, better, width
from endline.errors import EndlineError
from endline.feature_set import FeatureSet

SMALL = {"hidden": 8, "autoencoder_epochs": 2, "autoencoder_min_steps": 0, "size": 64}
SMALL |= {"mobilenet_epochs": 1, "mobilenet_min_steps": 0}


def joined(clips, pictures, count: int, machine: int = 0) -> FeatureSet:
    arrays = {**clips(count, machine).read(), **pictures(count, machine).read()}
    return FeatureSet({name: each.numpy() for name, each in arrays.items()}, key=f"{count} {machine}")


@pytest.fixture(scope="module")
def fitted(clips, pictures) -> BestOf:
    detector = BestOf(BestOfConfig(**SMALL))
    detector.fit(joined(clips, pictures, 10), seed=0, progress=Progress(), outliers=joined(clips, pictures, 5, 1))
    return detector


def test_auroc_is_scikit_learns():
    rng = np.random.default_rng(0)
    normal, anomalous = rng.integers(0, 9, 50) / 3, rng.integers(2, 12, 30) / 3
    expected = roc_auc_score([0] * 50 + [1] * 30, np.concatenate([normal, anomalous]))
    assert auroc(torch.tensor(normal), torch.tensor(anomalous)) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("scale", [1.0, 1e3])
def test_the_width_depends_on_no_unit(scale):
    normal, anomalous = torch.tensor([1.0, 3.0]), torch.tensor([5.0, 7.0])
    assert width(scale * normal + 7, scale * anomalous + 7) == pytest.approx(0.25)


def test_the_higher_auroc_wins_and_the_narrower_of_equal_ones():
    assert better([(0.80, 0.1), (0.90, 9.0)]) == 1
    assert better([(0.904, 0.1), (0.896, 9.0)]) == 0
    assert better([(0.896, 9.0), (0.904, 0.1)]) == 1
    assert better([(1.0, 0.2), (1.0, 0.2)]) == 0


def test_neither_is_fitted_on_what_is_kept_back(clips, pictures, monkeypatch):
    seen = []
    monkeypatch.setattr(
        "endline.detectors.sound.autoencoder_outlier_exposure.train",
        lambda model, loss, training, config: seen.append(training) or (),
    )
    target, others = joined(clips, pictures, 10), joined(clips, pictures, 5, 1)
    rows = pd.DataFrame({"sample_id": [str(row) for row in range(10)], "domain": ["source"] * 5 + ["target"] * 5})
    BestOf(BestOfConfig(**SMALL)).fit(target, seed=0, progress=Progress(), rows=rows, outliers=others)
    back = kept_back(rows, 0.2, 0)
    assert back.sum() == 2
    assert seen[0].features.rows.tolist() == np.flatnonzero(~back).tolist()
    assert seen[0].rows["sample_id"].tolist() == rows["sample_id"][~back].tolist()
    assert len(seen[0].outliers) == 4


def test_the_chosen_one_scores(fitted, clips, pictures):
    batch = joined(clips, pictures, 4).read()
    autoencoder, mobilenet = fitted.members.values()
    figures = list(zip(fitted.model.auroc.tolist(), fitted.model.width.tolist(), strict=True))
    assert int(fitted.model.chosen) == better(figures)
    for number, member in enumerate((autoencoder, mobilenet)):
        fitted.model.chosen.fill_(number)
        with torch.no_grad():
            assert torch.equal(fitted.score(batch).score, member._score(batch).score)
    fitted.model.chosen.fill_(better(figures))


def test_without_outliers_the_remedy_is_told(clips, pictures):
    with pytest.raises(EndlineError) as caught:
        BestOf(BestOfConfig(**SMALL)).fit(joined(clips, pictures, 4), seed=0, progress=Progress())
    assert str(caught.value) == (
        "best_of learns from another machine's normal clips: name one with --params=outliers=<machine>."
    )


def test_a_share_out_of_range_is_told():
    with pytest.raises(EndlineError) as caught:
        BestOfConfig(share=1.0)
    assert str(caught.value) == "best_of has share=1.0: choose one between 0 and 1."
