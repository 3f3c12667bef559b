"""Give all programs of this Python environment kd_det's operators.

``python -m kd_det.compat.environment`` copies ``kd_det_ops.pth`` into the
environment's site-packages, whose ``.pth`` files Python runs when it starts.
From then on ``mmcv.ops`` imports also where kd_det itself is never imported,
as in MMDetection's own tools. Without kd_det the file does nothing.
"""

import sysconfig
from pathlib import Path

from kd_det.files import atomic_write

LINE = Path(__file__).with_name('kd_det_ops.pth')


def install(folder: str | Path) -> Path:
    """Copy ``kd_det_ops.pth`` into a folder of packages; return its path."""
    path = Path(folder, LINE.name)
    with atomic_write(path) as file:
        file.write(LINE.read_bytes())
    return path


if __name__ == '__main__':
    print(install(sysconfig.get_path('purelib')))
