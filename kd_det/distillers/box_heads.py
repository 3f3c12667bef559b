"""TeacherBoxHeads: the teacher's box heads, asked about given RoIs."""

import torch
from torch import Tensor, nn

from kd_det.distillers.advice import advice, distiller_for
from kd_det.distillers.roi_levels import on_levels
from kd_det.errors import UserError
from kd_det.taps import FeatureTap, find_module

EXTRACTOR, HEAD = 'roi_head.bbox_roi_extractor', 'roi_head.bbox_head'
# the classifier's input is the embedding, its output the logits; the
# arguments of the head's loss hold the labels of the sampled RoIs
POINTS = {
    'rois': EXTRACTOR + '{stage}:input',
    'embed': HEAD + '{stage}.fc_cls:input',
    'logits': HEAD + '{stage}.fc_cls',
    'targets': HEAD + '{stage}.loss_cls:input',
    # what a head with global average pooling pools
    'map': HEAD + '{stage}.avg_pool:input',
}
# of the teacher, where a loss asks for boxes
BOXES = {
    'boxes': HEAD + '{stage}.fc_reg',
    'boxes_from': HEAD + '{stage}.fc_reg:input',
}


class TeacherBoxHeads:
    """One box head, or those of a cascade, of a frozen detector.

    A stage of the student's is seen by the head of that stage, or by the
    last where the teacher has fewer.

    Args:
        model: The detector.
        count: How many heads it has, see :func:`box_heads`.
        pooled: Whether to record what its average pooling sees.
        boxes: Whether to record its boxes.
    """

    def __init__(
        self, model: nn.Module, count: int, pooled: bool, boxes: bool
    ) -> None:
        self.model = model
        self.count = count
        keys = ['embed', 'logits', *['map'] * pooled]
        self.points = {key: POINTS[key] for key in keys} | (
            BOXES if boxes else {}
        )

    def number(self, stage: int) -> int:
        """Return which head sees a stage of the student's."""
        return min(stage, self.count - 1)

    def suffix(self, stage: int) -> str:
        """Return the end of the paths to that head: ``'.0'``, or ''."""
        return f'.{self.number(stage)}' if self.count > 1 else ''

    def layer(self, stage: int, name: str) -> nn.Module:
        """Return a layer of that head, such as ``fc_cls``."""
        return find_module(self.model, f'{HEAD}{self.suffix(stage)}.{name}')

    @torch.no_grad()
    def ask(
        self,
        feats: tuple[Tensor, ...],
        rois: Tensor,
        stage: int,
        by_level: list[Tensor] = (),
    ) -> dict[str, list]:
        """Run the head on RoIs; return what its taps recorded.

        Args:
            feats: The teacher's feature maps.
            rois: RoIs (N, 5): image index, x1, y1, x2, y2 in pixels.
            stage: Of the student.
            by_level: The same RoIs as :func:`rois_by_level` has them, or
                empty.
        """
        rois = rois.to(feats[0].dtype)
        suffix = self.suffix(stage)
        points = {k: p.format(stage=suffix) for k, p in self.points.items()}
        number = [self.number(stage)] if suffix else []
        # made anew: a tap kept would be copied when the pair is, and listen
        # to copies of the teacher's layers
        extractor = find_module(self.model, f'{EXTRACTOR}{suffix}')
        with (
            FeatureTap(self.model, points) as records,
            on_levels(extractor, by_level),
        ):
            self.model.roi_head._bbox_forward(*number, feats, rois)
        return records

    @torch.no_grad()
    def sample(
        self, inputs: Tensor, samples: list, stage: int
    ) -> tuple[Tensor, Tensor]:
        """Return embeddings and labels of RoIs that the teacher proposes.

        Args:
            inputs: Images as the teacher wants them.
            samples: Data samples with boxes in the pixels of ``inputs``.
            stage: Of the student.

        Returns:
            Embeddings (N, D) and the teacher's labels (N,), background
            last.
        """
        suffix = self.suffix(stage)
        points = {
            key: POINTS[key].format(stage=suffix)
            for key in ('embed', 'targets')
        }
        with FeatureTap(self.model, points) as records:
            self.model(inputs, samples, mode='loss')
        return embed_of(records), labels_of(records)

    def cross(
        self, name: str, embed: Tensor, stages: list[int], which: Tensor | None
    ) -> Tensor:
        """Return what a layer of the heads makes of another's embedding.

        Args:
            name: Of the layer.
            embed: Embeddings (N, D).
            stages: Of the student, those distilled.
            which: Stage of each row (N,), where there are several.
        """
        crossed = None
        for stage in stages:
            layer = self.layer(stage, name)
            made = layer(embed.to(layer.weight.dtype))
            if crossed is not None:
                made = made.where((which == stage)[:, None], crossed)
            crossed = made
        return crossed


def boxes_of(records: dict[str, list]) -> Tensor:
    """Return the deltas (N, 4) of the class with the largest logit.

    Args:
        records: Of :meth:`TeacherBoxHeads.ask`.

    Raises:
        UserError: The box layer sees something else than the class layer.
    """
    source = records['boxes_from'][0][0]
    if source.data_ptr() != embed_of(records).data_ptr():
        raise UserError(
            "A loss asks for boxes, but the teacher's box head has a "
            'branch of its own for them, so that its box layer does not '
            'see what the class layer sees; take BoxRegressionLoss out.'
        )
    return of_best(records['boxes'][0], records['logits'][0])


def of_best(deltas: Tensor, logits: Tensor) -> Tensor:
    """Return the deltas (N, 4) of the class with the largest logit.

    Args:
        deltas: Of each class, (N, 4 K), or of one box for all, (N, 4).
        logits: Shape (N, K + 1), background last.
    """
    deltas = deltas.unflatten(1, (-1, 4))
    if deltas.shape[1] == 1:  # one box for all classes
        return deltas[:, 0]
    best = logits[:, :-1].argmax(1)  # no background
    return deltas.take_along_dim(best[:, None, None], 1)[:, 0]


def embed_of(records: dict[str, list]) -> Tensor:
    """Return the embeddings (N, D) that a tap recorded."""
    record = records['embed'][0]
    # what goes in is a tuple, what comes out is not
    return record[0] if isinstance(record, tuple) else record


def labels_of(records: dict[str, list]) -> Tensor:
    """Return the labels (N,) of the RoIs that a head's loss saw."""
    if records['targets']:
        return records['targets'][0][1]
    # the head skips its loss when nothing was sampled
    return embed_of(records).new_zeros(0, dtype=torch.long)


def count_heads(model: nn.Module, side: str, other: nn.Module) -> int:
    """Return how many box heads a detector has: one, or those of a cascade.

    Args:
        model: A two-stage detector.
        side: What to call it in a message.
        other: The other side of the pair, for the message.

    Raises:
        UserError: It has no box head with a class layer ``fc_cls``.
    """
    head = getattr(getattr(model, 'roi_head', None), 'bbox_head', None)
    if distiller_for(model) == 'RoIDistiller':
        return len(head) if isinstance(head, nn.ModuleList) else 1
    raise UserError(
        f'RoIDistiller reads the box head of a two-stage detector such as '
        f'FasterRCNN, and the {side} {type(model).__name__} has none with a '
        f'class layer fc_cls; {advice(model, other)}'
    )
