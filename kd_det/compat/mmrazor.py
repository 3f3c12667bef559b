"""Import the unmaintained mmrazor 1.0.0 with current torch and mmcv.

This takes four measures, once, if a config uses an mmrazor type: mmcv's
version is temporarily changed to one that passes mmrazor's version check; the
quantisation modules, which need torch internals that no longer exist, are
replaced by empty ones; Python's recursion limit, which mmrazor raises to a
million, is set back; and joblib, an undeclared dependency, is a dependency of
kd_det. They are harmless if mmrazor works anyway.
"""

import functools
import importlib
import importlib.util
import inspect
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

from torch import nn

from kd_det.errors import UserError, nearest

PREFIX = 'mmrazor.'
ACCEPTED_MMCV = '2.1.0'  # the newest version that passes mmrazor's check
QUANTISATION = (
    'mmrazor.structures.quantization',
    'mmrazor.models.algorithms.quantization',
    'mmrazor.models.fake_quants',
    'mmrazor.models.observers',
    'mmrazor.models.quantizers',
    'mmrazor.engine.runner.quantization_loops',
)
LOSSES = 'mmrazor.models.losses'
CONNECTORS = 'mmrazor.models.architectures.connectors'


def is_type(cfg) -> bool:
    """Return whether a config is for one of mmrazor's classes.

    Its ``type`` starts with ``mmrazor.``, or its scope is mmrazor.

    Args:
        cfg: A config or any other value.
    """
    if not isinstance(cfg, dict):
        return False
    kind = cfg.get('type')
    named = isinstance(kind, str) and kind.startswith(PREFIX)
    return named or cfg.get('_scope_') == 'mmrazor'


def is_named(node) -> bool:
    """Return whether a config contains an mmrazor type anywhere.

    Args:
        node: A config, or a value in one.
    """
    if isinstance(node, dict):
        return is_type(node) or any(map(is_named, node.values()))
    return isinstance(node, (list, tuple)) and any(map(is_named, node))


@functools.cache
def ensure_importable() -> None:
    """Import mmrazor's distillation parts, once.

    Raises:
        UserError: mmrazor or one of its dependencies is not installed.
    """
    if importlib.util.find_spec('mmrazor') is None:
        raise UserError(
            "The config names a type of mmrazor ('mmrazor.…'), which is not "
            "installed; pip install 'mmrazor==1.0.0' joblib."
        )
    try:
        with _accepted_version():
            importlib.import_module('mmrazor')
        with _absent(QUANTISATION), _recursion_limit_kept():
            setup_env = importlib.import_module('mmrazor.utils.setup_env')
            # MMEngine calls this on first use of an mmrazor registry; False
            # keeps the default scope
            setup_env.register_all_modules(False)
    except ImportError as error:
        raise UserError(
            f'mmrazor is installed but cannot be imported ({error}); pip '
            "install 'mmrazor==1.0.0' joblib ordered-set."
        ) from error


def parts(package: str) -> dict[str, type[nn.Module]]:
    """Return mmrazor's registered classes of one package by name.

    Args:
        package: ``LOSSES`` or ``CONNECTORS``.
    """
    ensure_importable()
    registry = importlib.import_module('mmrazor.registry').MODELS
    return {
        name: found
        for name, found in sorted(registry.module_dict.items())
        if found.__module__.startswith(f'{package}.')
    }


def find(
    name: str, cfg: dict, package: str, refused: dict[str, str]
) -> type[nn.Module]:
    """Return the mmrazor class of a config.

    Args:
        name: Path in the config, for messages.
        cfg: The config.
        package: See :func:`parts`.
        refused: Names of unusable classes -> reason.

    Raises:
        UserError: The class is unknown or unusable.
    """
    known = parts(package)
    kind = str(cfg.get('type')).removeprefix(PREFIX)
    if kind in refused:
        raise UserError(
            f'{name}: mmrazor.{kind} cannot be used in a distiller: '
            f'{refused[kind]}.'
        )
    if kind not in known:
        usable = [PREFIX + key for key in known if key not in refused]
        raise UserError(
            f'{name} is of unknown type {cfg.get("type")!r}; accepted are '
            f'{", ".join(usable)}{nearest(PREFIX + kind, usable) or "."}'
        )
    return known[kind]


def make(name: str, found: type[nn.Module], arguments: dict) -> nn.Module:
    """Build an object of one of mmrazor's classes.

    Args:
        name: Path in the config, for messages.
        found: The class.
        arguments: Arguments of its constructor.

    Raises:
        UserError: An argument is unknown, missing or invalid.
    """
    accepted = inspect.signature(found).parameters
    try:
        inspect.signature(found).bind(**arguments)
        return found(**arguments)
    except (AssertionError, TypeError, ValueError) as error:
        raise UserError(
            f'{name} (mmrazor.{found.__name__}) {error}; accepted are '
            f'{", ".join(accepted)}.'
        ) from error


@contextmanager
def _accepted_version() -> Iterator[None]:
    import mmcv  # takes a second

    true = mmcv.__version__
    mmcv.__version__ = ACCEPTED_MMCV
    try:
        yield
    finally:
        mmcv.__version__ = true


@contextmanager
def _recursion_limit_kept() -> Iterator[None]:
    """Undo a new limit, beyond which Python would crash on a nested file."""
    limit = sys.getrecursionlimit()
    try:
        yield
    finally:
        sys.setrecursionlimit(limit)


@contextmanager
def _absent(names: tuple[str, ...]) -> Iterator[None]:
    """Temporarily replace modules by empty ones."""
    stand_ins = {name: _Absent(name) for name in names}
    stand_ins = {k: v for k, v in stand_ins.items() if k not in sys.modules}
    sys.modules.update(stand_ins)
    try:
        yield
    finally:
        for name in stand_ins:
            del sys.modules[name]


class _Absent(ModuleType):
    """A module that pretends to have any class; none can be built."""

    def __getattr__(self, name: str) -> type:
        if name.startswith('__'):
            raise AttributeError(name)

        def refuse(*args, **kwargs):
            raise UserError(
                f'{self.__name__}.{name} is part of quantisation, which '
                "needs parts of torch that no longer exist; only mmrazor's "
                'distillation is supported.'
            )

        return type(name, (), {'__new__': refuse})
