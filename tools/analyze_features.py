"""Compare feature maps of a teacher and of students: CKA, norms, neurons."""

from kd_det.cli import main

if __name__ == '__main__':
    main('analyze')
