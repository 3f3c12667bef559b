"""Train the auto-encoders of a config's teacher: stage 1 of FT and IE-KD."""

from kd_det.cli import main

if __name__ == '__main__':
    main('autoencoder')
