"""Resolve the short spec of a network to its full config."""

import copy
import functools
import inspect
import os.path as osp
from collections.abc import Mapping
from pathlib import Path

from mmengine.config import Config, ConfigDict
from mmengine.config.utils import MODULE2PACKAGE
from mmengine.registry import MODELS
from mmengine.utils import get_installed_path, is_installed

from kd_det.config import OTHER_HEADS, set_num_classes
from kd_det.config_errors import CUSTOM_IMPORT, reason_of
from kd_det.config_file import ConfigFile
from kd_det.errors import UserError, nearest
from kd_det.shipped import config_path

# Keys of a student's spec about its initialisation, read by DistillModel.
BEGINS = ('inherit', 'inherit_from', 'stitch')
_DUMPS: dict[tuple[str, bytes], Config] = {}  # path and content -> config
EXAMPLE = 'mmdet::faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py'


def read_spec(
    spec: dict, side: str, reads: tuple[str, ...] = ()
) -> tuple[ConfigDict, Config]:
    """Resolve ``dict(cfg=..., num_classes=..., **overrides)``.

    ``cfg`` names a config of an installed package
    (``'mmdet::faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py'``, or one of
    ``kd_det::``) or a file; the other keys of ``spec`` override its ``model``.
    A part with a new type keeps the old arguments if it accepts all of them,
    otherwise none, as with ``_delete_``. Without ``cfg`` the spec is itself
    the model config. A student's ``inherit`` keys are not part of its network
    and are left out.

    Args:
        spec: The config of one side of the pair.
        side: ``'student'`` or ``'teacher'``, for messages.
        reads: Keys that the caller has removed from ``spec``, for messages.

    Returns:
        The model config, ready to build, and the whole config it comes from
        (empty without ``cfg``).

    Raises:
        UserError: The config does not exist or has no model, or a key is
            unknown.
    """
    check_spec(spec, side)
    # a deep copy, since merging removes the _delete_ keys from its input
    overrides = copy.deepcopy(dict(spec))
    if side == 'student':
        overrides = {k: v for k, v in overrides.items() if k not in BEGINS}
        reads = (*reads, *BEGINS)
    source = overrides.pop('cfg', None)
    num_classes = overrides.pop('num_classes', None)
    whole = Config() if source is None else _load(source, side)
    own = {*(whole.get('model') or ())}
    if source is None:
        whole.model = overrides
    elif isinstance(whole.get('model'), dict):
        scope = overrides.get('_scope_') or whole.model.get('_scope_')
        scope = scope or whole.get('default_scope', 'mmdet')
        _drop_strangers(overrides, whole.model, scope)
        try:
            whole.merge_from_dict(dict(model=overrides))
        except (TypeError, KeyError) as error:
            raise UserError(
                f'The {side} overrides what {source!r} does not have '
                f'({error}).'
            ) from None
    if 'type' not in (whole.get('model') or ()):
        raise UserError(
            f'The {side} has no model: give cfg=… (a config with a `model`) '
            f'or type=…; got keys {sorted(spec)}.'
        )
    model = whole.model
    model.setdefault('_scope_', whole.get('default_scope', 'mmdet'))
    accepted = ('cfg', 'num_classes', *reads)
    _check_keys(model, {*overrides} - own, side, accepted)
    if whole.get('data_preprocessor'):
        model.setdefault('data_preprocessor', whole.data_preprocessor)
    if num_classes is not None:
        if source is not None:
            _check_counts(overrides, num_classes, side)
        set_num_classes(model, num_classes)
    return model, whole


def _check_counts(overrides: dict, num_classes: int, side: str) -> None:
    """Raise if a number of classes is written that the run's replaces."""
    for key, value in overrides.items():
        # those of the data are checked with them
        if key in ('data_preprocessor', *OTHER_HEADS):
            continue
        parts = value if isinstance(value, (list, tuple)) else [value]
        for part in parts:
            if isinstance(part, dict):
                _check_counts(part, num_classes, f'{side}.{key}')
        if key == 'num_classes' and value != num_classes:
            raise UserError(
                f'{side}.num_classes={value}, but the run has {num_classes} '
                'classes, which every head follows; remove it, or correct '
                'classes=(…).'
            )


def check_spec(spec: dict, side: str) -> None:
    """Raise a UserError unless ``spec`` is a dict with a string ``cfg``."""
    if not isinstance(spec, dict):
        raise UserError(
            f'The {side} is {spec!r}; dict(cfg=…) or a dict with a model '
            'type is accepted.'
        )
    source = spec.get('cfg')
    if source is not None and not isinstance(source, str):
        raise UserError(
            f'The {side} has cfg={source!r}; a file name or a name such as '
            f'{EXAMPLE!r} is accepted.'
        )


def _drop_strangers(overrides: dict, old: dict, scope: str) -> None:
    """Add ``_delete_`` if a part's new type takes other arguments.

    The user's own ``_delete_`` is consumed when a config inherits from a
    parent with overrides at the same place.
    """
    for key, new in overrides.items():
        part = old.get(key)
        if not isinstance(new, dict) or not isinstance(part, dict):
            continue
        kind = new.get('type', part.get('type'))
        if kind == part.get('type'):
            _drop_strangers(new, part, scope)
        elif inspect.isclass(kind := _class_of(kind, scope)):
            if not {*part} - {'type', '_scope_'} <= _arguments(kind):
                new['_delete_'] = True


def _arguments(kind: type) -> set[str]:
    """Return the arguments of a class and, via ``**kwargs``, of its bases."""
    names = set()
    for base in inspect.getmro(kind):
        if '__init__' in vars(base):
            parameters = inspect.signature(base.__init__).parameters
            names |= {*parameters}
            if not _takes_any(parameters):
                break
    return names


def _class_of(kind: str | type, scope: str) -> type | None:
    with MODELS.switch_scope_and_registry(scope) as registry:
        return registry.get(kind) if isinstance(kind, str) else kind


def _takes_any(parameters: Mapping[str, inspect.Parameter]) -> bool:
    return any(p.kind is p.VAR_KEYWORD for p in parameters.values())


def _check_keys(
    model: dict, keys: set[str], side: str, accepted: tuple[str, ...]
) -> None:
    """Raise if a key is not an argument of the model."""
    if not keys:
        return
    kind = _class_of(model['type'], model['_scope_'])
    if kind is None:
        return  # reported when it is built
    parameters = inspect.signature(kind).parameters
    if _takes_any(parameters):
        return
    for key in sorted(keys - {*parameters, 'type', '_scope_', '_delete_'}):
        known = [*accepted, *parameters]
        raise UserError(
            f'The {side} has {key!r}, which nothing reads; accepted are '
            f'{", ".join(known)}{nearest(key, known, f"{side}.") or "."}'
        )


def _load(source: str, side: str) -> Config:
    source = config_path(source)
    package, is_package, inner = source.partition('::')
    if is_package and not (
        package in MODULE2PACKAGE and is_installed(MODULE2PACKAGE[package])
    ):
        raise UserError(
            f'The {side} config {source!r} is of the package {package!r}, '
            'which is not installed, or has no configs; install it, or write '
            f'a name such as {EXAMPLE!r}.'
        )
    try:
        if is_package:
            return copy.deepcopy(_of_package(source))
        return _of_file(source)
    except UserError as error:
        raise UserError(f'The {side} config {source!r}: {error}') from None
    except (Exception, SystemExit) as error:  # a config can raise anything
        if CUSTOM_IMPORT in str(error):
            raise  # kd_det.preflight.explain explains it
        where = (
            f'package {package!r} has no such config{_hint(package, inner)}'
            if is_package
            and isinstance(error, (OSError, LookupError, ValueError))
            else f'looked in {osp.abspath(source)!r}: '
            f'{reason_of(error, source)}'
        )
        raise UserError(
            f'The {side} config {source!r} cannot be read: {where}.'
        ) from None


@functools.cache
def _of_package(name: str) -> Config:
    """Read a config of a package, which does not change meanwhile."""
    return Config.fromfile(Config._get_cfg_path(name, '')[0])


def _of_file(path: str) -> Config:
    """Read a file; one that holds values alone is read once.

    A run reads the configs of its networks several times, and what MMEngine
    has dumped, such as the config of an earlier run, is long.
    """
    key = path, Path(path).read_bytes() if Path(path).is_file() else b''
    if key in _DUMPS:
        return copy.deepcopy(_DUMPS[key])
    file = ConfigFile(path)
    if file.files and file.files[-1].is_dump:
        _DUMPS[key] = copy.deepcopy(file.cfg)
    return file.cfg


def _hint(package: str, name: str) -> str:
    """Return what a name in a package may mean, or how one is written."""
    root = get_installed_path(MODULE2PACKAGE[package])
    folder = Path(root) / '.mim' / 'configs'
    known = [p.relative_to(folder).as_posix() for p in folder.rglob('*.py')]
    return (
        nearest(name, known, f'{package}::')
        or f'; write a name such as {EXAMPLE!r}'
    )
