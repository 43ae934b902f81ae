"""Lets the engine's tests import their toy systems."""

import logging
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(autouse=True)
def let_messages_through() -> Iterator[None]:
    """Let `caplog` see the project's messages, whatever a test before has set up."""
    logger = logging.getLogger("triform")
    before, logger.propagate = logger.propagate, True
    yield
    logger.propagate = before
