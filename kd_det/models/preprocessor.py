"""PairPreprocessor: preprocess the images for each network."""

import torch
from mmengine.model import BaseDataPreprocessor
from torch import nn

from kd_det.distillers.levels import colours
from kd_det.errors import UserError
from kd_det.models.stand_in import StandIn


class PairPreprocessor(StandIn, BaseDataPreprocessor):
    """Run the student's preprocessor, and a teacher's if it differs.

    If both give the same tensor for an image, it is shared, and that teacher
    has no entry in the dict ``teacher_inputs``.

    Args:
        student: The student's data preprocessor.
        teachers: Name of a teacher -> its data preprocessor.

    Raises:
        UserError: The student mixes or resizes images, but the teacher would
            get the unchanged ones.
    """

    def __init__(
        self,
        student: BaseDataPreprocessor,
        teachers: dict[str, BaseDataPreprocessor],
    ) -> None:
        super().__init__()
        # in plain dicts, since each is already a submodule of its network
        self.differing = {
            name: teacher
            for name, teacher in teachers.items()
            if not _agree(student, teacher)
        }
        self._own = dict(student=student)
        self.check_mixing(getattr(student, 'batch_augments', None))

    def _stands_for(self) -> BaseDataPreprocessor | None:
        return vars(self).get('_own', {}).get('student')

    def check_mixing(self, augments, where: str | None = None) -> None:
        """Raise if a teacher would get images without the student's mixing.

        Args:
            augments: The student's batch augmentations; None for none.
            where: The setting they come from, for the message; default: the
                student's config.
        """
        if not (self.differing and augments):
            return
        # MMPretrain builds its own from train_cfg, MMDetection lists them
        listed = isinstance(augments, nn.ModuleList)
        key = (
            'data_preprocessor.batch_augments'
            if listed
            else 'train_cfg.augments'
        )
        raise UserError(
            'The student mixes or resizes the images of a batch '
            f'({where or key}), but the teacher normalises them differently, '
            'so it would get different images; give both the same '
            f'data_preprocessor, or remove {"it" if where else key} from the '
            'student.'
        )

    def forward(self, data: dict, training: bool = False) -> dict:
        """Return the student's batch, with ``teacher_inputs`` if needed."""
        if training:
            self.check_mixing(getattr(self, 'batch_augments', None))
        batch = self._own['student'](data, training)
        if not training or not self.differing:
            return batch
        batch['teacher_inputs'] = {}
        for name, teacher in self.differing.items():
            if teacher.device != self.device:
                teacher.to(self.device)
            # without samples: they share the student's, set by its own call
            own = teacher(dict(inputs=data['inputs'], data_samples=None))
            batch['teacher_inputs'][name] = own['inputs']
        return batch


def check_colours(networks: dict[str, nn.Module]) -> None:
    """Raise if some networks take greyscale images and others colour images.

    Args:
        networks: Name -> network, all with the same input images.

    Raises:
        UserError: There are both kinds; one of each is named.
    """
    by_channels = {
        colours(network): name for name, network in networks.items()
    }
    if len(by_channels) > 1:
        grey, colour = by_channels[1], by_channels[3]
        raise UserError(
            f'The {grey} takes grey images (1 channel), the {colour} colour '
            'images (3 channels), but both get the same ones; grey files load '
            "as colour images too (LoadImageFromFile(color_type='color')), so "
            f'give the {grey} in_channels=3 and a data_preprocessor of three '
            f'means, or, where its weights are given, the {colour} '
            "in_channels=1, one mean and color_type='grayscale'."
        )


def _agree(
    student: BaseDataPreprocessor, teacher: BaseDataPreprocessor
) -> bool:
    # an odd size reveals padding, distinct channels order and statistics
    probe = torch.arange(3 * 37 * 53) % 251
    probe = probe.to(torch.uint8).reshape(3, 37, 53)
    outputs = [
        side(dict(inputs=[probe.clone()], data_samples=None))['inputs']
        for side in (student, teacher)
    ]
    return outputs[0].shape == outputs[1].shape and bool(
        (outputs[0] == outputs[1]).all()
    )
