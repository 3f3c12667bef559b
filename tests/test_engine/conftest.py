"""Fixtures of the engine's tests."""

import pytest
from engine_toy import build_runner


@pytest.fixture
def make_runner(tmp_path):
    """Build a Runner in a folder below ``tmp_path``."""
    return lambda name='run', **kwargs: build_runner(tmp_path / name, **kwargs)
