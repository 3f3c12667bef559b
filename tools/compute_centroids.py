"""Compute the class means of a config's teacher over its training set."""

from kd_det.cli import main

if __name__ == '__main__':
    main('centroids')
