"""Distil a small detector on made-up images: make, train, compare, show."""

from kd_det.cli import main

if __name__ == '__main__':
    main('demo')
