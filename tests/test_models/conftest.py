"""What is logged while a network is made."""

import logging

import pytest
from mmengine.logging import MMLogger


@pytest.fixture
def said(monkeypatch):
    """The lines of the log, each with its level."""
    lines = []
    logger = MMLogger.get_instance('mmengine')
    level = logger.level
    logger.setLevel(logging.INFO)
    handler = logging.Handler(logging.INFO)
    handler.emit = lambda r: lines.append(f'{r.levelname} {r.getMessage()}')
    logger.addHandler(handler)
    monkeypatch.setattr(MMLogger, 'get_current_instance', lambda: logger)
    yield lines
    logger.removeHandler(handler)
    logger.setLevel(level)
