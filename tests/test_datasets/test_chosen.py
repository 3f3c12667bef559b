"""Samples of wrapped data sets: once each, and only those they give."""

import pytest
from mmengine.dataset import BaseDataset
from mmengine.registry import DATASETS, init_default_scope

import kd_det.registry  # noqa: F401
from kd_det.datasets.chosen import Chosen, classes_of, distinct, spread
from kd_det.datasets.types import keeps_all
from kd_det.errors import UserError


@DATASETS.register_module(name='NumbersOfTests', force=True)
class Numbers(BaseDataset):
    """Counts from ``first``."""

    def __init__(self, first=0, length=6, **kwargs):
        self.range = range(first, first + length)
        super().__init__(**kwargs)

    def load_data_list(self):
        return [dict(number=number) for number in self.range]

    def get_cat_ids(self, index):
        return [index % 3 // 2]  # class 1 is rare


@DATASETS.register_module(name='HalfOfTests', force=True)
class Half:
    """A user's wrapper: the first half, by MMEngine's methods alone."""

    def __init__(self, dataset):
        self.dataset = DATASETS.build(dataset)
        self.metainfo = self.dataset.metainfo

    def __len__(self):
        return len(self.dataset) // 2

    def __getitem__(self, index):
        return self.dataset[index]


@pytest.fixture(autouse=True)
def scope():
    init_default_scope('mmdet')


def leaf(first=0, classes=('a', 'b'), **kwargs):
    meta = dict(classes=classes)
    return dict(type='NumbersOfTests', first=first, metainfo=meta, **kwargs)


def wrapped(kind, dataset, **kwargs):
    key = 'datasets' if isinstance(dataset, list) else 'dataset'
    return {'type': kind, key: dataset, **kwargs}


TWO = wrapped('ConcatDataset', [leaf(), leaf(10)])
FOLD = wrapped('mmpretrain.KFoldDataset', leaf(), num_splits=3, fold=1)
CASES = [
    (leaf(), [0, 1, 2, 3, 4, 5], True),
    (leaf(indices=2), [0, 1], False),
    (leaf(indices=[4, 1]), [4, 1], False),
    (wrapped('RepeatDataset', leaf(), times=3), [0, 1, 2, 3, 4, 5], True),
    (TWO, [0, 1, 2, 3, 4, 5, 10, 11, 12, 13, 14, 15], True),
    (
        wrapped('ClassBalancedDataset', leaf(), oversample_thr=0.9),
        [0, 1, 2, 3, 4, 5],
        True,
    ),
    (FOLD, [0, 1, 4, 5], False),
    (dict(FOLD, test_mode=True), [2, 3], False),
    (dict(FOLD, seed=1), None, False),
    (wrapped('HalfOfTests', leaf()), [0, 1, 2], False),
    (
        wrapped('RepeatDataset', TWO, times=2),
        [0, 1, 2, 3, 4, 5, 10, 11, 12, 13, 14, 15],
        True,
    ),
    (
        wrapped(
            'ConcatDataset',
            [wrapped('RepeatDataset', leaf(indices=2), times=3), leaf(10)],
        ),
        [0, 1, 10, 11, 12, 13, 14, 15],
        False,
    ),
    (
        wrapped('MultiImageMixDataset', leaf(), pipeline=[]),
        [0, 1, 2, 3, 4, 5],
        True,
    ),
]


@pytest.mark.parametrize(('cfg', 'expected', 'whole'), CASES)
def test_distinct(cfg, expected, whole):
    dataset = DATASETS.build(cfg)
    found = [dataset[index]['number'] for index in distinct(dataset)]
    assert len({*found}) == len(found)
    assert {*found} == {dataset[i]['number'] for i in range(len(dataset))}
    assert expected in (None, found)
    assert keeps_all(cfg) == whole


def test_a_subclass_of_a_wrapper_may_leave_something_out():
    stock = DATASETS.get('mmengine.RepeatDataset')

    @DATASETS.register_module(name='OnceOfTests', force=True)
    class Once(stock):
        def __len__(self):
            return 2

    cfg = wrapped('OnceOfTests', leaf(), times=3)
    assert not keeps_all(cfg)
    assert distinct(DATASETS.build(cfg)) == [0, 1]


def test_the_same_numbers_of_two_data_sets():
    dataset = DATASETS.build(wrapped('ConcatDataset', [leaf(), leaf()]))
    assert distinct(dataset) == [*range(12)]


def test_chosen():
    dataset = Chosen(DATASETS.build(TWO), [1, 5, 6, 11])
    assert [dataset[i]['number'] for i in range(len(dataset))] == [
        1,
        5,
        10,
        15,
    ]
    assert dataset.get_data_info(2)['number'] == 10
    assert dataset.metainfo['classes'] == ('a', 'b')
    assert dataset.metainfo['cumulative_sizes'] == [2, 4]


def test_parts_that_differ_in_metainfo():
    first = leaf()
    first['metainfo']['palette'] = [1]
    dataset = DATASETS.build(wrapped('ConcatDataset', [first, leaf(10)]))
    assert isinstance(dataset.metainfo, list)
    assert classes_of(dataset) == ('a', 'b')
    sizes = [m['cumulative_sizes'] for m in Chosen(dataset, [0]).metainfo]
    assert sizes == [[1, 1]] * 2
    swapped = [leaf(), leaf(10, classes=('b', 'a'))]
    dataset = DATASETS.build(wrapped('ConcatDataset', swapped))
    with pytest.raises(UserError, match=r'\(a, b\) and \(b, a\), .* classes='):
        classes_of(dataset)


def test_spread():
    assert spread(range(10), 3) == [0, 3, 6]
    assert spread([4, 5, 6], None) == spread([4, 5, 6], 9) == [4, 5, 6]
