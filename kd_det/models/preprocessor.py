"""PairPreprocessor: each network gets the image normalised its own way."""

import torch
from mmengine.model import BaseDataPreprocessor

from kd_det.errors import UserError


class PairPreprocessor(BaseDataPreprocessor):
    """Run the student's preprocessor, and the teacher's where it differs.

    When both make the same tensor of the same image, one tensor serves both
    and the batch has no ``teacher_inputs``.

    Args:
        student: The student's data preprocessor.
        teacher: The teacher's.

    Raises:
        UserError: The student mixes images that the teacher would see
            unmixed.
    """

    def __init__(
        self, student: BaseDataPreprocessor, teacher: BaseDataPreprocessor
    ) -> None:
        super().__init__()
        # in a dict: each is already a sub-module of its own network
        self._sides = dict(student=student, teacher=teacher)
        self.shared = _agree(student, teacher)
        if not self.shared and getattr(student, 'batch_augments', None):
            raise UserError(
                'The student mixes images (train_cfg.augments), and the '
                'teacher normalises them differently, so it would see other '
                'images; give both the same data_preprocessor, or take '
                'train_cfg.augments out of the student.'
            )

    def forward(self, data: dict, training: bool = False) -> dict:
        """Return the student's batch, with ``teacher_inputs`` if needed."""
        batch = self._sides['student'](data, training)
        if training and not self.shared:
            teacher = self._sides['teacher']
            if teacher.device != self.device:
                teacher.to(self.device)
            # without samples: theirs are the student's, set by its own call
            inputs = teacher(dict(inputs=data['inputs'], data_samples=None))
            batch['teacher_inputs'] = inputs['inputs']
        return batch


def _agree(
    student: BaseDataPreprocessor, teacher: BaseDataPreprocessor
) -> bool:
    # an odd size shows padding, distinct channels show order and statistics
    probe = torch.arange(3 * 37 * 53) % 251
    probe = probe.to(torch.uint8).reshape(3, 37, 53)
    outputs = [
        side(dict(inputs=[probe.clone()], data_samples=None))['inputs']
        for side in (student, teacher)
    ]
    return outputs[0].shape == outputs[1].shape and bool(
        (outputs[0] == outputs[1]).all()
    )
