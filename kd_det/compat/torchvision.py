"""Make ``import torchvision`` work with a torch that does not match it.

Its compiled operators cannot be loaded in that case, and its Python code then
fails when registering fake kernels of two undeclared operators. Declaring the
two schemas is enough for everything that mmdet and mmpretrain use (models,
transforms); the operators must then come from a compiled MMCV, see
tools/compile_ops.sh. If torchvision works, nothing is done.
"""

import importlib.util

import torch

SCHEMAS = (
    'nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor',
    'qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor',
)
_declared: list[
    torch.library.Library
] = []  # a Library removes its declarations when freed


def ensure_importable() -> None:
    """Declare the operators that torchvision's Python code needs."""
    if _declared or importlib.util.find_spec('torchvision') is None:
        return
    try:
        import torchvision  # noqa: F401
    except RuntimeError as error:
        if 'torchvision::nms does not exist' not in str(error):
            raise
        library = torch.library.Library('torchvision', 'FRAGMENT')
        for schema in SCHEMAS:
            library.define(schema)
        _declared.append(library)
        import torchvision  # noqa: F401
