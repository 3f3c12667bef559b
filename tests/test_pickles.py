"""Pickles that data sets read: plain values, or one sentence."""

import os
import pickle
from collections import OrderedDict

import mmengine
import numpy as np
import pytest
from mmengine.structures import InstanceData

from kd_det.errors import UserError
from kd_det.pickles import check_array, use_plain_pickles


@pytest.fixture(autouse=True)
def installed():
    use_plain_pickles()


class Touch:
    """Unpickled carelessly, it makes a file."""

    def __reduce__(self):
        return os.system, ('touch executed',)


PLAIN = [
    dict(filename='a.jpg', ori_shape=(64, 48, 3), of={1, 2.5, None, b'x'}),
    OrderedDict(a=frozenset('ab'), b=complex(1, 2), c=bytearray(b'x')),
    np.arange(6, dtype='>i4').reshape(2, 3),
    np.array([dict(a=1), 'text'], dtype=object),
    np.float32(0.5),
]


@pytest.mark.parametrize('protocol', [0, 2, 4, 5])
@pytest.mark.parametrize('value', PLAIN, ids=range(5))
def test_plain_values_are_read(tmp_path, value, protocol):
    path = tmp_path / 'a.pkl'
    path.write_bytes(pickle.dumps([value], protocol))
    np.testing.assert_equal(mmengine.load(str(path)), [value])


def test_proposals_of_mmdetection(tmp_path):
    boxes = InstanceData(bboxes=np.ones((2, 4)), scores=np.ones(2))
    mmengine.dump({'a/b.jpg': boxes}, tmp_path / 'a.pkl')
    found = mmengine.load(tmp_path / 'a.pkl')['a/b.jpg']
    np.testing.assert_equal(found.bboxes, boxes.bboxes)


@pytest.mark.parametrize(
    'value', [Touch(), np.array([Touch()]), OrderedDict(a=Touch()), eval]
)
@pytest.mark.parametrize('protocol', [0, 2, 5])
def test_nothing_is_executed(tmp_path, monkeypatch, value, protocol):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / 'a.pkl'
    path.write_bytes(pickle.dumps([value], protocol))
    for read in (mmengine.load, check_array):
        with pytest.raises(UserError, match='which could run code'):
            read(path)
    assert [*tmp_path.iterdir()] == [path]


def test_trusted(tmp_path):
    path = tmp_path / 'a.pkl'
    path.write_bytes(pickle.dumps(eval))
    use_plain_pickles(trust=True)
    assert mmengine.load(path) is eval


def test_arrays(tmp_path):
    np.save(tmp_path / 'a.npy', np.eye(3))
    check_array(tmp_path / 'a.npy')
    np.eye(3).dump(tmp_path / 'b.np')
    check_array(tmp_path / 'b.np')
    np.save(tmp_path / 'c.npy', np.array([Touch()]))
    with pytest.raises(UserError, match='Object arrays'):
        check_array(tmp_path / 'c.npy')
