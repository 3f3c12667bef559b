"""Make MMEngine resolve ``kd_det::NAME`` in ``_base_``, and do it fast.

MMEngine only supports a fixed list of packages, requires a folder in every
name, and would set a scope that does not fit our configs. The function that
resolves a base is therefore wrapped.

MMEngine also looks up each ``PACKAGE::NAME`` in all metafiles of the package,
for half a second, by a name without the ``.py`` that they list it with, and
then takes the file in the folder of configs. Only that is left.
"""

import os.path as osp
import sys
from collections.abc import Iterator

from mmengine.config import Config, config
from mmengine.config.utils import _get_external_cfg_base_path

from kd_det.errors import UserError
from kd_det.shipped import PREFIX, config_path

DEEPEST = 50  # bases below one another; each level takes longer to read


def install() -> None:
    """Wrap ``Config._get_cfg_path``, once."""
    stock = Config._get_cfg_path
    if hasattr(stock, 'of_kd_det'):
        return

    def get_cfg_path(cfg_path: str, filename: str) -> tuple[str, str | None]:
        if not isinstance(cfg_path, str):
            raise UserError(
                f'_base_ has {cfg_path!r}; the path of a config, or a list '
                'of paths, is accepted.'
            )
        if cfg_path.startswith(PREFIX):
            path, scope = config_path(cfg_path), None
        else:
            path, scope = stock(cfg_path, filename)
        if osp.abspath(path) in files_being_read():
            raise UserError(
                f'{filename!r} has {cfg_path!r} in _base_ and thus inherits '
                'from itself; remove it.'
            )
        if len([*files_being_read()]) > DEEPEST:
            raise UserError(
                f'{filename!r} is the base of a base, and so on, more than '
                f'{DEEPEST} times; write what they set into fewer files.'
            )
        return path, scope

    get_cfg_path.of_kd_det = True
    Config._get_cfg_path = staticmethod(get_cfg_path)
    config._get_external_cfg_path = _get_external_cfg_base_path


def files_being_read() -> Iterator[str]:
    """Yield the configs that MMEngine is reading now, the innermost first."""
    frame = sys._getframe()
    while frame := frame.f_back:
        if frame.f_code is Config._file2dict.__code__:
            yield osp.abspath(frame.f_locals['filename'])
