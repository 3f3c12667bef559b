"""Train generations of a network, each taught by the previous one."""

from kd_det.cli import main

if __name__ == '__main__':
    main('self-distill')
