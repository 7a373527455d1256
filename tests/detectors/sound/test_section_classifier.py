"""The section classifier: its score, unknown sections, other machines, what is saved."""

import numpy as np
import pytest
import torch

from endline.detectors.progress import Progress
from endline.detectors.registry import load_detector
from endline.detectors.sound.section_classifier import SectionClassifier, SectionClassifierConfig, unlikeliness
from endline.errors import EndlineError
from endline.feature_set import FeatureSet

SMALL = {"width": 0.1, "frames": 16, "hop": 7, "epochs": 25}
SMALL |= {"patches": 4, "min_steps": 0, "batch_size": 8, "learning_rate": 5e-3}


def new(**settings) -> SectionClassifier:
    return SectionClassifier(SectionClassifierConfig(**{**SMALL, **settings}))


def sectioned(features: FeatureSet, numbers) -> FeatureSet:
    arrays = {"log_mel": features.read()["log_mel"].numpy(), "section": np.array(numbers, "f4")[:, None]}
    return FeatureSet(arrays, key=f"{features.key} {numbers}")


@pytest.fixture(scope="module")
def fitted(clips) -> SectionClassifier:
    detector = new()
    train = sectioned(clips(24), [3, 7] * 12)  # slow and fast
    detector.fit(train, seed=0, progress=Progress(), outliers=clips(8, machine=1))
    return detector


def test_unlikeliness_is_that_of_the_softmax():
    logits = torch.randn(5, 4, generator=torch.Generator().manual_seed(0)).double()
    p = logits.softmax(1)
    torch.testing.assert_close(unlikeliness(logits), (1 - p).log() - p.log())


def test_the_score_is_the_mean_of_its_own_section_over_the_patches(fitted, clips):
    batch = sectioned(clips(4, seed=1), [3, 7, 7, 3]).read()
    assert fitted.model.head.numbers.tolist() == [3, 7]
    levelled = fitted.model.level(batch["log_mel"])
    expected = []
    for clip, own in zip(levelled, [0, 1, 1, 0], strict=True):
        patches = torch.stack([clip[:, start : start + 16].T for start in (0, 7, 14)])
        with torch.no_grad():
            p = fitted.model(patches).double().softmax(1)[:, own]
        expected.append(((1 - p).log() - p.log()).mean())
    torch.testing.assert_close(fitted.score(batch).score, torch.stack(expected).float(), rtol=1e-3, atol=1e-3)


def test_embeddings_are_what_the_head_sees_on_the_mean_over_the_patches(fitted, clips):
    batch = sectioned(clips(4, seed=1), [3, 7, 7, 3]).read()
    embeddings = fitted.embeddings(batch)
    clip = fitted.model.level(batch["log_mel"])[1]
    with torch.no_grad():
        own = fitted.model.features(torch.stack([clip[:, start : start + 16].T for start in (0, 7, 14)])).mean(0)
    torch.testing.assert_close(embeddings[1], own, rtol=1e-3, atol=1e-3)
    assert embeddings.shape == (4, fitted.model.head.features)


def test_a_clip_of_another_section_or_machine_scores_higher(fitted, clips):
    right = fitted.score(sectioned(clips(8, seed=1), [3, 7] * 4).read()).score
    wrong = fitted.score(sectioned(clips(8, seed=1), [7, 3] * 4).read()).score
    other = fitted.score(sectioned(clips(8, machine=1, seed=1), [3, 7] * 4).read()).score
    assert right.median() < 0 < min(wrong.median(), other.median())


@pytest.mark.parametrize("unknown", [-1, 5])
def test_of_an_unknown_section_the_likeliest_counts(fitted, clips, unknown):
    each = [fitted.score(sectioned(clips(4, seed=1), [number] * 4).read()).score for number in (3, 7)]
    unknowing = fitted.score(sectioned(clips(4, seed=1), [unknown] * 4).read()).score
    assert torch.equal(unknowing, torch.minimum(*each))
    assert torch.equal(fitted.score({"log_mel": clips(4, seed=1).read()["log_mel"]}).score, unknowing)


def test_the_number_of_classes_is_saved(fitted, clips, tmp_path):
    fitted.save(tmp_path)
    batch = sectioned(clips(4, seed=1), [3, 7, 7, 3]).read()
    loaded = load_detector(tmp_path)
    assert loaded.model.head.logits.out_features == 3
    assert torch.equal(loaded.score(batch).score, fitted.score(batch).score)


def test_one_section_is_learned_beside_other_machines(clips):
    detector = new(epochs=2)
    train = sectioned(clips(8), [0] * 8)
    detector.fit(train, seed=0, progress=Progress(), outliers=clips(8, machine=1))
    assert detector.model.head.logits.out_features == 2
    assert detector.score(train.read()).score.isfinite().all()


def test_one_section_alone_is_told(clips):
    with pytest.raises(EndlineError) as caught:
        new().fit(sectioned(clips(4), [0] * 4), seed=0, progress=Progress())
    assert str(caught.value) == (
        "section_classifier has one section alone and nothing to tell it from: give clips of other sections, "
        "or name another machine with --params=outliers=<machine>."
    )


def test_settings_out_of_range_are_told():
    with pytest.raises(EndlineError) as caught:
        SectionClassifierConfig(hop=0)
    assert str(caught.value) == (
        "section_classifier has frames=64, hop=0, patches=2, width=0.5: choose at least 1 of each, and a width above 0."
    )
