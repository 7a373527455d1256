"""The project's settings, as a command has them."""

import pytest
from kedro.framework.project import configure_project


@pytest.fixture(autouse=True, scope="session")
def configured() -> None:
    configure_project("endline")
