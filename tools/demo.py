"""Distil a small detector on generated images and compare the results."""

from kd_det.cli import main

if __name__ == '__main__':
    main('demo')
