"""Check that images are normalised once, and with means of their range."""

from collections.abc import Iterator

import torch
from mmengine.model import BaseDataPreprocessor
from torch import Tensor, nn

from kd_det.config_data import parts_of
from kd_det.datasets.run_data import RunData, Split
from kd_det.errors import UserError
from kd_det.models.unwrap import unwrap


def check_normalisation(runner) -> None:
    """Raise if images are normalised twice.

    Args:
        runner: The runner, before training.

    Raises:
        UserError: They are, by a pipeline and a data preprocessor.
    """
    data = RunData.of(runner)
    for name, preprocessor in _preprocessors(unwrap(runner.model)):
        for split in filter(None, (data.train, data.val)):
            _check(name, preprocessor, split)


def _preprocessors(
    model: nn.Module,
) -> Iterator[tuple[str, BaseDataPreprocessor]]:
    """Yield those that normalise, each with the name of its network."""
    networks = dict(getattr(model, 'peers', {})) or {
        'student' if hasattr(model, 'student') else 'model': getattr(
            model, 'student', model
        ),
        **{k: t.model for k, t in getattr(model, 'teachers', {}).items()},
    }
    for name, network in networks.items():
        preprocessor = getattr(network, 'data_preprocessor', None)
        if getattr(preprocessor, '_enable_normalize', False):
            yield name, preprocessor


def _check(
    name: str, preprocessor: BaseDataPreprocessor, split: Split
) -> None:
    mean, std = preprocessor.mean, preprocessor.std
    if not mean.any() and (std == 1).all():
        return
    names = [_name(step) for step in _steps(split.loader['dataset'])]
    twice = [name for name in names if name.endswith('Normalize')]
    if twice:
        raise UserError(
            f'The pipeline of {split.name}_dataloader normalises the images '
            f'({twice[0]}), and the data_preprocessor of the {name} does so '
            'again; take the step out of the pipeline, or the mean and std '
            'out of the data_preprocessor.'
        )


def _steps(dataset: dict) -> Iterator[dict]:
    """Yield the transforms of a data set and of those inside it."""
    yield from dataset.get('pipeline') or ()
    for part in parts_of(dataset):
        yield from _steps(part)


def _name(step: dict) -> str:
    """Return the name of a transform's class."""
    kind = step['type']
    return kind.__name__ if isinstance(kind, type) else str(kind)


def check_range(model: nn.Module, image: Tensor) -> None:
    """Raise if an image of bytes is normalised as if it were from 0 to 1.

    Args:
        model: The model of the run.
        image: A training image as its pipeline gives it.

    Raises:
        UserError: It is, by the data preprocessor of a network.
    """
    if image.dtype != torch.uint8:
        return
    for name, preprocessor in _preprocessors(model):
        mean, std = preprocessor.mean, preprocessor.std
        if std.max() < 1 and mean.max() <= 1:
            raise UserError(
                f'The data_preprocessor of the {name} has mean='
                f'{_numbers(mean)} and std={_numbers(std)}, for images from 0 '
                'to 1, but these are from 0 to 255; multiply both by 255.'
            )


def _numbers(values) -> list[float]:
    return [round(value, 3) for value in values.flatten().tolist()]
