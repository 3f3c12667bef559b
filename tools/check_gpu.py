"""Check losses, AMP, synchronisation, memory, speed and resume on a GPU."""

from kd_det.cli import main

if __name__ == '__main__':
    main('check-gpu')
