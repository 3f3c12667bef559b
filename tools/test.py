"""Evaluate a student, or any plain network, by its config's metric."""

from kd_det.cli import main

if __name__ == '__main__':
    main('test')
