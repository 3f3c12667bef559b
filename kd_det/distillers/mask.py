"""MaskDistiller: distils the mask head of a two-stage detector."""

import torch
from torch import Tensor, nn

from kd_det.distillers.base import Distiller
from kd_det.errors import UserError
from kd_det.registry import MODELS

HEAD, EXTRACTOR = 'roi_head.mask_head', 'roi_head.mask_roi_extractor'


@MODELS.register_module()
class MaskDistiller(Distiller):
    """Distil the masks of Mask R-CNN on the student's foreground RoIs.

    Taps record the RoIs, labels and mask logits with which the student
    computes its own loss; the teacher's mask head then runs on the same RoIs.
    ``student_masks`` and ``teacher_masks`` are the logits (N, H, W) of the
    class that each RoI is annotated with, or of the one mask of heads with
    ``class_agnostic``. RoIs of classes that the teacher does not know are left
    out.

    Args:
        losses: Name (``loss_…``) -> config of a ``DistillLoss``.

    Raises:
        UserError: At the build: a network has no mask head, one for each
            stage of a cascade, or one without RoIs of its own; or only one of
            them has a mask for each class.
    """

    provides = ('student_masks', 'teacher_masks')
    alone = ('student_masks',)
    points = dict(
        rois=f'{EXTRACTOR}:input',
        masks=HEAD,
        targets=f'{HEAD}.loss_mask:input',
    )

    def __init__(self, losses: dict) -> None:
        super().__init__(losses)

    def bind(self, name: str, student: nn.Module, teacher: nn.Module) -> None:
        """See :meth:`Distiller.bind`."""
        ours = _head(student, 'student')
        theirs = _head(teacher.model, 'teacher')
        self.check_counts(ours.num_classes, theirs.num_classes)
        self.agnostic = ours.class_agnostic
        if self.agnostic != theirs.class_agnostic:
            raise UserError(
                'MaskDistiller: one of the mask heads has a mask for each '
                'class, the other one for all; set class_agnostic of the '
                f"student's to {theirs.class_agnostic}."
            )
        super().bind(name, student, teacher)

    def read(
        self, student: dict, teacher: dict, feats: tuple, samples: list
    ) -> dict:
        """Return the fields of one step; see :meth:`Distiller.read`."""
        _, rois = student['rois'][0][:2]
        (masks,) = student['masks']
        # the head skips its loss when no RoI is foreground
        labels = masks.new_zeros(0, dtype=torch.long)
        if student['targets']:
            labels = student['targets'][0][2]
        theirs = labels
        if self.match is not None and not self.agnostic:
            theirs = self.match.to_teacher[labels]
            known = (theirs >= 0).nonzero()[:, 0]
            masks, rois = masks[known], rois[known]
            labels, theirs = labels[known], theirs[known]
        knowledge = dict(student_masks=_of_class(masks, labels))
        if not self.needs_teacher:
            return knowledge
        with self.teacher.asked():
            found = self.teacher.model.roi_head._mask_forward(
                feats, rois.to(feats[0].dtype)
            )
        other = self.teacher.plain(found['mask_preds'])
        if other.shape[-2:] != masks.shape[-2:]:
            raise UserError(
                f"The student's masks are {tuple(masks.shape[-2:])}, the "
                f"teacher's {tuple(other.shape[-2:])}; use mask heads and RoI "
                'extractors of the same output size.'
            )
        knowledge['teacher_masks'] = _of_class(other, theirs)
        return knowledge


def _head(network: nn.Module, side: str) -> nn.Module:
    """Return the mask head of a detector, or raise."""
    roi_head = getattr(network, 'roi_head', None)
    head = getattr(roi_head, 'mask_head', None)
    if not hasattr(head, 'loss_mask'):
        what = 'one per stage' if isinstance(head, nn.ModuleList) else 'none'
        raise UserError(
            'MaskDistiller reads the mask head of a detector such as Mask '
            f'R-CNN, and the {side} {type(network).__name__} has {what}; use '
            'RoIDistiller or FeatureDistiller.'
        )
    if getattr(roi_head, 'share_roi_extractor', False):
        raise UserError(
            f"MaskDistiller: the {side}'s {type(roi_head).__name__} shares "
            'the RoI extractor of its box head, so its masks have no RoIs '
            'of their own; give it a mask_roi_extractor.'
        )
    return head


def _of_class(masks: Tensor, labels: Tensor) -> Tensor:
    """Return the masks (N, H, W) of one class per row.

    Args:
        masks: Masks for each class, (N, K, H, W), or one for all.
        labels: Shape (N,).
    """
    if masks.shape[1] == 1:
        return masks[:, 0]
    rows = torch.arange(len(masks), device=masks.device)
    return masks[rows, labels]
