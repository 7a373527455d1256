"""What the command line makes of its options."""

import pytest

from endline.cli import cli


@pytest.mark.parametrize(
    ("params", "read"),
    [
        ("raw=2024", {"raw": "2024"}),
        ("group=7,seed=7", {"group": "7", "seed": 7}),
        ("group=007", {"group": "007"}),
        ("file=1.5", {"file": "1.5"}),
        ("group=true", {"group": "true"}),
        ("raw=/it's/here", {"raw": "/it's/here"}),
        ("raw=null", {"raw": None}),
        ("group='7'", {"group": "7"}),
        (
            "mirror_audio.run.group=12,mirror_audio.fit.folds=3",
            {"mirror_audio": {"run": {"group": "12"}, "fit": {"folds": 3}}},
        ),
    ],
)
def test_names_and_paths_are_words_even_where_they_look_like_numbers(params: str, read: dict[str, object]) -> None:
    context = cli.commands["run"].make_context("run", [f"--params={params}"])  # type: ignore[attr-defined]
    assert context.params["params"] == read
