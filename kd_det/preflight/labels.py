"""Check that a run with unlabelled training images needs no labels."""

import inspect

from mmengine.runner import Runner

from kd_det.datasets.run_data import RunData
from kd_det.datasets.types import make
from kd_det.errors import UserError
from kd_det.losses.base import DistillLoss
from kd_det.models import DistillModel, EmbeddingModel
from kd_det.models.unwrap import unwrap
from kd_det.registry import MODELS

FIELDS = {'student_embed', 'teacher_embed'}  # fields that need no labels


def check_labels(runner: Runner) -> None:
    """Raise if training images have no labels but something reads them.

    Args:
        runner: The runner, before training.

    Raises:
        UserError: Something reads labels; losses that need none are named.
    """
    for leaf in RunData.of(runner).train.leaves:
        # ImageNet's test split has none, whatever its config says
        if not leaf.is_classification or getattr(
            make(leaf.cfg, lazy=True), 'with_label', True
        ):
            continue
        readers = _readers(unwrap(runner.model))
        if readers:
            raise UserError(
                f'The {leaf.kind.__name__} of train_dataloader has no labels '
                f'(with_label=False), and {" and ".join(readers)} '
                f'need{"s" * (len(readers) == 1)} them; give labels, such as '
                "the teacher's predictions, or train an EmbeddingModel "
                'without a loss using an EmbeddingDistiller and one of '
                f'{", ".join(_without_labels())}.'
            )


def _readers(model) -> list[str]:
    """Return the parts of a model that read labels, for a sentence."""
    student = model.student if isinstance(model, DistillModel) else model
    bare = isinstance(student, EmbeddingModel) and student.task is None
    found = (
        [] if bare else [f'the loss of the student ({type(student).__name__})']
    )
    if isinstance(model, DistillModel):
        found += [
            f'{name}.{key}'
            for name, distiller in model.distill.items()
            for key, fields in distiller.wiring.items()
            if 'labels' in fields
        ]
    return found


def _without_labels() -> list[str]:
    """Return the losses that only compare embeddings."""
    return sorted(
        name
        for name, kind in MODELS.module_dict.items()
        if isinstance(kind, type)
        and issubclass(kind, DistillLoss)
        and _required(kind) == FIELDS
    )


def _required(kind: type[DistillLoss]) -> set[str]:
    parameters = inspect.signature(kind.forward).parameters.values()
    return {p.name for p in parameters if p.default is p.empty} - {'self'}
