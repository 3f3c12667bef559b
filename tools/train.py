"""Train a student, with or without a teacher, from one config."""

from kd_det.cli import main

if __name__ == '__main__':
    main('train')
