"""Door to `kd_det benchmark`."""

from kd_det.cli import main

if __name__ == '__main__':
    main('benchmark')
