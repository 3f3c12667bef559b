"""Batch samplers by class: P classes x K images, and episodes."""

from collections.abc import Iterator

import numpy as np

from kd_det.checks import check_count
from kd_det.errors import UserError
from kd_det.registry import DATA_SAMPLERS


class ClassBatches:
    """Base of batch samplers that draw images by class.

    The batches depend only on the seed and the epoch of ``sampler``: the
    global generators are not used, a resumed run continues with the same
    batches, and several processes share each global batch.

    Args:
        sampler: MMEngine's sampler of the data loader, which provides data,
            seed, epoch and rank; its order is not used.
        batch_size: Batch size of one process.
        num_batches: Batches per epoch.

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
        """Return the indices of one global batch, rank by rank."""
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
    """P x K batches: K images from each of P classes.

    The classes are reshuffled for each batch. A class with fewer than K images
    contributes all of them; the last class of a batch may contribute fewer, so
    that 128 images at K = 5 are 25 classes of 5 and one of 3. With several
    processes the global batch is drawn and split.

    Args:
        sampler: See :class:`ClassBatches`; set by the data loader.
        batch_size: Batch size of one process; set by the data loader.
        per_class: Images per class, K.
        num_batches: Batches per epoch.

    Raises:
        UserError: An argument is not a positive integer, or all classes
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
                f'images at per_class={per_class}, but a batch has {wanted}; '
                'reduce batch_size or increase per_class.'
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
    """Episodes with ``shots + queries`` images from each of ``ways`` classes.

    A batch is an episode; the first ``shots`` images of each class are the
    support set, as expected by :class:`PrototypeLoss`. Each process has its
    own episode.

    Args:
        sampler: See :class:`ClassBatches`; set by the data loader.
        batch_size: ``ways * (shots + queries)``.
        ways: Number of classes.
        shots: Support images per class.
        queries: Query images per class.
        num_batches: Episodes per epoch.

    Raises:
        UserError: An argument is not a positive integer, the batch size does
            not match, or too few classes have enough images.
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
                f'images are {ways * self.per_class}, but batch_size is '
                f'{batch_size}; make them equal.'
            )
        self.members = [
            own for own in self.members if len(own) >= self.per_class
        ]
        if len(self.members) < ways:
            raise UserError(
                f'EpisodeBatchSampler: {len(self.members)} classes have '
                f'{shots} + {queries} images, but an episode needs {ways}; '
                'reduce ways, shots or queries.'
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
