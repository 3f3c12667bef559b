"""Train every cell of the matrix for 50 steps, and write what it reached.

    OMP_NUM_THREADS=1 PYTHONPATH=.:tests python tests/matrix_runs.py

A tiny pair has the losses of all its methods at once, each divided by its
value at the first step, and nothing else; it sees one batch over and over.
"""

import json
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from matrix_cells import batch_for, pair_of

from kd_det.files import atomic_write
from kd_det.testing import FAMILIES

RECORD = Path(__file__).parents[1] / 'docs/results/matrix.json'
STEPS = 50
ENDS = 5  # steps at both ends over which a loss is averaged


def train(family: str, folder: Path, steps: int = STEPS) -> dict:
    """Return loss -> its mean over the first and over the last steps."""
    model = pair_of(family, folder)
    batch = batch_for(model)
    weights = [p for p in model.parameters() if p.requires_grad]
    adam = torch.optim.AdamW(weights, lr=2e-3, weight_decay=0.0)
    seen: dict[str, list[float]] = {}
    for _ in range(steps):
        torch.manual_seed(0)  # the same samples of RoIs, the same masks
        total = 0
        for key, value in model(**batch, mode='loss').items():
            distiller, _, name = key.partition('.')
            if distiller in model.distill:
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
    found = {}
    for family in sys.argv[1:] or FAMILIES:
        with TemporaryDirectory() as folder:
            found[family] = train(family, Path(folder))
        print(family, found[family], flush=True)
    with atomic_write(RECORD) as file:
        file.write(json.dumps(found, indent=1).encode() + b'\n')
