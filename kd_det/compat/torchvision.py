"""Let ``import torchvision`` succeed beside a torch that it does not fit.

Its compiled operators cannot load there, and its Python half then fails on
registering the fake kernels of two operators nobody declared. Declaring the
two schemas is enough for all that mmdet and mmpretrain use of torchvision
(models, transforms); the operators are then those of a compiled MMCV, see
tools/compile_ops.sh. Where torchvision works, nothing is done.
"""

import importlib.util

import torch

SCHEMAS = (
    'nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor',
    'qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor',
)
_declared: list[torch.library.Library] = []  # a Library undeclares on free


def ensure_importable() -> None:
    """Declare the operators that torchvision's Python half asks for."""
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
