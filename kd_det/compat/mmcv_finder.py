"""Provide ``mmcv._ext``, MMCV's compiled operators, if it was not built.

If MMCV was installed without a compiler, ``mmcv._ext`` is missing and
importing ``mmcv.ops`` fails. This finder comes last on ``sys.meta_path``, so a
compiled module always takes precedence. It only imports the standard library,
so that ``kd_det_ops.pth`` can install it in every Python process.
"""

import importlib
import sys
from importlib.machinery import ModuleSpec
from types import ModuleType

NAME = 'mmcv._ext'
OPERATORS = 'kd_det.compat.mmcv_ops'


class OperatorFinder:
    """Find and load ``mmcv._ext`` with kd_det's operators."""

    @staticmethod
    def find_spec(name: str, path=None, target=None) -> ModuleSpec | None:
        """Return the spec of ``mmcv._ext``, and None for any other module."""
        return ModuleSpec(name, OperatorFinder) if name == NAME else None

    @staticmethod
    def create_module(spec: ModuleSpec) -> None:
        """Let Python create the module."""

    @staticmethod
    def exec_module(module: ModuleType) -> None:
        """Fill ``mmcv._ext`` with the operators."""
        operators = importlib.import_module(OPERATORS)
        vars(module).update(operators.OPERATORS)
        module.__doc__ = operators.__doc__
        module.__getattr__ = operators.missing


def install() -> None:
    """Append the finder to ``sys.meta_path`` once."""
    if OperatorFinder not in sys.meta_path:
        sys.meta_path.append(OperatorFinder)
