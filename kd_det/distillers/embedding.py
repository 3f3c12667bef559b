"""EmbeddingDistiller: distils embedding networks."""

import torch
from torch import Tensor, nn

from kd_det.distillers.base import Distiller
from kd_det.errors import UserError
from kd_det.registry import MODELS

FIX = (
    'use the same embed_dims for both, use a relational loss (RKDAngleLoss), '
    "or add connectors=dict(student_embed=dict(type='EmbeddingAdaptor'))"
)


@MODELS.register_module()
class EmbeddingDistiller(Distiller):
    """Distil the output of an ``EmbeddingModel``.

    The embeddings are the outputs of both heads, after the linear layer and
    the L2 normalisation, if any. Their widths may differ for relational
    losses. The teacher may have been trained on other classes.

    Args:
        losses: Name (``loss_…``) -> config of a ``DistillLoss``.
        connectors: See :class:`Distiller`.
        taps: Override of the student's tap point ``embed``.
    """

    provides = ('student_embed', 'teacher_embed', 'labels')
    points = {'embed': 'head'}

    def __init__(
        self,
        losses: dict,
        connectors: dict | None = None,
        taps: dict[str, str] | None = None,
    ) -> None:
        super().__init__(losses, connectors=connectors, taps=taps)

    def match_up(self, classes: tuple[str, ...], teacher: nn.Module) -> None:
        """Do nothing, since no logits are compared."""

    def bind(self, name: str, student: nn.Module, teacher: nn.Module) -> None:
        """See :meth:`Distiller.bind`."""
        for side, model in (('student', student), ('teacher', teacher.model)):
            if not hasattr(getattr(model, 'head', None), 'embed_dims'):
                raise UserError(
                    f'EmbeddingDistiller: the {side} is a '
                    f'{type(model).__name__}; an EmbeddingModel is accepted; '
                    'use LogitDistiller for a classifier.'
                )
        self.widths = student.head.embed_dims, teacher.model.head.embed_dims
        if None not in self.widths:
            self.check_widths(*self.widths, FIX)
        super().bind(name, student, teacher)

    def channels(self, field: str) -> tuple[int, int]:
        """See :meth:`Distiller.channels`."""
        if field == 'student_embed' and None not in self.widths:
            return self.widths
        return super().channels(field)

    @torch.no_grad()
    def look(self, feats: tuple) -> Tensor:
        """Return the teacher's embeddings (N, D) from its features."""
        return self.teacher.model.head(feats)

    def read(
        self, student: dict, teacher: dict, feats: tuple, samples: list
    ) -> dict:
        """Return the fields of one step; see :meth:`Distiller.read`."""
        knowledge = dict(
            student_embed=student['embed'][0], teacher_embed=self.look(feats)
        )
        if 'labels' in self.asked:  # the images may have none
            labels = [sample.gt_label for sample in samples]
            knowledge['labels'] = torch.cat(labels)
        return knowledge
