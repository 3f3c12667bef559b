"""Find loss weights by the gradients of distillation and of the task."""

from kd_det.cli import main

if __name__ == '__main__':
    main('calibrate')
