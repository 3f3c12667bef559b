"""Reading hundreds of configs."""

import functools

import pytest
from mmengine.config import Config


@pytest.fixture(scope='session', autouse=True)
def fast_lookup():
    """Look a package's config up once; each time it reads all metafiles."""
    with pytest.MonkeyPatch.context() as patch:
        lookup = functools.cache(Config._get_cfg_path)
        patch.setattr(Config, '_get_cfg_path', staticmethod(lookup))
        yield
