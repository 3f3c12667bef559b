"""Compute the class means of a config's teacher over its training set."""

from kd_det.engine import launch
from kd_det.engine.centroid_pass import SOURCES


def main() -> None:
    """Parse the arguments and compute."""
    parser = launch.make_parser(__doc__)
    parser.add_argument(
        '--teacher', metavar='CKPT', help='checkpoint of the teacher'
    )
    parser.add_argument(
        '--source',
        choices=SOURCES,
        help='annotated boxes, or RoIs sampled from proposals with '
        'background (what the losses need)',
    )
    parser.add_argument(
        '--augmented',
        action='store_true',
        help='use the training pipeline, as the authors of ND do',
    )
    parser.add_argument(
        '--out', metavar='FILE', help="the .npz to write (the config's own)"
    )
    parser.add_argument('--seed', type=int, default=0, help='of the sampling')
    args = parser.parse_args()
    cfg = launch.prepare_from(args)
    launch.centroids(cfg, args.source, args.augmented, args.out, args.seed)


if __name__ == '__main__':
    launch.run_tool(main)
