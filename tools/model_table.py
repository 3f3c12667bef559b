"""Write the README.md of folders of configs from their metafile.yml."""

import argparse

from kd_det.analysis.model_table import write_model_tables
from kd_det.cli import run_tool


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        'folders', nargs='+', metavar='FOLDER', help='e.g. configs/cifar'
    )
    write_model_tables(parser.parse_args().folders)


if __name__ == '__main__':
    run_tool(main)
