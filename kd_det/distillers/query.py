"""QueryDistiller: distils the queries of detectors such as DETR."""

import torch
from torch import Tensor, nn

from kd_det.checks import check_not_negative
from kd_det.distillers.base import Distiller
from kd_det.distillers.levels import HEAD
from kd_det.distillers.query_head import (
    USE,
    QueryHead,
    probe_queries,
    score_logits,
)
from kd_det.distillers.query_match import match_queries
from kd_det.distillers.rehearsal import rehearse
from kd_det.errors import UserError
from kd_det.registry import MODELS


@MODELS.register_module()
class QueryDistiller(Distiller):
    """Distil the queries of DETR, Deformable DETR, DINO, ….

    The predictions of the student's queries are matched with those of the
    teacher's, image by image, by the Hungarian algorithm; the cost is the
    loss of a pair, see :func:`query_costs`, times its weight. The networks
    may have different numbers of queries and decoder layers: each layer of the
    student is matched with the teacher's at the same relative depth, the last
    with the last. Queries for denoising are left out.

    Fields with one row per matched query of all layers and images:
    ``…_query_logits``, the logits of the class scores (for DETR's softmax:
    of each class against all others), ``…_query_boxes``: centre, width and
    height, relative to the image, and ``query_weights``: the teacher's
    largest class score to the power of ``focus``.

    Args:
        losses: Name (``loss_…``) -> config of a ``DistillLoss``.
        costs: Weights of class, L1 and GIoU in the matching.
        focus: Exponent of the weights, 0 or above: the larger, the less do
            the many queries count that are not sure of an object.

    Raises:
        UserError: ``costs`` are not three numbers of at least 0, or ``focus``
            is below 0; at the build: a head has no queries or cannot be read.

    Paper: https://arxiv.org/abs/2211.10156
    """

    provides = (
        'student_query_logits',
        'teacher_query_logits',
        'student_query_boxes',
        'teacher_query_boxes',
        'query_weights',
    )
    points = dict(outputs=HEAD, targets=f'{HEAD}.loss_cls:input')
    teacher_points = dict(outputs=HEAD)

    def __init__(
        self,
        losses: dict,
        costs: tuple[float, float, float] = (1, 5, 2),
        focus: float = 1.0,
    ) -> None:
        super().__init__(losses)
        if not (isinstance(costs, (tuple, list)) and len(costs) == 3):
            raise UserError(
                f'QueryDistiller: costs={costs!r}; three numbers, the weights '
                'of class, L1 and GIoU, are accepted, such as (1, 5, 2).'
            )
        for cost in costs:
            check_not_negative(self, 'costs', cost)
        self.costs = tuple(costs)
        self.focus = check_not_negative(self, 'focus', focus)
        self._ordered = False  # whether the student's queries were compared

    def bind(self, name: str, student: nn.Module, teacher: nn.Module) -> None:
        """See :meth:`Distiller.bind`."""
        self.ours = probe_queries(student, 'student', teacher.model)
        self.theirs = probe_queries(teacher.model, 'teacher', student)
        self.check_counts(self.ours.classes, self.theirs.classes)
        self.layers = same_depth(self.ours.layers, self.theirs.layers)
        super().bind(name, student, teacher)
        rehearse(self)

    def read(
        self, student: dict, teacher: dict, feats: tuple, samples: list
    ) -> dict:
        """Return the fields of one step; see :meth:`Distiller.read`."""
        outputs = student['outputs'][0]
        mine = self._predictions(outputs, self.ours, 'student')
        if not self._ordered:
            self._check_queries(outputs[0], student['targets'])
            self._ordered = True
        (outputs,) = teacher['outputs']
        other = self._predictions(
            [part[self.layers] for part in outputs], self.theirs, 'teacher'
        )
        weights = other[0].sigmoid().amax(2) ** self.focus
        rows = match_queries(mine, other, weights, self.costs)
        knowledge = dict(query_weights=weights.gather(1, rows[1]).flatten())
        sides = ('student', 'teacher')
        for side, parts, own in zip(sides, (mine, other), rows):
            for field, part in zip(('logits', 'boxes'), parts):
                chosen = part.take_along_dim(own[..., None], 1)
                knowledge[f'{side}_query_{field}'] = chosen.flatten(0, 1)
        return knowledge

    def _predictions(
        self, outputs: tuple, head: QueryHead, side: str
    ) -> tuple[Tensor, Tensor]:
        """Return logits of the common classes and boxes, (layers x N, Q, …).

        Queries for denoising are ahead of the others.
        """
        logits, boxes = (
            part[:, :, -head.queries :].flatten(0, 1) for part in outputs
        )
        logits = score_logits(logits, head.background)
        if self.match is not None:
            columns = self.match.index(side, logits.shape[2])
            logits = logits.index_select(2, columns)
        return logits, boxes.to(logits.dtype)

    def _check_queries(self, logits: Tensor, calls: list) -> None:
        """Raise if the student's loss matches other queries with objects.

        Args:
            logits: Class logits (layers, N, Q, C) of all queries.
            calls: Inputs of the classification loss, at first one a layer.
        """
        chosen = logits[:, :, -self.ours.queries :]
        given = [call[0] for call in calls[: len(logits)]]
        shape = chosen.shape[1:]
        if len(given) < len(logits) or not all(
            rows.numel() == layer.numel()
            and torch.equal(rows.reshape(shape), layer)
            for rows, layer in zip(given, chosen)
        ):
            raise UserError(
                f"The student's {self.ours.kind} does not pass the logits of "
                f'its last {self.ours.queries} queries, layer by layer, to '
                'its classification loss, so QueryDistiller cannot tell which '
                f'are matched with objects; {USE}.'
            )


def same_depth(ours: int, theirs: int) -> list[int]:
    """Return the teacher's layer at the relative depth of each of ours.

    Args:
        ours: Number of the student's decoder layers.
        theirs: Number of the teacher's.
    """
    # rounded up: the last belongs to the last
    return [-(-i * theirs // ours) - 1 for i in range(1, ours + 1)]
