"""The comparison of two runs, against pycocotools on the same draws."""

import json
from dataclasses import replace

import numpy as np
import pytest
from coco_toy import pycocotools_scores, toy_predictions

from kd_det.analysis.compare_runs import compare_runs, t_interval
from kd_det.cli import main
from kd_det.errors import UserError
from kd_det.evaluation.predictions import (
    FILE,
    ClassPredictions,
    load_predictions,
)


@pytest.fixture
def write(tmp_path):
    """Write a run's two files and return its folder."""

    def run(name, predictions=None, seed=0, **record):
        folder = tmp_path / name
        folder.mkdir(parents=True)
        if predictions:
            predictions.save(folder / FILE)
        record = dict(config=name, seed=seed, epochs=8, **record)
        (folder / 'run.json').write_text(json.dumps(record))
        return str(folder)

    return run


def untied(seed, noise):
    """Predictions of which no two have the same score."""
    predictions = toy_predictions(seed, noise)
    scores = np.random.default_rng(seed).permutation(len(predictions.scores))
    predictions.scores[:] = (scores + 1) / 1000
    return predictions


def averages(predictions, sample=None):
    means, by_class = pycocotools_scores(predictions, sample)
    return np.array([means[0], *by_class])


def compared(first, second, tmp_path, **kwargs):
    out = tmp_path / 'out.json'
    text = compare_runs(first, second, out=str(out), **kwargs)
    return text, json.loads(out.read_text())


def test_bootstrap_draws_whole_images_for_all_runs(write, tmp_path):
    """Two seeds a side: every draw scored afresh by pycocotools."""
    before = [untied(seed, 9) for seed in (0, 1)]
    after = [untied(seed, 4) for seed in (2, 3)]
    # in any order: it is the seed that pairs
    first = [write(f'a{i}', before[i], seed=i) for i in (1, 0)]
    second = [write(f'b{i}', after[i], seed=i) for i in (0, 1)]
    text, found = compared(first, second, tmp_path, resamples=7)

    def change(sample=None):
        one, other = (
            np.mean([averages(run, sample) for run in side], axis=0)
            for side in (before, after)
        )
        return other - one

    drawn = np.random.default_rng(0).multinomial(30, [1 / 30] * 30, 7)
    expected = [change(np.repeat(np.arange(30), row)) for row in drawn]
    low, high = np.quantile(expected, [0.025, 0.975], axis=0)
    for index, row in enumerate(found['scores'][:4]):
        assert row['change'] == pytest.approx(change()[index], abs=1e-12)
        assert row['second'] - row['first'] == pytest.approx(row['change'])
        interval = [low[index], high[index]]
        assert row['interval'] == pytest.approx(interval, abs=1e-12)
    assert found['scores'][0]['change'] > 0.05
    assert [row['name'] for row in found['scores']] == [
        'mAP',
        'cat',
        'dog',
        'owl',
        'yak',
    ]
    assert found['scores'][4]['change'] is None
    assert 'yak  no ground truth' in text

    by_seed = [
        averages(two)[0] - averages(one)[0] for one, two in zip(before, after)
    ]
    assert found['change_by_seed'] == pytest.approx(by_seed, abs=1e-12)
    middle, half = np.mean(by_seed), 12.7062 * abs(np.diff(by_seed)[0]) / 2
    assert found['interval_over_seeds'] == pytest.approx(
        [middle - half, middle + half], rel=1e-5
    )


def test_a_run_and_itself(write, tmp_path):
    run = write('run', toy_predictions())
    text, found = compared([run], [run], tmp_path, resamples=20)
    for row in found['scores'][:4]:
        assert row['change'] == 0 and row['interval'] == [0, 0]
    assert 'interval_over_seeds' not in found
    assert 'trained' not in text


def test_t_interval():
    # by hand: 4.303 of the table for 2 degrees of freedom
    mean, half = t_interval([1.0, 2.0, 3.0])
    assert mean == 2
    assert half == pytest.approx(4.3027 / np.sqrt(3), abs=1e-4)


def test_classifiers(write, tmp_path):
    draw = np.random.default_rng(1)
    true = draw.integers(2, size=50)
    classes = np.array(['ant', 'bee', 'cow'])
    first, second = (
        np.where(draw.random(50) < share, true, 2) for share in (0.5, 0.8)
    )
    runs = [
        write(name, ClassPredictions(classes, labels, true))
        for name, labels in (('a', first), ('b', second))
    ]
    text, found = compared(runs[:1], runs[1:], tmp_path, resamples=40)
    drawn = np.random.default_rng(0).multinomial(50, [1 / 50] * 50, 40)
    samples = [np.repeat(np.arange(50), row) for row in drawn]
    for index, name in enumerate(['accuracy', 'ant', 'bee']):
        row = found['scores'][index]
        assert row['name'] == name

        def change(sample, kind=index - 1):
            if kind >= 0:
                sample = sample[true[sample] == kind]
            hits = [
                (labels[sample] == true[sample]).mean()
                for labels in (first, second)
            ]
            return hits[1] - hits[0]

        assert row['change'] == pytest.approx(change(np.arange(50)))
        expected = np.quantile([change(s) for s in samples], [0.025, 0.975])
        assert row['interval'] == pytest.approx(expected)
    assert found['scores'][3] == dict(
        name='cow', first=None, second=None, change=None, interval=None
    )


def test_what_differs_is_told(write):
    first = write('a', toy_predictions(), data=dict(train=1))
    second = write('b', toy_predictions(), data=dict(train=2))
    record = json.loads(open(f'{second}/run.json').read())
    record['epochs'] = 12
    with open(f'{second}/run.json', 'w') as file:
        json.dump(record, file)
    text = compare_runs([first], [second], resamples=1)
    assert 'Trained for different numbers of epochs: 8, 12.' in text
    assert 'Trained on different data' in text


def refused(capsys, message, *words):
    with pytest.raises(SystemExit) as caught:
        main(argv=['compare', *words])
    assert caught.value.code == 2
    err = capsys.readouterr().err
    assert err.startswith('error: ') and err.count('\n') == 1
    assert message in err


def test_refusals(write, capsys, tmp_path):
    toy = toy_predictions()
    a, b = write('a', toy), write('b', toy, seed=1)
    refused(capsys, 'got 1 RUN without --with; two are', a)
    refused(capsys, 'got 3 RUN without --with', a, b, b)
    refused(capsys, "There is no '", a, str(tmp_path / 'nowhere'))
    refused(capsys, 'writes run.json there', a, str(tmp_path / 'nowhere'))
    silent = write('silent')
    refused(capsys, 'the run had no validation', a, silent)
    for number in ('0', '1000000000000'):
        message = f'--resamples {number}; 1 to 100000 is accepted.'
        refused(capsys, message, a, b, '--resamples', number)
    refused(
        capsys,
        'before --with have the seeds 0, 1, those after it 0;',
        *(a, b, '--with', a),
    )
    copy = write('copy', toy)
    refused(capsys, 'both have seed 0', a, copy, '--with', a, b)
    small = write('small', toy_predictions(num_images=20))
    refused(capsys, 'images (4 classes, 90 boxes) and', a, small)
    labels = np.zeros(30, int)
    other = write('other', ClassPredictions(toy.classes, labels, labels))
    refused(capsys, 'which differ in images', a, other)
    moved = toy_predictions()
    moved.true_boxes[0, 0] += 1
    refused(capsys, 'which differ in images', a, write('moved', moved))
    (tmp_path / 'a' / FILE).write_bytes(b'no archive')
    refused(capsys, 'cannot be read as the predictions', b, a)
    (tmp_path / 'b/run.json').write_text('[]')
    refused(capsys, 'is not the record of a run', b, a)


@pytest.mark.parametrize('seed', [None, '0', 0.5, True])
def test_a_seed_is_an_integer(write, capsys, seed):
    """Also where two runs of a side are sorted by it."""
    toy = toy_predictions()
    runs = [write(name, toy, seed=seed) for name in 'ab']
    message = f"a/run.json' has the seed {seed!r}; an integer is accepted"
    refused(capsys, message, *runs, '--with', *runs)


NAN = float('nan')
CLASSIFIED = ClassPredictions(
    np.array(['ant', 'bee']), np.array([0, 1, 1]), np.array([0, 0, 1])
)


def one(name, value):
    """The toy's array with its first number replaced."""
    array = getattr(toy_predictions(), name).copy()
    array.flat[0] = value
    return {name: array}


@pytest.mark.parametrize(
    ('changed', 'message'),
    [
        (
            dict(boxes=np.zeros((180, 3))),
            'boxes has the shape (180, 3), where (180, 4) is accepted',
        ),
        (
            dict(boxes=np.zeros((179, 4))),
            'boxes has the shape (179, 4), where (180, 4) is accepted',
        ),
        (
            dict(images=np.int32(3)),
            'images has the shape (), where (P,) is accepted',
        ),
        (
            dict(scores=np.ones(12)),
            'scores has the shape (12,), where (180,) is accepted',
        ),
        (
            dict(true_areas=np.ones(1)),
            'true_areas has the shape (1,), where (90,) is accepted',
        ),
        (dict(image_ids=np.zeros(0, int)), 'image_ids is empty'),
        (
            one('images', 30),
            'images has the value 30, where integers from 0 to 29 are',
        ),
        (
            one('true_images', -1),
            'true_images has the value -1, where integers from 0 to 29 are',
        ),
        (
            one('labels', 4),
            'labels has the value 4, where integers from 0 to 3 are',
        ),
        (
            one('true_labels', -1),
            'true_labels has the value -1, where integers from 0 to 3 are',
        ),
        (
            dict(labels=np.zeros(180)),
            'labels has values of type float64, where integers are',
        ),
        (
            dict(crowds=np.zeros(90, int)),
            'crowds has values of type int64, where booleans are',
        ),
        (
            dict(classes=np.arange(4)),
            'classes has values of type int64, where strings are',
        ),
        (
            one('scores', NAN),
            'scores has the value nan, where finite numbers are accepted',
        ),
        (one('boxes', np.inf), 'boxes has the value inf, where finite'),
        (one('true_boxes', NAN), 'true_boxes has the value nan, where'),
        (one('true_areas', NAN), 'true_areas has the value nan, where'),
    ],
)
def test_boxes_that_do_not_fit(tmp_path, changed, message):
    replace(toy_predictions(), **changed).save(tmp_path / FILE)
    with pytest.raises(UserError) as caught:
        load_predictions(tmp_path / FILE)
    assert message in str(caught.value)
    assert FILE in str(caught.value)


@pytest.mark.parametrize(
    ('changed', 'message'),
    [
        (
            dict(labels=np.zeros(0, int), true_labels=np.zeros(0, int)),
            'labels is empty, where 1 or more is accepted',
        ),
        (
            dict(true_labels=np.array([0, 1])),
            'true_labels has the shape (2,), where (3,) is accepted',
        ),
        (dict(labels=np.array(1)), 'labels has the shape (), where (I,)'),
        (
            dict(labels=np.array([0, NAN, 1])),
            'labels has values of type float64, where integers are',
        ),
        (
            dict(labels=np.array([0, 2, 1])),
            'labels has the value 2, where integers from 0 to 1 are',
        ),
    ],
)
def test_classes_that_do_not_fit(write, capsys, changed, message):
    """Through the command: an error in one line, no traceback."""
    good = write('good', CLASSIFIED)
    bad = write('bad', replace(CLASSIFIED, **changed))
    refused(capsys, message, good, bad)


def test_a_single_array_is_no_archive(write, capsys, tmp_path):
    runs = [write(name, CLASSIFIED) for name in 'ab']
    with open(tmp_path / 'b' / FILE, 'wb') as file:
        np.save(file, np.zeros(3))
    refused(capsys, 'a single array instead of an .npz', *runs)


def test_damaged_bytes_are_refused_or_harmless(tmp_path):
    """Whatever is damaged: NumPy, zipfile and zlib raise many errors."""
    path = tmp_path / FILE
    CLASSIFIED.save(path)
    whole = path.read_bytes()
    draw = np.random.default_rng(0)
    refusals = 0
    for _ in range(1000):
        damaged = bytearray(whole)
        damaged[draw.integers(len(whole))] = draw.integers(256)
        path.write_bytes(damaged)
        try:
            loaded = load_predictions(path)
        except UserError as error:
            refusals += 1
            assert '\n' not in str(error)
        else:
            assert np.array_equal(loaded.labels, CLASSIFIED.labels)
    assert refusals > 500


def test_no_box_is_predicted(write):
    """An empty list of boxes is a result, not damage."""
    toy = toy_predictions()
    nothing = replace(
        toy,
        images=toy.images[:0],
        labels=toy.labels[:0],
        scores=toy.scores[:0],
        boxes=toy.boxes[:0],
    )
    text = compare_runs(
        [write('toy', toy)], [write('nothing', nothing)], resamples=2
    )
    assert '    0.00  ' in text


def test_a_class_that_no_draw_has(write, tmp_path):
    true = np.array([0] * 30 + [1])
    runs = [
        write(name, ClassPredictions(CLASSIFIED.classes, true, true))
        for name in 'ab'
    ]
    drawn = np.random.default_rng(0).multinomial(31, [1 / 31] * 31)
    assert drawn[-1] == 0  # the only bee
    text, found = compared(runs[:1], runs[1:], tmp_path, resamples=1)
    assert found['scores'][2]['interval'] is None
    assert 'in no sample' in text


def test_no_pickle_is_executed(tmp_path):
    np.savez(
        tmp_path / FILE,
        kind='ClassPredictions',
        classes=np.array([{}], dtype=object),
        labels=[0],
        true_labels=[0],
    )
    with pytest.raises(UserError, match='cannot be read'):
        load_predictions(tmp_path / FILE)


def test_predictions_come_back(tmp_path):
    toy = toy_predictions()
    toy.save(tmp_path / FILE)
    again = load_predictions(tmp_path / FILE)
    assert again.same_truth(toy)
    for name in ('images', 'labels', 'scores', 'boxes'):
        assert np.array_equal(getattr(again, name), getattr(toy, name))


def test_the_command(write, capsys, tmp_path):
    first = write('before', toy_predictions(0, 9))
    second = write('after', toy_predictions(0, 4))
    out = tmp_path / 'out.json'
    main(
        argv=['compare', first, second, '--resamples', '9', '--out', str(out)]
    )
    printed = capsys.readouterr().out
    assert printed.splitlines()[:2] == [
        f'A  before: {first}',
        f'B  after: {second}',
    ]
    row = json.loads(out.read_text())['scores'][0]
    assert f'{100 * row["first"]:.2f}' in printed
    main(argv=['compare', first, '--with', second, '--resamples', '9'])
    assert capsys.readouterr().out == printed
