"""Train generations of one network, each taught by the one before."""

from kd_det.engine import launch
from kd_det.engine.self_distillation import self_distill


def main() -> None:
    """Parse the arguments and train."""
    parser = launch.make_parser(__doc__)
    parser.add_argument(
        '--generations', type=int, default=3, help='how many to train (3)'
    )
    parser.add_argument(
        '--teacher', metavar='CKPT', help='checkpoint of generation 0'
    )
    parser.add_argument('--seed', type=int, help='of each generation')
    args = parser.parse_args()
    self_distill(launch.prepare_from(args), args.generations, args.seed)


if __name__ == '__main__':
    launch.run_tool(main)
