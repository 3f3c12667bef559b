"""EmbeddingDistiller: knowledge of networks that have no classes."""

import torch
from torch import Tensor, nn

from kd_det.distillers.base import Distiller
from kd_det.errors import UserError
from kd_det.registry import MODELS

FIX = (
    'give both the same embed_dims, take a loss of relations (RKDAngleLoss), '
    "or add connectors=dict(student_embed=dict(type='EmbeddingAdaptor'))"
)


@MODELS.register_module()
class EmbeddingDistiller(Distiller):
    """Distil what an ``EmbeddingModel`` returns.

    The embeddings are the output of both heads, behind the linear layer and
    the division by the norm, where there are any. Their widths may differ
    for a loss on relations. The teacher's classes may be other ones: only
    the images are shared.

    Args:
        losses: Name (``loss_…``) -> config of a ``DistillLoss``.
        connectors: See :class:`Distiller`.
        taps: Override of the student's point ``embed``.
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
        """Leave the class lists alone: no logit is compared."""

    def bind(self, name: str, student: nn.Module, teacher: nn.Module) -> None:
        """See :meth:`Distiller.bind`."""
        for side, model in (('student', student), ('teacher', teacher.model)):
            if not hasattr(getattr(model, 'head', None), 'embed_dims'):
                raise UserError(
                    f'EmbeddingDistiller: the {side} is a '
                    f'{type(model).__name__}; an EmbeddingModel is accepted, '
                    'for a classifier take LogitDistiller.'
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
        """Return the teacher's embeddings (N, D) of what it extracted."""
        return self.teacher.model.head(feats)

    def read(
        self, student: dict, teacher: dict, feats: tuple, samples: list
    ) -> dict:
        """Return the knowledge of one step; see :meth:`Distiller.read`."""
        return dict(
            student_embed=student['embed'][0],
            teacher_embed=self.look(feats),
            labels=torch.cat([sample.gt_label for sample in samples]),
        )
