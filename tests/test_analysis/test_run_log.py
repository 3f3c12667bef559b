"""Logs of runs: resumed, killed, without epochs."""

import json

import pytest

from kd_det.analysis.run_log import changes, read_log


@pytest.fixture
def write(tmp_path):
    """Write a ``scalars.json``; a line may be text."""

    def log(name, *lines):
        file = tmp_path / name / 'vis_data/scalars.json'
        file.parent.mkdir(parents=True)
        texts = [x if isinstance(x, str) else json.dumps(x) for x in lines]
        file.write_text('\n'.join(texts))
        return tmp_path

    return log


def step(number, loss, epoch=1):
    return dict(lr=0.1, loss=loss, epoch=epoch, iter=number, step=number)


def val(epoch, score):
    return dict(score, step=epoch, time=0.1, data_time=0.0)


def test_what_is_done_again_counts_as_the_last_time(write):
    write('1', step(5, 3.0), val(1, dict(mAP=0.1)), step(10, 2.0, 2))
    folder = write('2', step(6, 2.5), step(12, 1.5, 2), val(2, dict(mAP=0.3)))
    log = read_log(folder)
    curves = log.curves('train')
    assert curves['loss'] == [(5, 3.0), (6, 2.5), (12, 1.5)]
    assert log.curves('val')['mAP'] == [(1, 0.1), (2, 0.3)]
    assert log.by_epoch
    # begun anew in the same folder
    write('3', step(5, 9.0), val(1, dict(mAP=0.2)))
    log = read_log(folder)
    assert log.curves('train')['loss'] == [(5, 9.0)]
    assert log.curves('val')['mAP'] == [(1, 0.2)]


def test_lines_that_say_nothing(write):
    folder = write(
        '1',
        'no JSON',
        '[1, 2]',
        '[' * 100_000,
        dict(loss=1.0, iter=1),  # without a step
        dict(loss='x', name='y', iter=3, step=3, ok=True),
        step(4, 2.0),
        '{"loss": 1.0, "iter": 5, "st',  # killed while writing
    )
    log = read_log(folder)
    assert log.curves('train')['loss'] == [(4, 2.0)]
    assert 'ok' not in log.curves('train')
    assert read_log(folder / 'none').train == []


def test_validations_of_a_loop_without_epochs(write):
    """MMEngine logs them at epoch 0."""
    lines = [step(10, 2.0), step(20, 1.0)]
    for line in lines:
        del line['epoch']
    folder = write(
        '1', lines[0], val(0, dict(a=1)), lines[1], val(0, dict(a=2))
    )
    log = read_log(folder)
    assert log.curves('val')['a'] == [(10, 1), (20, 2)]
    assert not log.by_epoch


def test_what_a_hook_writes_by_itself(write):
    folder = write('1', step(10, 2.0), dict(share=0.5, step=7))
    assert read_log(folder).curves('single') == dict(
        share=[(7, 0.5)], step=[(7, 7)]
    )


def test_repeated_values_are_one_measurement():
    points = [(1, 0.5), (2, 0.5), (3, 0.7), (4, 0.7), (5, 0.5)]
    assert changes(points) == [(1, 0.5), (3, 0.7), (5, 0.5)]
