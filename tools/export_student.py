"""Export a distilled student as config and checkpoint of a plain network."""

from kd_det.cli import main

if __name__ == '__main__':
    main('export')
