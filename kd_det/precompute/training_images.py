"""The images of a training set in their order, for what a pass computes."""

from functools import partial

from mmengine.runner import Runner
from torch.utils.data import DataLoader, Dataset

from kd_det import random_state
from kd_det.datasets.chosen import Chosen, distinct, spread
from kd_det.datasets.run_data import RunData


def training_loader(
    data: RunData,
    augmented: bool = False,
    seed: int = 0,
    batch_size: int = 1,
    limit: int | None = None,
) -> DataLoader:
    """Return a loader of the training set in its order, shared by the ranks.

    Each image that the training set has passes once, however often its
    wrappers repeat it.

    Args:
        data: Of the run.
        augmented: Use the training pipeline, not the test pipeline.
        seed: Of augmentation, per image.
        batch_size: Images at once.
        limit: Most images, evenly spread over the set; None for all.
    """
    change = None
    if not augmented:
        test = data.held_out('A pass over the training set').pipeline
        change = partial(without_augmentation, test=test)
    dataset = data.train.build(change)
    loader = data.train.loader
    return Runner.build_dataloader(
        dict(
            batch_size=batch_size,
            num_workers=loader.get('num_workers', 0),
            sampler=dict(type='DefaultSampler', shuffle=False, round_up=False),
            dataset=_Seeded(dataset, spread(distinct(dataset), limit), seed),
        ),
        seed=seed,
    )


class _Seeded(Chosen):
    """A data set whose every image is augmented from a seed of its own."""

    def __init__(
        self, dataset: Dataset, indices: list[int], seed: int
    ) -> None:
        super().__init__(dataset, indices)
        self.seed = seed

    def __getitem__(self, index: int) -> dict:
        random_state.seed_all(self.seed + self.indices[index])
        return super().__getitem__(index)


def without_augmentation(pipeline: list[dict], test: list[dict]) -> list[dict]:
    """Return the test pipeline with boxes loaded before they are resized.

    Args:
        pipeline: It says how boxes are loaded.
        test: The test pipeline.
    """
    loading = [t for t in pipeline if 'LoadAnnotations' in str(t['type'])]
    rest = [t for t in test if 'LoadAnnotations' not in str(t['type'])]
    return [rest[0], *loading, *rest[1:]]
