"""Words of labels: normal, unknown, a fault, or to be asked about."""

import pytest

from endline.errors import EndlineError
from endline.evidence.labels import check_words, frequent_fault, is_doubtful, kind_of, own_labels
from endline.robot_signals import CATEGORIES
from endline.simulation.images.surface_image import KINDS

MVTEC = [
    *("broken_large", "contamination", "bent_wire", "cable_swap", "combined", "cut_inner_insulation", "missing_cable"),
    *("poke", "faulty_imprint", "squeeze", "color", "cut", "hole", "metal_contamination", "thread", "bent", "broken"),
    *("glue", "print", "fold", "glue_strip", "oil", "rough", "gray_stroke", "liquid", "flip", "pill_type"),
    *("manipulated_front", "scratch_head", "thread_side", "thread_top", "defective", "bent_lead", "damaged_case"),
    *("misplaced", "broken_teeth", "fabric_border", "split_teeth", "logical_anomalies", "structural_anomalies"),
]
FAULTS = [
    *(
        "1",
        "1*",
        "2",
        "7",
        "12",
        "0.5",
        "1.0",
        "A",
        "b",
        "ko",
        "NOK",
        "n.i.O.",
        "N. i. O.",
        "ng",
        "bad",
        "fail",
        "failed",
    ),
    *("not_ok", "not ok", "NotOK", "no good", "unhealthy", "abnormal", "Abnormal", "anomaly", "nicht in Ordnung"),
    *("Kratzer", "schlecht", "nicht_loesbar", "slightly_moved", "lost", "fr_collision", "pump_1", "missing", "void"),
    *("io_error", "contact", "pressed", "no_load", "a/b", "a//b", "blowhole", "uneven", "break", "fray", "crack"),
]


@pytest.mark.parametrize(
    "word",
    [
        *("0", "0.0", "0,0", "0.", "normal", "Normal", "NORMAL", "good", "Good", " OK ", "o.k.", "pass", "Passed"),
        *("i.O.", "iO", "i. O.", "i.o", "in Ordnung", "gut", "Gut", "Gutteil", "healthy", "fehlerfrei", "defect-free"),
        *("no defect", "bon", "buono", "bueno", "False", "negative", "合格"),
    ],
)
def test_words_for_normal(word):
    assert kind_of(word) == "normal"


@pytest.mark.parametrize(
    "word",
    [
        "",
        "  ",
        "NA",
        "N/A",
        "n.a.",
        "#N/A",
        "<NA>",
        "nan",
        "NaN",
        "null",
        "?",
        "???",
        "-",
        "--",
        "—",
        "unknown",
        "Unbekannt",
    ],
)
def test_words_for_unknown(word):
    assert kind_of(word) is None


@pytest.mark.parametrize("word", [*FAULTS, *MVTEC, *CATEGORIES[:-1], *KINDS])
def test_any_other_word_is_a_fault_of_that_name(word):
    assert kind_of(word) == word
    assert not is_doubtful(word)


@pytest.mark.parametrize(
    "word",
    [
        *("normal_test", "test_normal", "normalTest", "normal2", "good_2", "Gut2", "ok1", "OK (2)", "ok?", "(normal)"),
        *("i.O.2", "nromal", "norml", "healty", "unkown", "nan1", "0*", "00", "+", "*", "line_3/normal", "line_3/i.O."),
        *("true", "True", "yes", "no", "None", "y", "n", "all", "test", "train", "validation", "masks", "Recordings"),
        *("calibrating normals", "label unknown"),  # rows that the histogram has of its own
    ],
)
def test_words_that_look_like_another_are_doubtful(word):
    assert kind_of(word) == word
    assert is_doubtful(word)


def test_signs_that_cannot_be_printed_leave_the_name():
    assert kind_of("a\nb\x07 c\u200b") == "a b c"
    assert kind_of("Gera\u0308usch") == "Geräusch"  # both ways to write it are one kind


def test_own_words_come_first():
    own = own_labels({"Serie": "normal", "normal_test": "good", 1: "normal", "Muster": "unknown", "ok": "kratzer"})
    words = ("SERIE ", "normal_test", "1", "muster", "OK", "2", "good")
    assert [kind_of(word, own) for word in words] == ["normal", "normal", "normal", None, "kratzer", "2", "normal"]
    assert own_labels(None) == {}


def test_doubtful_words_are_named_at_once_with_the_setting():
    with pytest.raises(EndlineError) as caught:
        check_words(["normal", "7", "nromal", "7", "true", "nromal", None], "/raw/labels.csv")
    assert str(caught.value) == (
        "/raw/labels.csv labels with words that may mean a fault or not: 'nromal' (2), 'true' (1). Say what each means "
        "by the setting labels: {'nromal': ..., 'true': ...} (normal, unknown, or the kind of fault; in the station's "
        "YAML, or --params=labels.<word>=normal), or rename them."
    )
    check_words(["true", "nromal"], "/raw/labels.csv", own_labels({"true": "true", "nromal": "nromal"}))


def test_a_setting_that_says_nothing_clear_is_told():
    with pytest.raises(EndlineError, match=r"^labels=Gut maps no word: write labels: \{<word>: normal\}"):
        own_labels("Gut")
    with pytest.raises(EndlineError, match=r"says that 'x' means 'True', which may mean a fault or not: say normal"):
        own_labels({"x": True})


def test_words_with_dots_come_as_groups_from_the_command_line():
    assert own_labels({"St": {"2": "normal"}, "x": None}) == {"st.2": "normal", "x": None}


def test_a_fault_that_most_have_is_named():
    assert frequent_fault(["Serie"] * 4 + ["normal"] * 3 + [None] * 9) == ("Serie", 4, 7)
    assert frequent_fault(["normal"] * 42 + ["1"] * 42 + ["7"] * 44 + ["2"] * 42) is None
    assert frequent_fault(["normal"] * 9) is None
    assert frequent_fault([None, None]) is None
