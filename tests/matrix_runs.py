"""Train every cell of the matrix for 50 steps, and write what it reached.

    OMP_NUM_THREADS=1 PYTHONPATH=.:tests python tests/matrix_runs.py

A tiny pair has the losses of all its methods at once, each divided by its
value at the first step, and nothing else; it sees one batch over and over.
Names of families as arguments train these alone, and names of methods after
`--only` these alone; the other cells of the record stay.
"""

import argparse
import json
from collections.abc import Collection
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from matrix_cells import METHODS, batch_for, method_of, pair_of

from kd_det.files import atomic_write
from kd_det.testing import FAMILIES

RECORD = Path(__file__).parents[1] / 'docs/results/matrix.json'
STEPS = 50
ENDS = 5  # steps at both ends over which a loss is averaged


def train(
    family: str,
    folder: Path,
    steps: int = STEPS,
    methods: Collection[str] = METHODS,
) -> dict:
    """Return loss -> its mean over the first and over the last steps."""
    model = pair_of(family, folder)
    for key, distiller in [*model.distill.items()]:
        if not {method_of(f'.{n}') for n in distiller.losses} & {*methods}:
            del model.distill[key]
    batch = batch_for(model)
    weights = [p for p in model.parameters() if p.requires_grad]
    adam = torch.optim.AdamW(weights, lr=2e-3, weight_decay=0.0)
    seen: dict[str, list[float]] = {}
    for _ in range(steps):
        torch.manual_seed(0)  # the same samples of RoIs, the same masks
        total = 0
        for key, value in model(**batch, mode='loss').items():
            distiller, _, name = key.partition('.')
            if distiller in model.distill and method_of(key) in methods:
                own = seen.setdefault(name.removeprefix('loss_'), [])
                own.append(value.item())
                total = total + value / own[0]
        adam.zero_grad()
        total.backward()
        adam.step()
    ends = min(ENDS, steps // 2)
    return {
        name: dict(
            first=sum(values[:ends]) / ends, last=sum(values[-ends:]) / ends
        )
        for name, values in seen.items()
    }


def summary() -> str:
    """Return the sentence of the page on what the record holds."""
    record = json.loads(RECORD.read_text())
    cells = {
        f'{name.replace("_", " ")} of {family.replace("_", " ")}': row
        for family, rows in record.items()
        for name, row in rows.items()
    }
    rising = [n for n, row in cells.items() if row['last'] >= row['first']]
    told = f'; not those of {", ".join(rising)}' if rising else ''
    return (
        f'{len(cells) - len(rising)} of {len(cells)} losses are lower after '
        f'{STEPS} steps{told}.'
    )


if __name__ == '__main__':
    torch.set_num_threads(1)
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('families', nargs='*', default=FAMILIES)
    parser.add_argument('--only', nargs='+', default=METHODS)
    args = parser.parse_args()
    record = json.loads(RECORD.read_text())
    for family in args.families:
        with TemporaryDirectory() as folder:
            found = train(family, Path(folder), methods=args.only)
        print(family, found, flush=True)
        own = record.get(family, {})
        names = [*dict.fromkeys([*own, *found])]
        record[family] = {n: found.get(n) or own[n] for n in names}
        with atomic_write(RECORD) as file:
            file.write(json.dumps(record, indent=1).encode() + b'\n')
