"""The number of classes of a network's head."""

from torch import nn


def class_count(model: nn.Module) -> int | None:
    """Return the number of classes of a network's head, or None if unknown.

    Args:
        model: A classifier or a detector. A region proposal network has no
            classes.
    """
    for path in ('head', 'bbox_head', 'roi_head.bbox_head'):
        part = model
        for name in path.split('.'):
            part = getattr(part, name, None)
        if isinstance(part, nn.ModuleList):  # the heads of a cascade
            part = part[0] if len(part) else None
        count = getattr(part, 'num_classes', None)
        if count and 'RPN' not in type(part).__name__:
            return count
    return None
