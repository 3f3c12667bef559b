"""Loss schedules against their formulas, written out."""

import math

import pytest

from kd_det.engine.schedules import build_schedule
from kd_det.errors import UserError

EPOCHS = range(0, 30)


def values(**cfg):
    schedule = build_schedule(cfg)
    return [schedule(done) for done in EPOCHS]


def test_warm_up_counted_from_0_gives_the_first_epoch_no_weight():
    expected = [e / 20 if e < 20 else 1.0 for e in EPOCHS]
    assert values(type='WarmUp', epochs=20) == expected
    assert values(type='WarmUp', epochs=20, origin=0)[:2] == [0.0, 0.05]


def test_warm_up_counted_from_1_is_full_one_epoch_earlier():
    expected = [(e + 1) / 20 if e + 1 < 20 else 1.0 for e in EPOCHS]
    assert values(type='WarmUp', epochs=20, origin=1) == expected
    # mdistiller's warm-up of one epoch is none at all
    assert set(values(type='WarmUp', epochs=1, origin=1)) == {1.0}


def test_linear_decay():
    expected = []
    for e in EPOCHS:
        if e <= 5:
            expected.append(1.0)
        elif e >= 15:
            expected.append(0.2)
        else:
            expected.append(1.0 - 0.8 * (e - 5) / 10)
    found = values(type='LinearDecay', begin=5, end=15, final=0.2)
    assert found == pytest.approx(expected, abs=1e-15)


def test_cosine_decay():
    expected = []
    for e in EPOCHS:
        angle = math.pi * min(max(e - 4, 0), 8) / 8
        expected.append(0.1 + 0.9 * 0.5 * (1 + math.cos(angle)))
    found = values(type='CosineDecay', begin=4, end=12, final=0.1)
    assert found == pytest.approx(expected, abs=1e-15)
    assert found[4] == 1.0
    assert found[8] == pytest.approx(0.55)
    assert found[-1] == pytest.approx(0.1)


def test_stop():
    assert values(type='Stop', begin=7) == [1.0] * 7 + [0.0] * 23


def test_the_scope_may_be_written():
    assert values(type='kd_det.Stop', begin=0) == [0.0] * 30


@pytest.mark.parametrize(
    'cfg,message',
    [
        (dict(type='Warmup', epochs=3), "'Warmup'.*did you mean 'WarmUp'"),
        (dict(epochs=3), 'unknown type'),
        (dict(type='WarmUp', epochs=0), 'epochs=0; a number above 0'),
        (dict(type='WarmUp', epochs=3, origin=2), 'origin=2; .* 0 or 1'),
        (dict(type='LinearDecay', begin=3, end=3), 'begin must come before'),
        (dict(type='CosineDecay', begin=4, end=3), 'begin=4, end=3'),
    ],
)
def test_wrong_configs_are_told(cfg, message):
    with pytest.raises(UserError, match=message):
        build_schedule(cfg)
