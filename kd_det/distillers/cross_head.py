"""CrossHeadDistiller: the student's features through the teacher's head."""

import torch
from torch import Tensor, nn

from kd_det.checks import check_count
from kd_det.distillers.dense import OUTPUTS, DenseDistiller
from kd_det.distillers.dense_boxes import decoded
from kd_det.distillers.dense_head import rows_of
from kd_det.distillers.levels import HEAD
from kd_det.errors import UserError
from kd_det.registry import MODELS
from kd_det.taps import FeatureTap, find_module

TOWERS = {'class': 'cls_convs', 'box': 'reg_convs'}
CORNERS = {'cross_dense_corners', 'teacher_dense_corners'}
# keeps the gradient of a constant channel bounded
LEAST_VARIANCE = 1e-8


@MODELS.register_module()
class CrossHeadDistiller(DenseDistiller):
    """CrossKD: feed features of the student's head to the teacher's head.

    The output of layer ``depth`` of the student's class tower (``cls_convs``)
    and box tower (``reg_convs``), before the activation, is given the mean and
    standard deviation that each channel has in the teacher, and then takes the
    place of the teacher's own output of that layer. The rest of the frozen
    head turns it into ``cross_…`` predictions; gradients flow through it.

    Besides the fields of :class:`DenseDistiller`, with one row per location:
    ``cross_dense_logits``; ``…_dense_boxes`` (decoded, in pixels);
    ``…_dense_corners`` (logits of the box edge distributions of heads such as
    GFL's). If the towers differ in width, an :class:`AlignConnector` is added
    for ``student_class_maps`` and ``student_box_maps``.

    Args:
        losses: Name (``loss_…``) -> config of a ``DistillLoss``.
        centroids: File with the teacher's class means, see ``CentroidHook``.
        connectors: See :class:`DenseDistiller`; also ``student_class_maps``
            and ``student_box_maps``.
        scales: Grid sizes for regional logits.
        depth: Layer of the towers after which the student's features cross,
            counted from 1; default: the last but one of each head.

    Raises:
        UserError: ``depth`` is below 1; at the build: a head has no such
            towers, or fewer layers.

    Paper: https://arxiv.org/abs/2306.11369
    """

    provides = (
        *DenseDistiller.provides,
        'cross_dense_logits',
        'cross_dense_boxes',
        'cross_dense_corners',
        'teacher_dense_corners',
    )
    connectable = (
        *DenseDistiller.connectable,
        'student_class_maps',
        'student_box_maps',
    )
    feeds = {
        **DenseDistiller.feeds,
        'student_class_maps': ('cross_dense_logits',),
        'student_box_maps': ('cross_dense_boxes', 'cross_dense_corners'),
    }

    def __init__(
        self,
        losses: dict,
        centroids: str | None = None,
        connectors: dict | None = None,
        scales: tuple[int, ...] = (1, 2),
        depth: int | None = None,
    ) -> None:
        super().__init__(losses, centroids, connectors, scales)
        if depth is not None:
            check_count(self, 'depth', depth, 1)
        self.depth = depth
        self.kinds = [
            kind
            for kind in TOWERS
            if {*self.feeds[f'student_{kind}_maps']} & self.asked
        ]

    def more_points(self, student: nn.Module, teacher: nn.Module) -> dict:
        """See :meth:`DenseDistiller.more_points`."""
        towers = [
            {kind: self._tower(network, side, kind) for kind in self.kinds}
            for side, network in (('student', student), ('teacher', teacher))
        ]
        self.towers = towers[1]
        self.widths = {
            kind: tuple(
                find_module(network, own[kind]).conv.out_channels
                for network, own in zip((student, teacher), towers)
            )
            for kind in self.kinds
        }
        for kind, (ours, theirs) in self.widths.items():
            if ours != theirs:
                align = dict(type='AlignConnector', _scope_='kd_det')
                field = f'student_{kind}_maps'
                self.connectors.cfgs = {field: align} | self.connectors.cfgs
        if CORNERS & self.asked and not self.theirs.bins > 1:
            raise UserError(
                'A loss needs cross_dense_corners, distributions of box '
                f"edges, but the teacher's {self.theirs.kind} predicts "
                'numbers; use CrossKDBoxLoss.'
            )
        return {
            kind: f'{path}.activate:input' for kind, path in towers[0].items()
        }

    def _tower(self, network: nn.Module, side: str, kind: str) -> str:
        """Return the path of the layer after which features cross."""
        name = TOWERS[kind]
        layers = getattr(network.bbox_head, name, ())
        usable = [hasattr(layer, 'activate') for layer in layers]
        own = type(network.bbox_head).__name__
        if not (usable and all(usable)):
            raise UserError(
                f"The {side}'s {own} has no layers in {name} that all levels "
                'share, so its features cannot cross; use DenseDistiller or '
                'FeatureDistiller.'
            )
        depth = self.depth or max(len(usable) - 1, 1)
        if len(usable) < depth:
            raise UserError(
                f"CrossHeadDistiller has depth={self.depth}, but the {side}'s "
                f'{own} has {len(usable)} layers in {name}; set depth to at '
                f'most {len(usable)}.'
            )
        return f'{HEAD}.{name}.{depth - 1}'

    def channels(self, field: str) -> tuple:
        """See :meth:`Distiller.channels`."""
        kind = field.removeprefix('student_').removesuffix('_maps')
        if kind not in self.widths:
            return super().channels(field)
        count = len(self.levels)
        return tuple([width] * count for width in self.widths[kind])

    def read(
        self, student: dict, teacher: dict, feats: tuple, samples: list
    ) -> dict:
        """Return the fields of one step; see :meth:`Distiller.read`."""
        points = {k: f'{v}.activate:input' for k, v in self.towers.items()}
        points['cross_outputs'] = OUTPUTS
        with FeatureTap(self.teacher.model, points) as theirs:
            knowledge = super().read(student, teacher, feats, samples)
        sides = zip(
            ('student', 'teacher'), (student, theirs), zip(*self.levels)
        )
        for side, records, levels in sides:
            for kind in self.kinds:
                maps = [call[0] for call in records[kind]]
                head = getattr(self, 'ours' if side == 'student' else 'theirs')
                if len(maps) != len(head.strides):
                    raise UserError(
                        f"The {side}'s {head.kind} runs {TOWERS[kind]} "
                        f'{len(maps)} times for {len(head.strides)} levels, '
                        'so its features cannot cross; use DenseDistiller.'
                    )
                knowledge[f'{side}_{kind}_maps'] = tuple(
                    maps[level] for level in levels
                )
        (outputs,) = theirs['cross_outputs']
        knowledge |= self._corners('teacher', outputs)
        whole = {k: [call[0] for call in theirs[k]] for k in self.kinds}
        knowledge['teacher_inputs'] = feats, whole
        return knowledge

    def connect(self, knowledge: dict) -> dict:
        """See :meth:`Distiller.connect`; adds the ``cross_…`` fields."""
        knowledge = super().connect(knowledge)
        feats, crossing = knowledge.pop('teacher_inputs')
        for kind in self.kinds:
            ours, theirs = (
                knowledge.pop(f'{side}_{kind}_maps')
                for side in ('student', 'teacher')
            )
            for (_, level), *maps in zip(self.levels, ours, theirs):
                crossing[kind][level] = _like(*maps)
        scores, boxes, *_ = outputs = self._run(feats, crossing)
        levels = [theirs for _, theirs in self.levels]
        rows = [rows_of(scores[i], self.theirs.classes) for i in levels]
        knowledge['cross_dense_logits'] = torch.cat(rows)
        if 'cross_dense_boxes' in self.asked:
            head = self.teacher.model.bbox_head
            knowledge['cross_dense_boxes'] = decoded(head, boxes, levels)
        return knowledge | self._corners('cross', outputs)

    def _run(
        self, feats: tuple, crossing: dict[str, list[Tensor]]
    ) -> tuple[list, ...]:
        """Run the rest of the teacher's head on what crosses.

        The layers of the towers before it are left out.

        Args:
            feats: Inputs of the head.
            crossing: Kind of tower -> maps before the activation of layer
                ``depth``, one per level of the teacher.
        """
        head, whole = self.teacher.model.bbox_head, {}
        try:
            for kind, maps in crossing.items():
                tower = getattr(head, TOWERS[kind])
                whole[kind] = [*tower]
                last = int(self.towers[kind].rpartition('.')[2])
                for number in range(last):
                    tower[number] = nn.Identity()
                tower[last] = _Given(maps, tower[last].activate)
            return head(feats)
        finally:
            for kind, layers in whole.items():
                tower = getattr(head, TOWERS[kind])
                for number, layer in enumerate(layers):
                    tower[number] = layer

    def _corners(self, side: str, outputs: tuple[list, ...]) -> dict:
        """Return the edge distributions at matched levels, if asked for."""
        if not CORNERS & self.asked:
            return {}
        maps = [outputs[1][theirs] for _, theirs in self.levels]
        rows = [rows_of(level, 4 * self.theirs.bins) for level in maps]
        corners = torch.cat(rows).unflatten(1, (4, -1))
        return {f'{side}_dense_corners': corners}


class _Given(nn.Module):
    """A layer whose outputs are given, level by level."""

    def __init__(self, maps: list[Tensor], activate: nn.Module) -> None:
        super().__init__()
        self.maps, self.activate = iter(maps), activate

    def forward(self, _: Tensor) -> Tensor:
        return self.activate(next(self.maps))


def _like(ours: Tensor, theirs: Tensor) -> Tensor:
    """Give each channel the teacher's mean and standard deviation."""
    (mean, std), (their_mean, their_std) = map(_moments, (ours, theirs))
    return (ours.float() - mean) / std * their_std + their_mean


def _moments(level: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean and standard deviation of each channel, (1, C, 1, 1)."""
    level, axes = level.float(), (0, 2, 3)
    mean = level.mean(axes, keepdim=True)
    variance = level.var(axes, correction=0, keepdim=True)
    return mean, (variance + LEAST_VARIANCE).sqrt()
