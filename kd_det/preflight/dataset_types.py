"""From the config of a data set to its class, and to it, unread."""

from mmengine.registry import DATASETS

from kd_det.errors import UserError, nearest


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


def make(leaf: dict, lazy: bool):
    """Make a classification data set without its pipeline.

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
