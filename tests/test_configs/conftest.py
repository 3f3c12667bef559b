"""A fixture for all tests of configs."""

import copy
import functools

import pytest

from kd_det.models import spec


@pytest.fixture(scope='module', autouse=True)
def configs_read_once():
    """Read the file of a network once: none changes during these tests.

    Else each pair would read its dozen bases several times.
    """
    read = functools.cache(spec._of_file)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(spec, '_of_file', lambda p: copy.deepcopy(read(p)))
        yield
