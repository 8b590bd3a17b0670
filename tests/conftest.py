"""What every test folder shares."""

import pytest


@pytest.fixture
def anyio_backend() -> str:
    """Engineroom is an asyncio program: asynchronous tests run on asyncio alone."""
    return "asyncio"
