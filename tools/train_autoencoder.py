"""Train the auto-encoders of a config's teacher: stage 1 of FT and IE-KD."""

from kd_det.engine import launch
from kd_det.engine.autoencoder import train_auto_encoders


def main() -> None:
    """Parse the arguments and train."""
    parser = launch.make_parser(__doc__)
    parser.add_argument(
        '--teacher', metavar='CKPT', help='checkpoint of the teacher'
    )
    train_auto_encoders(launch.prepare_from(parser.parse_args()))


if __name__ == '__main__':
    launch.run_tool(main)
