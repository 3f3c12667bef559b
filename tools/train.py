"""Train a student, with or without a teacher, from one config."""

from kd_det.engine import launch


def main() -> None:
    """Parse the arguments and train."""
    parser = launch.make_parser(__doc__)
    parser.add_argument(
        '--teacher', metavar='CKPT', help='checkpoint of the teacher'
    )
    parser.add_argument(
        '--amp', action='store_true', help='mixed precision (accelerator)'
    )
    parser.add_argument(
        '--resume',
        nargs='?',
        const='auto',
        metavar='CKPT',
        help='continue from the last checkpoint of the work dir, or CKPT',
    )
    parser.add_argument(
        '--auto-scale-lr',
        action='store_true',
        help='scale the learning rate to the real batch size',
    )
    parser.add_argument('--seed', type=int, help='of everything random')
    args = parser.parse_args()
    cfg = launch.prepare_from(args)
    launch.train(cfg, args.amp, args.resume, args.auto_scale_lr, args.seed)


if __name__ == '__main__':
    launch.run_tool(main)
