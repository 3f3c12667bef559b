"""Evaluate a student or a plain network with the config's metric."""

from kd_det.cli import main

if __name__ == '__main__':
    main('test')
