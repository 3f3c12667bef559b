"""Train networks in stages, each taught by the one before."""

from kd_det.cli import main

if __name__ == '__main__':
    main('self-distill')
