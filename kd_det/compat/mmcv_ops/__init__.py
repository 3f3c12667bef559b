"""MMCV's operators implemented with torchvision and torch.

Names, arguments and results match MMCV's compiled module ``mmcv._ext``, whose
operators write into tensors allocated by the caller.
"""

from collections.abc import Callable

from kd_det.compat.mmcv_ops import (
    deform_attention,
    deform_conv,
    focal_loss,
    masked_conv,
    nms,
    roi_align,
    roi_pool,
)

HOW = (
    'set up with `make setup OPS=compiled`, or install onedl-mmcv on a '
    'machine with a compiler and torch (pip install --no-build-isolation '
    '--no-binary onedl-mmcv onedl-mmcv).'
)


def get_compiler_version() -> str:
    """Return the MMCV compiler version logged by MMEngine."""
    return 'none, operators of kd_det on torchvision'


def get_compiling_cuda_version() -> str:
    """Return the MMCV CUDA version logged by MMEngine."""
    return 'none'


OPERATORS = {
    operator.__name__: operator
    for operator in (
        nms.nms,
        nms.softnms,
        nms.nms_match,
        roi_align.roi_align_forward,
        roi_align.roi_align_backward,
        roi_pool.roi_pool_forward,
        roi_pool.roi_pool_backward,
        deform_conv.deform_conv_forward,
        deform_conv.deform_conv_backward_input,
        deform_conv.deform_conv_backward_parameters,
        deform_conv.modulated_deform_conv_forward,
        deform_conv.modulated_deform_conv_backward,
        focal_loss.sigmoid_focal_loss_forward,
        focal_loss.sigmoid_focal_loss_backward,
        focal_loss.softmax_focal_loss_forward,
        focal_loss.softmax_focal_loss_backward,
        deform_attention.ms_deform_attn_forward,
        deform_attention.ms_deform_attn_backward,
        masked_conv.masked_im2col_forward,
        masked_conv.masked_col2im_forward,
        get_compiler_version,
        get_compiling_cuda_version,
    )
}


def missing(name: str) -> Callable:
    """Return an operator that raises when it is called.

    Importing ``mmcv.ops`` looks up all operators, even unused ones.

    Args:
        name: Name of the operator in ``mmcv._ext``.

    Raises:
        AttributeError: The name is a module attribute, such as ``__path__``.
    """
    if name.startswith('__'):
        raise AttributeError(name)

    def operator(*args, **kwargs):
        raise NotImplementedError(
            f"MMCV's operator {name!r} has to be compiled, since it is not "
            f'available in torchvision; {HOW}'
        )

    operator.__name__ = name
    return operator
