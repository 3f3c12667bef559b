"""Write a distilled student as config and checkpoint of a plain network."""

from kd_det.engine import launch
from kd_det.engine.export import export_student


def main() -> None:
    """Parse the arguments and export."""
    parser = launch.make_parser(__doc__)
    parser.add_argument('checkpoint', help='checkpoint of the training')
    parser.add_argument('out_dir', help='folder for student.py, student.pth')
    parser.add_argument(
        '--num-images',
        type=int,
        default=4,
        help='test images on which stock code must predict the same',
    )
    args = parser.parse_args()
    cfg = launch.prepare_from(args)
    export_student(
        cfg, args.checkpoint, args.out_dir, args.num_images, args.trust_pickle
    )


if __name__ == '__main__':
    launch.run_tool(main)
