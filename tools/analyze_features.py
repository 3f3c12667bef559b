"""Compare feature maps of a teacher and students: CKA, norms, channels."""

from kd_det.cli import main

if __name__ == '__main__':
    main('analyze')
