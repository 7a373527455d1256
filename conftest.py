"""What all tests and examples share."""

import tempfile
from collections.abc import Iterator

import pytest


@pytest.fixture(scope="session", autouse=True)
def temporary_files_go_with_the_run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What an example of a docstring leaves in a temporary folder lies among pytest's, which go when all passed."""
    before, tempfile.tempdir = tempfile.tempdir, str(tmp_path_factory.mktemp("tempdir"))
    yield
    tempfile.tempdir = before
