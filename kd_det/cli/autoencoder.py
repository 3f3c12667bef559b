"""Train the auto-encoders of a config's teacher: stage 1 of FT and IE-KD."""

import argparse

from kd_det.cli.arguments import add_run_arguments, add_teacher


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_run_arguments(parser)
    add_teacher(parser)


def run(args: argparse.Namespace) -> None:
    from kd_det.api import launch
    from kd_det.precompute.autoencoder import train_auto_encoders

    train_auto_encoders(launch.prepare_from(args))
