"""MMCV's operators on those of torchvision and torch; nothing is compiled.

Names, arguments and results are those of MMCV's compiled ``mmcv._ext``,
which writes into tensors that the caller made.
"""

from collections.abc import Callable

from kd_det.compat.mmcv_ops import nms, roi

OPERATORS = {
    operator.__name__: operator
    for operator in (nms.nms, roi.roi_align_forward, roi.roi_align_backward)
}


def missing(name: str) -> Callable:
    """Return an operator that raises when it is called.

    MMCV looks up every operator when ``mmcv.ops`` is imported, also those
    that no model uses.

    Args:
        name: The operator's name in ``mmcv._ext``.

    Raises:
        AttributeError: The name is that of a module's attribute, such as
            ``__path__``.
    """
    if name.startswith('__'):
        raise AttributeError(name)

    def operator(*args, **kwargs):
        raise NotImplementedError(
            f"MMCV's operator {name!r} is not among those that kd_det has on "
            'torchvision; set up with `make setup OPS=compiled`, which '
            'compiles all of MMCV.'
        )

    operator.__name__ = name
    return operator
