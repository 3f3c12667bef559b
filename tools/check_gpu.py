"""Check losses, AMP, waits, memory, times and resume on this machine's GPU."""

from kd_det.cli import main

if __name__ == '__main__':
    main('check-gpu')
