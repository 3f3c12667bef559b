"""Evaluate a student, or any plain network, by its config's metric."""

from kd_det.engine import launch


def main() -> None:
    """Parse the arguments and evaluate."""
    parser = launch.make_parser(__doc__)
    parser.add_argument('checkpoint', help='checkpoint of the student')
    parser.add_argument(
        '--out',
        metavar='PREFIX',
        help='write predictions to PREFIX.bbox.json (classes: PREFIX.pkl)',
    )
    parser.add_argument(
        '--show-dir', help='write images with the predictions here'
    )
    parser.add_argument(
        '--keys', help='key mapping of a file of another code base'
    )
    args = parser.parse_args()
    cfg = launch.prepare_from(args)
    runner = launch.tester(
        cfg,
        args.checkpoint,
        args.out,
        args.show_dir,
        args.trust_pickle,
        args.keys,
    )
    runner.test()


if __name__ == '__main__':
    launch.run_tool(main)
