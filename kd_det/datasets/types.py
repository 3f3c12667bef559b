"""From the config of a data set to its class, and to it, unread."""

from mmengine.registry import DATASETS

from kd_det.config_data import parts_of
from kd_det.errors import UserError, nearest

# Wrappers of MMEngine and MMDetection that leave nothing out.
WHOLE = (
    'ClassBalancedDataset',
    'ConcatDataset',
    'MultiImageMixDataset',
    'RepeatDataset',
)


def type_of(leaf: dict) -> type:
    """Return the class that a data set's config names.

    Args:
        leaf: The config of one data set, no wrapper.

    Raises:
        UserError: There is no such type.
    """
    name = leaf.get('type')
    if isinstance(name, type):
        return name
    # get() alone does not look into the default scope
    with DATASETS.switch_scope_and_registry(leaf.get('_scope_')) as registry:
        found = registry.get(name) if isinstance(name, str) else None
        if found is None:
            raise UserError(
                f'There is no data set type {name!r}; write one of '
                "MMDetection or MMPretrain, e.g. 'CocoDataset'"
                f'{nearest(str(name), registry.module_dict) or "."}'
            )
    return found


def is_classification(kind: type) -> bool:
    """Return whether a data set class is, or extends, one of MMPretrain."""
    return any(
        base.__module__.startswith('mmpretrain.') for base in kind.mro()
    )


def keeps_all(dataset: dict) -> bool:
    """Return whether a config gives every sample of its annotation files.

    Wrappers of another type than those known to do so, and data sets with
    ``indices``, may leave some out.

    Args:
        dataset: The config of a data set, perhaps a wrapper.
    """
    children = parts_of(dataset)
    if not children:
        return dataset.get('indices') is None
    kind = type_of(dataset)
    known = kind.__module__.startswith(('mmengine.', 'mmdet.'))
    return known and kind.__name__ in WHOLE and all(map(keeps_all, children))


def without_views(dataset: dict) -> dict:
    """Return the config of a data set without ``SeededViews`` around it."""
    has_views = str(dataset.get('type')).endswith('SeededViews')
    return dataset['dataset'] if has_views else dataset


def is_coco(kind: type) -> bool:
    """Return whether a data set class is, or extends, that of COCO."""
    return any(base.__name__ == 'CocoDataset' for base in kind.mro())


def reads_as_coco(kind: type) -> bool:
    """Return whether a class reads COCO json as MMDetection's own does.

    Some that extend it have images in other places, or labels in another
    order.
    """
    for base in kind.mro():
        if base.__name__ == 'CocoDataset':
            return True
        if {'load_data_list', 'parse_data_info'} & {*vars(base)}:
            return False
    return False


def make(leaf: dict, lazy: bool):
    """Make a data set without its pipeline.

    Args:
        leaf: Its config.
        lazy: Leave it unread: its paths and classes are known, no more.

    Raises:
        UserError: It does not accept its arguments.
    """
    kind = type_of(leaf)
    own = {k: v for k, v in leaf.items() if k not in ('type', '_scope_')}
    own.update(pipeline=[], lazy_init=lazy, serialize_data=False)
    try:
        return kind(**own)
    except (AssertionError, TypeError, RuntimeError) as error:
        reason = ' '.join(str(error).split())
        raise UserError(
            f'The data set {kind.__name__} cannot be made of its config '
            f'({reason}); mend its arguments.'
        ) from None
