"""MGD: feature maps generated from masked ones."""

from torch import Tensor

from kd_det.functional._common import check_shapes, float32_math


@float32_math
def mgd_loss(generated_feat: Tensor, teacher_feat: Tensor) -> Tensor:
    r"""MGD: squared distance between a generated map and the teacher's.

    .. math:: \ell_i = \sum_{c,h,w} (g_{ichw} - t_{ichw})^2

    The generated map is the student's after random masking and a generation
    block, see :class:`kd_det.connectors.MGDConnector`.

    Args:
        generated_feat: Shape (N, C, H, W).
        teacher_feat: Shape (N, C, H, W); detached.

    Returns:
        Shape (N,).

    Raises:
        ValueError: If the shapes differ.

    Paper: https://arxiv.org/abs/2205.01529
    """
    check_shapes(
        generated_feat=(generated_feat, 'N C H W'),
        teacher_feat=(teacher_feat, 'N C H W'),
    )
    return (generated_feat - teacher_feat.detach()).square().sum((1, 2, 3))
