"""Batches by class: their make-up, seeds, epochs and ranks."""

from types import SimpleNamespace

import numpy as np
import pytest
from mmengine.dataset import DefaultSampler
from mmengine.registry import DATA_SAMPLERS
from mmengine.runner import Runner
from torch.utils.data import Dataset

from kd_det import random_state
from kd_det.datasets.samplers import ClassBatchSampler, EpisodeBatchSampler
from kd_det.errors import UserError


class Labelled(Dataset):
    """Only labels; class k has ``counts[k]`` images, mixed."""

    def __init__(self, counts):
        labels = np.repeat(np.arange(len(counts)), counts)
        self.labels = np.random.default_rng(0).permutation(labels)

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, index):
        return index

    def get_data_info(self, index):
        return dict(gt_label=int(self.labels[index]))


def order(counts=(7,) * 30, seed=0, epoch=0, rank=0, ranks=1):
    """What MMEngine's sampler tells."""
    return SimpleNamespace(
        dataset=Labelled(counts),
        seed=seed,
        epoch=epoch,
        rank=rank,
        world_size=ranks,
    )


def makeup(sampler, batch):
    return np.bincount(sampler.sampler.dataset.labels[batch])


def test_p_by_k():
    sampler = ClassBatchSampler(order(), 20, per_class=5, num_batches=6)
    batches = [*sampler]
    assert len(batches) == len(sampler) == 6
    for batch in batches:
        assert len(set(batch)) == 20  # no image twice
        counts = makeup(sampler, batch)
        assert sorted(counts[counts > 0]) == [5] * 4
    drawn = {tuple(np.flatnonzero(makeup(sampler, b))) for b in batches}
    assert len(drawn) == 6


def test_the_last_class_fills_the_batch():
    sampler = ClassBatchSampler(order(), 128, num_batches=2)
    for batch in sampler:
        counts = makeup(sampler, batch)
        assert sorted(counts[counts > 0]) == [3] + [5] * 25


def test_small_classes_give_what_they_have():
    sampler = ClassBatchSampler(order((2, 2, 9)), 8, num_batches=5)
    for batch in sampler:
        assert len(batch) == len({*batch}) == 8
        assert (makeup(sampler, batch) <= [2, 2, 5]).all()


def test_every_class_and_image_has_its_turn():
    sampler = ClassBatchSampler(order((7,) * 10), 10, num_batches=200)
    counts = np.bincount(np.concatenate([*sampler]), minlength=70)
    assert counts.min() > 0.5 * counts.mean()


def test_depends_on_seed_and_epoch_alone():
    def draw(**changes):
        return [*ClassBatchSampler(order(**changes), 20, num_batches=4)]

    before = random_state.capture()
    first = draw(seed=3, epoch=2)
    assert first == draw(seed=3, epoch=2)
    assert first != draw(seed=3, epoch=1) and first != draw(seed=4, epoch=2)
    after = random_state.capture()
    assert str(before) == str(after)


@pytest.mark.parametrize('kind', [ClassBatchSampler, EpisodeBatchSampler])
def test_ranks_share_the_global_batch(kind):
    more = {}
    if kind is EpisodeBatchSampler:
        more = dict(ways=2, shots=1, queries=4)
    whole = [*ClassBatchSampler(order(), 20, num_batches=4)]
    shares = [
        [*kind(order(rank=rank, ranks=2), 10, num_batches=4, **more)]
        for rank in range(2)
    ]
    joined = [a + b for a, b in zip(*shares)]
    if kind is ClassBatchSampler:
        assert joined == whole  # what one process would draw
    assert all(a != b for a, b in zip(*shares))


def test_episodes():
    sampler = EpisodeBatchSampler(
        order((3,) * 5 + (6,) * 9), 20, ways=4, shots=2, queries=3
    )
    batches = [*sampler]
    assert len(batches) == 100
    for batch in batches:
        assert len({*batch}) == 20
        counts = makeup(sampler, batch)
        assert sorted(counts[counts > 0]) == [5] * 4
        assert (counts[:5] == 0).all()  # too few images


@pytest.mark.parametrize(
    ('kind', 'arguments', 'message'),
    [
        (ClassBatchSampler, dict(num_batches=0), 'num_batches=0'),
        (ClassBatchSampler, dict(per_class=0), 'per_class=0'),
        (ClassBatchSampler, dict(per_class=True), 'per_class=True'),
        (ClassBatchSampler, dict(per_class=1), '30 classes give 30 images'),
        (EpisodeBatchSampler, dict(ways=0), 'ways=0'),
        (EpisodeBatchSampler, dict(ways=5), 'are 50, but batch_size is 40'),
        (EpisodeBatchSampler, dict(queries=9), '0 classes have 1 . 9'),
    ],
)
def test_wrong_arguments(kind, arguments, message):
    size = 40
    if kind is EpisodeBatchSampler:
        arguments = dict(dict(ways=4, shots=1, queries=9), **arguments)
    with pytest.raises(UserError, match=message):
        kind(order(), size, **arguments)


def test_in_a_loader_of_mmengine():
    def loader(seed):
        return Runner.build_dataloader(
            dict(
                batch_size=10,
                dataset=Labelled((7,) * 10),
                sampler=dict(type='DefaultSampler', shuffle=True),
                batch_sampler=dict(
                    type='kd_det.ClassBatchSampler', num_batches=3
                ),
            ),
            seed=seed,
        )

    first, again = loader(5), loader(5)
    assert [*map(list, first)] == [*map(list, again)]
    assert len(first) == 3
    again.batch_sampler.sampler.set_epoch(1)  # as DistSamplerSeedHook does
    assert [*map(list, first)] != [*map(list, again)]
    assert isinstance(first.batch_sampler.sampler, DefaultSampler)
    assert DATA_SAMPLERS.get('kd_det.EpisodeBatchSampler')
