"""Import mmrazor 1.0.0, unmaintained, beside today's torch and mmcv.

Three measures, taken when a config names a type of mmrazor and then once.
mmrazor's check of mmcv's version sees one that it accepts, for the length of
that check. Its quantisation, which needs torch internals that are gone, is
absent. And joblib, which it imports but does not declare, is a dependency of
kd_det. Nothing else changes, and where mmrazor works these do no harm.
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
ACCEPTED_MMCV = '2.1.0'  # the newest that mmrazor's check lets pass
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
    """Return whether a config is that of one of mmrazor's classes.

    Its ``type`` begins with ``mmrazor.``, or its scope is mmrazor's.

    Args:
        cfg: A config, or what stands in its place.
    """
    if not isinstance(cfg, dict):
        return False
    kind = cfg.get('type')
    named = isinstance(kind, str) and kind.startswith(PREFIX)
    return named or cfg.get('_scope_') == 'mmrazor'


def is_named(node) -> bool:
    """Return whether :func:`is_type` holds anywhere in a config.

    Args:
        node: A config, or a value in one.
    """
    if isinstance(node, dict):
        return is_type(node) or any(map(is_named, node.values()))
    return isinstance(node, (list, tuple)) and any(map(is_named, node))


@functools.cache
def ensure_importable() -> None:
    """Import mmrazor with all its distillation; a second call does nothing.

    Raises:
        UserError: mmrazor is not installed, or lacks a package.
    """
    if importlib.util.find_spec('mmrazor') is None:
        raise UserError(
            "The config names a type of mmrazor ('mmrazor.…'), which is not "
            "installed; pip install 'mmrazor==1.0.0' joblib."
        )
    try:
        with _accepted_version():
            importlib.import_module('mmrazor')
        with _absent(QUANTISATION):
            setup_env = importlib.import_module('mmrazor.utils.setup_env')
            # what MMEngine calls when it first looks into a registry of
            # mmrazor; False: the default scope stays
            setup_env.register_all_modules(False)
    except ImportError as error:
        raise UserError(
            f'mmrazor is installed and cannot be imported ({error}); '
            "pip install 'mmrazor==1.0.0' joblib ordered-set."
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
    """Return the class that a config names.

    Args:
        name: Where it stands in the config, for messages.
        cfg: The config.
        package: See :func:`parts`.
        refused: Name of a class that cannot be used -> why.

    Raises:
        UserError: There is no such class, or it cannot be used.
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
    """Make an object of one of mmrazor's classes.

    Args:
        name: Where it stands in the config, for messages.
        found: The class.
        arguments: Of its constructor.

    Raises:
        UserError: An argument is too many, missing or refused.
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
    import mmcv  # it takes a second

    true = mmcv.__version__
    mmcv.__version__ = ACCEPTED_MMCV
    try:
        yield
    finally:
        mmcv.__version__ = true


@contextmanager
def _absent(names: tuple[str, ...]) -> Iterator[None]:
    """Let empty modules stand for some while others import from them."""
    stand_ins = {name: _Absent(name) for name in names}
    stand_ins = {k: v for k, v in stand_ins.items() if k not in sys.modules}
    sys.modules.update(stand_ins)
    try:
        yield
    finally:
        for name in stand_ins:
            del sys.modules[name]


class _Absent(ModuleType):
    """A module that has any class; none of them can be made."""

    def __getattr__(self, name: str) -> type:
        if name.startswith('__'):
            raise AttributeError(name)

        def refuse(*args, **kwargs):
            raise UserError(
                f'{self.__name__}.{name} is quantisation, which needs parts '
                'of torch that are gone; the bridge to mmrazor has its '
                'distillation alone.'
            )

        return type(name, (), {'__new__': refuse})
