"""Fuzz the readers of foreign files, guided by coverage, for some time.

Needs Google's atheris (``pip install atheris``), which has wheels for Linux.
Each reader gets files that libFuzzer makes of right ones, keeping those that
reach new code. A reader may return a value or raise the error that a user
sees; anything else is a finding, and the input is kept.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from kd_det.cli import run_tool

NAMES = ('checkpoints', 'centroids', 'coco', 'voc', 'cifar')
# Of MiB and seconds; an input that needs more is a finding.
MEMORY, SLOWEST = 6000, 60


def fuzz(reader: str, seconds: int, seed: int, kept: Path) -> dict:
    """Fuzz a reader in a process of its own.

    Args:
        reader: One of ``NAMES``.
        seconds: For how long.
        seed: Of the random choices.
        kept: Folder for the inputs of findings.

    Returns:
        What the process counted, and its findings.
    """
    kept.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, '-m', 'fuzzing.session', reader]
        command += [str(seconds), str(seed), str(kept.resolve())]
        command += [str(MEMORY), str(SLOWEST)]
        done = subprocess.run(
            command,
            cwd=folder,
            env=_environment(),
            capture_output=True,
            text=True,
            errors='replace',
            check=False,
        )
        report = Path(folder) / 'report.json'
        if not report.is_file():
            raise SystemExit(done.stdout[-2000:] + done.stderr[-4000:])
        result = json.loads(report.read_text())
    features = re.findall(r'cov: (\d+) ft: (\d+)', done.stderr)
    result['edges'], result['features'] = map(int, features[-1])
    result['edges_of_seeds'] = int(features[0][0])
    for key, name in (
        ('executions', 'number_of_executed_units'),
        ('new_inputs', 'new_units_added'),
    ):
        found = re.search(rf'stat::{name}:\s+(\d+)', done.stderr)
        result[key] = int(found[1]) if found else None
    if done.returncode:  # libFuzzer ends at a hang, or at too much memory
        line = re.search(r'ERROR: libFuzzer: (.+)', done.stderr)
        result['findings'].append(line[1] if line else done.stderr[-300:])
    return result


def _environment() -> dict[str, str]:
    tools = Path(__file__).parent
    paths = [str(tools.parent), str(tools), os.environ.get('PYTHONPATH', '')]
    threads = dict(OMP_NUM_THREADS='1', TQDM_DISABLE='1')
    return {**os.environ, **threads, 'PYTHONPATH': os.pathsep.join(paths)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        'readers', nargs='*', default=NAMES, help=f'of {", ".join(NAMES)}'
    )
    parser.add_argument('--seconds', type=int, default=180, help='for each')
    parser.add_argument('--seed', type=int, default=1)
    parser.add_argument('--out', default='docs/results/fuzz.json')
    parser.add_argument(
        '--kept', default='work_dirs/fuzz', help='for inputs of findings'
    )
    args = parser.parse_args()
    out = Path(args.out)
    results = json.loads(out.read_text()) if out.is_file() else {}
    for name in args.readers:
        print(f'{name}: {args.seconds} s', flush=True)
        results[name] = fuzz(name, args.seconds, args.seed, Path(args.kept))
        print(json.dumps(results[name], indent=1), flush=True)
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(json.dumps(results, indent=1) + '\n')
    if any(result['findings'] for result in results.values()):
        raise SystemExit(1)


if __name__ == '__main__':
    run_tool(main)
