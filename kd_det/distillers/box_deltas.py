"""The deltas of both box heads for the annotated class of each RoI."""

import torch
from torch import Tensor, nn

from kd_det.distillers.box_heads import of_class
from kd_det.errors import UserError

FIELDS = {'student_deltas', 'teacher_deltas', 'target_deltas'}


def check_heads(own: nn.Module, other: nn.Module) -> None:
    """Raise if the deltas of two box heads cannot be compared.

    Args:
        own: Box head of the student, whose targets are read.
        other: Box head of the teacher.

    Raises:
        UserError: One has no regression layer, the student's loss takes
            decoded boxes, or their coders differ.
    """
    for side, head in (('student', own), ('teacher', other)):
        if not hasattr(head, 'fc_reg'):
            raise UserError(
                f"A loss asks for box deltas, and the {side}'s "
                f'{type(head).__name__} has no box regression layer fc_reg; '
                'use losses on logits.'
            )
    if getattr(own, 'reg_decoded_bbox', False):
        raise UserError(
            "A loss asks for box deltas, and the student's "
            f'{type(own).__name__} has reg_decoded_bbox=True, so its targets '
            'are boxes; set reg_decoded_bbox=False and a loss_bbox on deltas, '
            'such as SmoothL1Loss, or use losses on logits.'
        )
    if _coder(own) != _coder(other):
        raise UserError(
            'A loss compares the box deltas of both networks, and the '
            f"student's bbox_coder is {_coder(own)}, the teacher's "
            f'{_coder(other)}; give both heads the same one, or with a '
            'cascade distil a stage in which they agree, such as stage=0.'
        )


def _coder(head: nn.Module) -> str:
    """Return what a head's deltas mean."""
    coder = head.bbox_coder
    numbers = [
        f'{name}={tuple(map(float, getattr(coder, attribute)))}'
        for name, attribute in (
            ('target_means', 'means'),
            ('target_stds', 'stds'),
        )
        if hasattr(coder, attribute)
    ]
    return f'{type(coder).__name__}({", ".join(numbers)})'


def on_objects(deltas: Tensor, labels: Tensor, foreground: Tensor) -> Tensor:
    """Return the deltas (N, 4) of each RoI's class, 0 for background.

    Args:
        deltas: Deltas for each class, (N, 4 K), or one box for all, (N, 4).
        labels: Labels (N,) in the order of the classes K; any number for
            background.
        foreground: Mask (N,) of the foreground RoIs.
    """
    classes = labels.where(foreground, 0)
    return of_class(deltas, classes).where(foreground[:, None], 0)


def targets_of(
    records: dict[str, list], deltas: Tensor, foreground: Tensor
) -> Tensor:
    """Return the targets (N, 4) of the head's box loss, 0 for background.

    Args:
        records: Records of the run that the head is trained on. Its box loss
            is given the foreground RoIs alone, in their order, and does not
            run if there are none.
        deltas: The student's deltas (N, 4), for type and device.
        foreground: Mask (N,) of the foreground RoIs.
    """
    if not records['box_targets']:
        return torch.zeros_like(deltas)
    _, targets = records['box_targets'][0][:2]
    rows = targets.new_zeros(deltas.shape)
    return rows.masked_scatter(foreground[:, None], targets)
