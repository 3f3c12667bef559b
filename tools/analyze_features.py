"""Compare feature maps of a teacher and students: numbers and pictures."""

from kd_det.cli import main

if __name__ == '__main__':
    main('analyze')
