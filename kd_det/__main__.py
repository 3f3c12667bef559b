"""``python -m kd_det`` is the command ``kd_det``."""

from kd_det.cli import main

if __name__ == '__main__':
    main()
