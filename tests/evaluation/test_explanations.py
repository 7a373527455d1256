"""How a detector sees samples and which inputs count: asked of those that offer it, of no other."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from endline.detectors.explaining import Embeds, RanksInputs
from endline.detectors.pooled.gaussian import Gaussian, GaussianConfig
from endline.detectors.registry import build_detector
from endline.evaluation.embedding import OF_EACH, embedding_table, plane
from endline.evaluation.importances import importance_table
from endline.feature_set import FeatureSet
from endline.samples import regular_rows, sample_table

CONF = Path(__file__).parents[2] / "conf"


class Seeing(Gaussian):
    """Offers both, of its array."""

    embedded = "numbers themselves"
    inputs = ("force", "way")

    def embeddings(self, batch):
        return batch["scale_0"].flatten(1)

    def importances(self, batch):
        return batch["scale_0"].flatten(1)


@pytest.fixture
def seen():
    """Training clips of two domains, 200 and 4, tested ones far apart, and what each of two inputs shows of them."""
    rows = [
        {"sample_id": f"{split}{domain}{number}", "path": f"{split}{domain}{number}", "group": "fan"}
        | {"split": split, "domain": domain, "label": int(split == "test" and number % 2)}
        for split, domain, count in (("train", "source", 200), ("train", "target", 4), ("test", "source", 10))
        for number in range(count)
    ]
    samples = sample_table(rows)
    rng = np.random.default_rng(0)
    values = rng.standard_normal((len(samples), 2, 1, 1)).astype("f4")
    values[(samples["label"] == 1).to_numpy(), 1] += 50
    scores = samples[samples["split"] == "test"].assign(flagged=lambda table: table["label"] == 1)
    return samples, FeatureSet({"scale_0": values}), scores, {"whole/0": Seeing(GaussianConfig())}


def test_the_embedding_lays_training_and_tested_samples_on_one_plane(seen):
    samples, features, _, detectors = seen
    found = embedding_table(samples, features, detectors, seed=0)
    counts = found.groupby(["split", "domain"]).size().to_dict()
    assert counts == {("train", "source"): OF_EACH, ("train", "target"): 4, ("test", "source"): 10}
    assert set(found["embedded"]) == {"numbers themselves"}
    places = found[["x", "y"]].to_numpy(float)
    anomalous = (found["label"] == 1).to_numpy()
    away = np.linalg.norm(places[anomalous].mean(0) - places[~anomalous].mean(0))
    assert away > 2 * np.linalg.norm(places[anomalous] - places[anomalous].mean(0), axis=1).mean()
    again = embedding_table(samples, features, detectors, seed=0)
    pd.testing.assert_frame_equal(found, again)


def test_inputs_are_ranked_by_what_the_detector_flags(seen):
    samples, features, scores, detectors = seen
    found = importance_table(samples, features, scores, detectors).set_index("input")
    tested = features.read(np.flatnonzero(samples["split"] == "test"))["scale_0"].flatten(1).double().numpy()
    flagged = scores["flagged"].to_numpy(bool)
    np.testing.assert_allclose(found["flagged"].astype(float), tested[flagged].mean(0))
    np.testing.assert_allclose(found["passed"].astype(float), tested[~flagged].mean(0))
    assert found["rank"].to_dict() == {"way": 1, "force": 2}


def test_labels_change_no_rank(seen):
    samples, features, scores, detectors = seen
    found = importance_table(samples, features, scores, detectors)
    unlabelled = [table.assign(label=pd.NA) for table in (samples, scores)]
    pd.testing.assert_frame_equal(importance_table(unlabelled[0], features, unlabelled[1], detectors), found)


def test_without_flagged_ones_the_passed_are_ranked(seen):
    samples, features, scores, detectors = seen
    found = importance_table(samples, features, scores.assign(flagged=False), detectors).set_index("input")
    assert found["flagged"].isna().all()
    assert found.loc["way", "rank"] == 1


def test_a_detector_that_offers_neither_is_asked_nothing(seen, monkeypatch):
    samples, features, scores, _ = seen
    monkeypatch.setattr(FeatureSet, "read", lambda *_: pytest.fail("nothing is to be read"))
    detectors = {"whole/0": Gaussian(GaussianConfig())}
    assert not isinstance(detectors["whole/0"], Embeds | RanksInputs)
    assert embedding_table(samples, features, detectors, seed=0).empty
    assert importance_table(samples, features, scores, detectors).empty
    assert embedding_table(samples, features, {}, seed=0).empty


def test_too_few_samples_have_no_plane(seen):
    samples, features, _, detectors = seen
    assert embedding_table(samples[-5:], features.take(range(209, 214)), detectors, seed=0).empty


def test_numbers_that_never_change_and_single_ones_have_places_too():
    vectors = np.random.default_rng(1).standard_normal((20, 3)).astype("f4")
    vectors[:, 1] = 7.0
    assert np.isfinite(plane(vectors, 0)).all()
    assert plane(vectors[:, :1], 0).shape == (20, 2)


def test_rows_at_regular_distances_keep_small_groups_whole():
    table = pd.DataFrame({"domain": ["a"] * 100 + ["b"] * 3})
    found = regular_rows(table, ["domain"], 5)
    assert found.tolist() == [0, 25, 50, 74, 99, 100, 101, 102]
    assert regular_rows(table[:0], ["domain"], 5).tolist() == []


@pytest.mark.parametrize(
    ("name", "offers"),
    [("aegan", Embeds), ("attribute_classifier", Embeds), ("section_classifier", Embeds), ("stack_cflow", RanksInputs)],
)
def test_what_detectors_of_sound_offer(name, offers):
    settings = yaml.safe_load((CONF / "base/parameters/detectors.yml").read_text())["detectors"]
    detector = build_detector(name, settings)
    assert isinstance(detector, offers)
    assert isinstance(detector, Embeds) != isinstance(detector, RanksInputs)
