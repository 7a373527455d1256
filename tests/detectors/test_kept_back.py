import numpy as np
import pandas as pd

from endline.detectors.kept_back import kept_back


def test_units_are_kept_back_whole_and_of_each_domain():
    rows = pd.DataFrame({"unit": np.repeat(np.arange(50), 2).astype(str), "domain": ["source"] * 80 + ["target"] * 20})
    back = kept_back(rows, 0.2, seed=3)
    assert rows[back].groupby("unit").size().eq(2).all()
    assert rows[back].groupby("domain").size().to_dict() == {"source": 16, "target": 4}
    assert np.array_equal(back, kept_back(rows, 0.2, seed=3))
    assert not np.array_equal(back, kept_back(rows, 0.2, seed=4))
    assert kept_back(rows.head(4), 0.01, seed=0).sum() == 2 == kept_back(rows.head(4), 0.99, seed=0).sum()
