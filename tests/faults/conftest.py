"""Ways of running the service, for the tests that hold in each of them. No fixture of one row."""

import pytest

from tests.faults.service import MODES


@pytest.fixture(params=MODES)
def mode(request: pytest.FixtureRequest) -> str:
    """One of the keys of `MODES`."""
    return str(request.param)
