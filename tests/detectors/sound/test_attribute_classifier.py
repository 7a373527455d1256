"""The classifier of attributes: its network, its classes, what it keeps of the training clips, its score."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from endline.detectors.progress import Progress
from endline.detectors.registry import load_detector
from endline.detectors.sound import attribute_classifier
from endline.detectors.sound.attribute_classifier import AttributeClassifier, AttributeClassifierConfig
from endline.detectors.sound.clip_network import ClipNetwork
from endline.detectors.sound.subcluster_adacos import SubclusterAdaCos
from endline.errors import EndlineError
from endline.feature_set import FeatureSet

SMALL = AttributeClassifierConfig(
    hidden=4, embedding=8, subclusters=4, pseudo_classes=3, epochs=2, batch_size=8, outliers=4
)
BANDS, FRAMES, BINS = 24, 30, 64


def clips(count: int, seed: int, shift: float = 0.0) -> FeatureSet:
    """Clips of two conditions, which differ by a line of the spectrum and by the rhythm of a band."""
    rng = np.random.default_rng([seed, count])
    log_mel = rng.standard_normal((count, BANDS, FRAMES)) * 0.5
    spectrum = rng.standard_normal((count, BINS)) * 0.1
    condition = np.arange(count) % 2
    spectrum[:, 20] += 3 * condition
    log_mel[:, 6] += 4 * np.sin(np.arange(FRAMES) * (0.3 + 0.5 * condition[:, None]))
    log_mel[:, 15:20, 12:16] += shift
    spectrum[:, 40:44] += shift
    return FeatureSet({"log_mel": log_mel.astype("f4"), "spectrum": spectrum.astype("f4")}, key=f"{seed} {shift}")


def table(count: int, **columns: list[str]) -> pd.DataFrame:
    ids = {"sample_id": [str(number) for number in range(count)]}
    condition = ["fast" if number % 2 else "slow" for number in range(count)]
    return pd.DataFrame({**ids, "section": ["00"] * count, **(columns or {"attributes": condition})})


def fitted(config: AttributeClassifierConfig = SMALL, rows: pd.DataFrame | None = None, **given) -> AttributeClassifier:
    detector = AttributeClassifier(config)
    detector.fit(clips(20, 0), seed=0, progress=Progress(), rows=table(20) if rows is None else rows, **given)
    return detector


@pytest.fixture(scope="module")
def done() -> AttributeClassifier:
    return fitted()


@pytest.fixture
def heads(monkeypatch) -> list[SubclusterAdaCos]:
    """The losses that fits make."""
    made = []

    class Watched(SubclusterAdaCos):
        def __init__(self, *arguments):
            super().__init__(*arguments)
            made.append(self)

    monkeypatch.setattr(attribute_classifier, "SubclusterAdaCos", Watched)
    return made


def test_classes_are_told_by_the_table(heads):
    fitted()
    fitted(rows=table(20, attributes=["a", "b", "c", "d"] * 5, domain=["source"] * 19 + ["target"]))
    fitted(replace(SMALL, columns=("domain",)), table(20, domain=["source"] * 19 + ["target"], attributes=["a"] * 20))
    assert [head.classes for head in heads] == [2, 5, 2]


def test_other_machines_are_one_class_more_and_change_what_is_learned(heads, done):
    others = clips(9, 5, shift=3.0)
    with_others = fitted(outliers=others)
    fitted(replace(SMALL, outliers=0), outliers=others)
    assert [head.classes for head in heads] == [3, 2]
    new = clips(4, 1).read()
    assert not torch.equal(with_others.score(new).score, done.score(new).score)


def test_where_the_table_tells_none_apart_likeness_makes_the_classes(heads):
    detector = AttributeClassifier(SMALL)
    detector.fit(clips(20, 0), seed=0, progress=Progress())
    fitted(rows=table(20, attributes=["noAttribute"] * 20))
    assert [head.classes for head in heads] == [3, 3]


def test_gradients_reach_every_parameter_of_the_network():
    torch.manual_seed(0)
    network = ClipNetwork(BANDS, BINS, hidden=4, embedding=8)
    head = SubclusterAdaCos(2, 4, 16, seed=0)
    head(network(clips(6, 0).read()), torch.eye(2)[[0, 1, 0, 1, 0, 1]]).backward()
    assert all(each.grad is not None and each.grad.any() for each in network.parameters())


def test_means_are_each_bands_own_and_the_deviation_is_common():
    features = clips(12, 0)
    network = ClipNetwork(BANDS, BINS, hidden=4, embedding=8)
    network.fit_standardisation(features)
    for standardise, x in ((network.bands, features.read()["log_mel"]), (network.bins, features.read()["spectrum"])):
        values = x.double().movedim(1, 0).flatten(1)
        torch.testing.assert_close(standardise.mean.double(), values.mean(1), rtol=1e-4, atol=1e-5)
        common = values.var(1, correction=0).mean().sqrt()
        torch.testing.assert_close(standardise.gain.double(), (1 / common).expand(len(values)), rtol=1e-4, atol=1e-5)


def test_the_spectrogram_branch_does_not_see_the_mean_over_time_and_the_spectrum_branch_its_level(done):
    network, batch = done.model.network, clips(3, 1).read()
    louder = batch["log_mel"] + torch.arange(BANDS)[:, None]
    with torch.no_grad():
        before, after = network(batch), network({**batch, "log_mel": louder})
        torch.testing.assert_close(after, before, rtol=1e-3, atol=1e-4)
        changed = network({**batch, "spectrum": batch["spectrum"] + 1})
    assert (changed - before)[:, :8].abs().max() > 0.01
    assert torch.equal(changed[:, 8:], before[:, 8:])


def test_training_tells_conditions_apart():
    detector = fitted(replace(SMALL, epochs=25, learning_rate=1e-2))
    with torch.no_grad():
        embeddings = detector.model.embeddings(clips(20, 1).read())
    cosines = embeddings @ embeddings.T
    assert cosines[::2, ::2].mean() - cosines[::2, 1::2].mean() > 0.5
    normal, broken = (detector.score(clips(10, 2, shift=shift).read()).score for shift in (0.0, 6.0))
    assert broken.median() > 2 * normal.median()


def test_score_by_hand(done):
    new = clips(5, 1).read()
    with torch.no_grad():
        known = done.model.embeddings(clips(20, 0).read()).double().numpy()
        x = done.model.embeddings(new).double().numpy()
    between = 1 - known @ known.T
    np.fill_diagonal(between, np.inf)
    expected = ((1 - x @ known.T) / between.min(1)).min(1)
    np.testing.assert_allclose(done.score(new).score, expected, rtol=2e-3)
    assert done.score(new).map is None


def test_embeddings_are_unit_vectors_those_of_the_training_clips_as_they_are_kept(done):
    embeddings = done.embeddings(clips(20, 0).read())
    torch.testing.assert_close(embeddings, done.model.known, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(embeddings.norm(dim=1), torch.ones(20))


def test_training_clips_have_no_distance(done):
    torch.testing.assert_close(done.score(clips(20, 0).read()).score, torch.zeros(20), rtol=0, atol=1e-3)


def test_source_clips_may_be_centres_and_every_target_clip_is_kept(tmp_path):
    rows = table(20, attributes=["a", "b"] * 10, domain=["source"] * 17 + ["target"] * 3)
    detector = fitted(replace(SMALL, source_centres=4), rows)
    with torch.no_grad():
        embeddings = detector.model.embeddings(clips(20, 0).read())
    assert detector.model.kept.tolist() == [True] * 7 + [False] * 13
    torch.testing.assert_close(detector.model.known[4:7], embeddings[17:], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(detector.model.known[:4].norm(dim=1), torch.ones(4))
    detector.save(tmp_path)
    new = clips(5, 1).read()
    assert torch.equal(load_detector(tmp_path).score(new).score, detector.score(new).score)


def test_without_domains_all_clips_are_of_the_source():
    assert int(fitted(replace(SMALL, source_centres=4)).model.kept.sum()) == 4


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"embedding": 0}, "attribute_classifier has embedding=0: choose at least 1."),
        ({"subclusters": 0}, "attribute_classifier has subclusters=0: choose at least 1."),
        ({"outliers": -1}, "attribute_classifier has outliers=-1: choose 0 or more."),
        ({"mixup": 1.5}, "attribute_classifier has mixup=1.5: choose a share from 0 to 1."),
        (
            {"normalisation": "log"},
            "attribute_classifier has no normalisation 'log': choose one of ratio, difference, none.",
        ),
    ],
)
def test_wrong_settings_are_told(changes, sentence):
    with pytest.raises(EndlineError) as caught:
        replace(SMALL, **changes)
    assert str(caught.value) == sentence


def test_published_settings(published):
    config = published("attribute_classifier").config
    assert (config.subclusters, config.embedding, config.source_centres, config.normalisation) == (16, 128, 16, "none")
    assert (config.epochs, config.batch_size, config.mixup, config.schedule) == (10, 64, 1.0, "constant")
