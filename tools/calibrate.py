"""Find loss weights by comparing gradients with the task loss."""

from kd_det.cli import main

if __name__ == '__main__':
    main('calibrate')
