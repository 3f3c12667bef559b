"""Make kd_det's operators available to all programs in an environment.

``python -m kd_det.compat.environment`` copies ``kd_det_ops.pth`` into the
environment's site-packages, whose ``.pth`` files Python runs at startup.
``mmcv.ops`` can then be imported even if kd_det is not, as in MMDetection's
own tools. Without kd_det the file does nothing.
"""

import sysconfig
from pathlib import Path

from kd_det.files import atomic_write

LINE = Path(__file__).with_name('kd_det_ops.pth')


def install(folder: str | Path) -> Path:
    """Copy ``kd_det_ops.pth`` into a site-packages folder; return its path."""
    path = Path(folder, LINE.name)
    with atomic_write(path) as file:
        file.write(LINE.read_bytes())
    return path


if __name__ == '__main__':
    print(install(sysconfig.get_path('purelib')))
