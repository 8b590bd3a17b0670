"""What every test folder shares."""

import pytest
from hypothesis import settings

settings.register_profile("engineroom", deadline=None)  # no timed assertions: machines are noisy
settings.load_profile("engineroom")


@pytest.fixture
def anyio_backend() -> str:
    """Engineroom is an asyncio program: asynchronous tests run on asyncio alone."""
    return "asyncio"
