"""Embed the test images of a config and visualise the embeddings."""

from pathlib import Path

import numpy as np
import torch
from mmengine.config import Config
from mmengine.runner import Runner
from torch import Tensor
from torch.nn import functional as F

from kd_det.analysis import embeddings as pictures
from kd_det.api import launch
from kd_det.errors import UserError
from kd_det.progress import track


def analyze(
    cfg: Config,
    checkpoint: str,
    out: str | None = None,
    queries: int = 8,
    neighbours: int = 10,
    classes: int = 10,
    seed: int = 0,
) -> list[Path]:
    """Write ``retrieval.png`` and ``projection.png``.

    Args:
        cfg: Config of an ``EmbeddingModel`` or a pair, from
            :func:`launch.prepare`.
        checkpoint: Checkpoint of the network, or of the pair's student.
        out: Output folder; default: the work directory.
        queries: Number of query images, from different classes where possible.
        neighbours: Number of neighbours shown per query.
        classes: Number of classes to project.
        seed: Seed for choosing queries and classes.

    Returns:
        Paths of the two files.

    Raises:
        UserError: A number is below 1, the network predicts no embedding, or
            there are too few images.
    """
    counts = dict(queries=queries, neighbours=neighbours, classes=classes)
    for name, value in counts.items():
        if value < 1:
            raise UserError(f'--{name} {value}; 1 or more is accepted.')
    runner = launch.tester(cfg, checkpoint)
    embeddings, labels = embed(runner)
    if len(labels) <= neighbours:
        raise UserError(
            f'The test data has {len(labels)} images; use more images, or '
            f'fewer --neighbours than {neighbours}.'
        )
    folder = Path(out or cfg.work_dir)
    rng = np.random.default_rng(seed)
    order = torch.from_numpy(rng.permutation(len(labels)))

    chosen = _of_different_classes(labels[order], queries)
    asked = order[chosen]
    found = pictures.nearest(embeddings, asked, neighbours)
    shown = torch.cat([asked[:, None], found], 1)
    dataset = runner.test_dataloader.dataset
    rows = [[picture(dataset, index) for index in row] for row in shown]
    sheet = folder / 'retrieval.png'
    pictures.draw_retrievals(sheet, rows, labels[shown].numpy())

    some = labels[order].unique()
    some = some[torch.from_numpy(rng.permutation(len(some)))][:classes]
    member = torch.isin(labels, some)
    names = dataset.metainfo.get('classes') or ()
    plane = folder / 'projection.png'
    pictures.draw_projection(
        plane,
        {'': pictures.project(embeddings[member]).numpy()},
        (labels[member][:, None] == some).long().argmax(1).numpy(),
        [names[k] if k < len(names) else f'class {k}' for k in some],
    )
    for path in (sheet, plane):
        print(f'Wrote {path}')
    return [sheet, plane]


@torch.no_grad()
def embed(runner: Runner) -> tuple[Tensor, Tensor]:
    """Return embeddings (N, D) and labels (N,) of a runner's test data.

    Args:
        runner: Runner from :func:`launch.tester`.
    """
    model = runner.model.eval()
    embeddings, labels = [], []
    for batch in track(runner.test_dataloader, 'Embedding'):
        for sample in model.test_step(batch):
            if 'pred_embed' not in sample:
                raise UserError(
                    f'{type(model).__name__} predicts no embedding; use the '
                    'config of an EmbeddingModel, e.g. one in '
                    'configs/metric.'
                )
            embeddings.append(sample.pred_embed.float().cpu())
            labels.append(int(sample.gt_label))
    return torch.stack(embeddings), torch.tensor(labels)


def picture(dataset, index: int, side: int = 112) -> np.ndarray:
    """Return an image of a data set after its pipeline.

    Args:
        dataset: MMPretrain data set whose pipeline packs ``inputs``.
        index: Index of the image.
        side: Maximum length of the longer side, in pixels.

    Returns:
        Shape (H, W, 3), uint8, RGB.
    """
    image = dataset[int(index)]['inputs']
    if len(image) == 3:
        image = image.flip(0)  # images are read as BGR
    else:
        image = 255 - image.expand(3, -1, -1)  # draw ink dark
    scale = side / max(image.shape[1:])
    if scale < 1:
        image = F.interpolate(
            image[None].float(), scale_factor=scale, mode='area'
        )[0]
    return image.byte().permute(1, 2, 0).numpy()


def _of_different_classes(labels: Tensor, count: int) -> Tensor:
    """Return indices: the first of each class, then the others."""
    seen = set()
    first, others = [], []
    for position, label in enumerate(labels.tolist()):
        (others if label in seen else first).append(position)
        seen.add(label)
    return torch.tensor((first + others)[:count])
