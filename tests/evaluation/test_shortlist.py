import math

import pandas as pd

from endline.evaluation.shortlist import shortlist_items


def verdicts(rows: list[tuple[str, float, bool, int | None]]) -> pd.DataFrame:
    table = pd.DataFrame(rows, columns=["sample_id", "score", "flagged", "label"])
    return table.astype({"label": "Int8"})


TABLE = verdicts(
    [
        ("fault, plain", 9.0, True, 1),
        ("fault, clear", 8.0, True, 1),
        ("unknown, high", 7.0, True, None),
        ("normal, alarm", 6.0, True, 0),
        ("fault, just missed", 4.9, False, 1),
        ("normal, near", 4.8, False, 0),
        ("fault, low", 1.0, False, 1),
        ("normal, low", 0.5, False, 0),
    ]
)


def reasons(table: pd.DataFrame) -> dict[str, list[str]]:
    return {str(why): rows["sample_id"].tolist() for why, rows in table.groupby("why", sort=False)}


def test_each_reason_shows_its_items():
    assert reasons(shortlist_items(TABLE, 5.0, 1)) == {
        "most anomalous": ["fault, plain"],
        "false alarm": ["normal, alarm"],
        "missed": ["fault, low"],
        "borderline": ["fault, just missed"],
    }


def test_every_item_is_shown_once():
    for count in range(9):
        shown = shortlist_items(TABLE, 5.0, count)["sample_id"]
        assert shown.is_unique
        assert len(shown) <= 4 * count
    assert set(shown) == set(TABLE["sample_id"])


def test_the_next_best_takes_the_place_of_one_already_shown():
    shown = reasons(shortlist_items(TABLE, 5.0, 2))
    assert shown["most anomalous"] == ["fault, plain", "fault, clear"]
    assert shown["missed"] == ["fault, low", "fault, just missed"]
    assert shown["borderline"] == ["normal, near", "unknown, high"]


def test_nothing_is_borderline_of_an_infinite_threshold():
    assert "borderline" not in reasons(shortlist_items(TABLE.assign(flagged=False), math.inf, 2))


def test_no_exhibits_and_no_items_give_an_empty_table():
    assert shortlist_items(TABLE, 5.0, 0).empty
    empty = shortlist_items(TABLE.iloc[:0], 5.0, 3)
    assert empty.empty
    assert "why" in empty
