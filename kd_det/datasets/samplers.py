"""Batches by class: P classes of K images, and episodes."""

from collections.abc import Iterator

import numpy as np

from kd_det.checks import check_count
from kd_det.errors import UserError
from kd_det.registry import DATA_SAMPLERS


class ClassBatches:
    """Base: batches of images drawn class by class.

    What is drawn depends on the seed and the epoch of ``sampler`` alone:
    the global generators stay as they are, a resumed run draws what the
    first would have drawn, and several processes share each global batch.

    Args:
        sampler: MMEngine's sampler of the data loader; it has the data, the
            seed, the epoch and the rank, its order does not matter.
        batch_size: Of one process.
        num_batches: Batches of an epoch.

    Raises:
        UserError: The classes have too few images.
    """

    def __init__(self, sampler, batch_size: int, num_batches: int) -> None:
        self.num_batches = check_count(self, 'num_batches', num_batches, 1)
        self.sampler = sampler
        self.batch_size = batch_size
        dataset = sampler.dataset
        labels = np.array(
            [dataset.get_data_info(i)['gt_label'] for i in range(len(dataset))]
        )
        order = labels.argsort(kind='stable')
        ends = np.unique(labels[order], return_index=True)[1]
        self.members = np.split(order, ends[1:])

    def draw(self, rng: np.random.Generator, ranks: int) -> np.ndarray:
        """Return the indices of one global batch, rank after rank."""
        raise NotImplementedError

    def __iter__(self) -> Iterator[list[int]]:
        rank, ranks = self.sampler.rank, self.sampler.world_size
        rng = np.random.default_rng([self.sampler.seed, self.sampler.epoch])
        for _ in range(self.num_batches):
            batch = self.draw(rng, ranks)
            own = batch[rank * self.batch_size : (rank + 1) * self.batch_size]
            yield own.tolist()

    def __len__(self) -> int:
        return self.num_batches


@DATA_SAMPLERS.register_module()
class ClassBatchSampler(ClassBatches):
    """P x K: K images of each of as many classes as fill the batch.

    The classes are shuffled anew for each batch. A class with fewer than K
    images gives all it has; the last class of a batch may give fewer, so
    that 128 images at K = 5 are 25 classes of 5 and one of 3. With several
    processes the global batch is drawn and cut.

    Args:
        sampler: See :class:`ClassBatches`; the data loader fills it in.
        batch_size: Of one process; the data loader fills it in.
        per_class: The K.
        num_batches: Batches of an epoch.

    Raises:
        UserError: An argument is no integer above 0, or all classes
            together do not fill a batch.

    Example:
        >>> train_dataloader = dict(
        ...     batch_size=128,
        ...     sampler=dict(type='DefaultSampler', shuffle=True),
        ...     batch_sampler=dict(type='kd_det.ClassBatchSampler'),
        ... )
    """

    def __init__(
        self,
        sampler,
        batch_size: int,
        per_class: int = 5,
        num_batches: int = 100,
    ) -> None:
        super().__init__(sampler, batch_size, num_batches)
        self.per_class = check_count(self, 'per_class', per_class, 1)
        most = sum(min(per_class, len(own)) for own in self.members)
        wanted = batch_size * sampler.world_size
        if most < wanted:
            raise UserError(
                f'ClassBatchSampler: {len(self.members)} classes give {most} '
                f'images at per_class={per_class}, a batch has {wanted}; '
                'lower batch_size or raise per_class.'
            )

    def draw(self, rng: np.random.Generator, ranks: int) -> np.ndarray:
        """See :meth:`ClassBatches.draw`."""
        wanted = ranks * self.batch_size
        batch: list[int] = []
        for chosen in rng.permutation(len(self.members)):
            own = self.members[chosen]
            count = min(self.per_class, len(own))
            batch.extend(rng.choice(own, count, replace=False))
            if len(batch) >= wanted:
                break
        return np.array(batch[:wanted])


@DATA_SAMPLERS.register_module()
class EpisodeBatchSampler(ClassBatches):
    """Episodes: ``shots + queries`` images of each of ``ways`` classes.

    A batch is an episode; of a class the first ``shots`` images are the
    support, as :class:`PrototypeLoss` takes them. Each process has an
    episode of its own.

    Args:
        sampler: See :class:`ClassBatches`; the data loader fills it in.
        batch_size: ``ways * (shots + queries)``.
        ways: Classes.
        shots: Support images of a class.
        queries: Query images of a class.
        num_batches: Episodes of an epoch.

    Raises:
        UserError: An argument is no integer above 0, the batch size is
            another, or too few classes have enough images.
    """

    def __init__(
        self,
        sampler,
        batch_size: int,
        ways: int,
        shots: int,
        queries: int,
        num_batches: int = 100,
    ) -> None:
        super().__init__(sampler, batch_size, num_batches)
        counts = dict(ways=ways, shots=shots, queries=queries)
        for name, value in counts.items():
            check_count(self, name, value, 1)
        self.ways, self.per_class = ways, shots + queries
        if batch_size != ways * self.per_class:
            raise UserError(
                f'EpisodeBatchSampler: {ways} ways of {shots} + {queries} '
                f'images are {ways * self.per_class} and batch_size is '
                f'{batch_size}; make them equal.'
            )
        self.members = [
            own for own in self.members if len(own) >= self.per_class
        ]
        if len(self.members) < ways:
            raise UserError(
                f'EpisodeBatchSampler: {len(self.members)} classes have '
                f'{shots} + {queries} images, an episode takes {ways}; lower '
                'ways, shots or queries.'
            )

    def draw(self, rng: np.random.Generator, ranks: int) -> np.ndarray:
        """See :meth:`ClassBatches.draw`."""
        classes = np.concatenate(
            [
                rng.choice(len(self.members), self.ways, replace=False)
                for _ in range(ranks)
            ]
        )
        return np.concatenate(
            [
                rng.choice(self.members[c], self.per_class, replace=False)
                for c in classes
            ]
        )
