"""Draw docs/images/architecture.svg: what a training step does with a batch.

Each name in the picture is that of a class, read from the package, so a
renamed class changes the picture.
"""

from pathlib import Path

import matplotlib
import matplotlib.pyplot as plt

from kd_det.connectors.base import Connector
from kd_det.distillers import Distiller
from kd_det.engine.hooks import CentroidHook, StitchHook, TeacherCheckHook
from kd_det.losses import DistillLoss
from kd_det.models import DistillModel, FrozenTeacher
from kd_det.taps import FeatureTap

OUT = Path(__file__).parents[1] / 'docs/images/architecture.svg'
STUDENT, TEACHER, DISTIL, PLAIN = '#dbeafe', '#e5e7eb', '#dcfce7', '#ffffff'


def name(*kinds: type) -> str:
    return ', '.join(kind.__name__ for kind in kinds)


def box(ax, x, y, width, height, title, text, colour) -> None:
    ax.add_patch(
        plt.Rectangle((x, y), width, height, fc=colour, ec='#374151', lw=1)
    )
    middle = x + width / 2
    ax.text(middle, y + height - 0.3, title, ha='center', weight='bold')
    ax.text(middle, y + (height - 0.4) / 2, text, ha='center', va='center')


def arrow(ax, start, end, text='', above=0.3, style='-') -> None:
    ax.annotate(
        '',
        end,
        start,
        arrowprops=dict(arrowstyle='->', color='#374151', ls=style, lw=1.2),
    )
    middle = [(a + b) / 2 for a, b in zip(start, end)]
    x, y = middle[0], middle[1] + above
    ax.text(x, y, text, ha='center', va='center', color='#374151')


def draw(ax) -> None:
    ax.add_patch(
        plt.Rectangle((2.1, 0.9), 11.1, 5.2, fc='#f9fafb', ec='#9ca3af')
    )
    ax.text(2.3, 5.75, name(DistillModel), weight='bold')
    box(ax, 0, 2.9, 1.6, 1.2, 'batch', 'images and\nannotations', PLAIN)
    teacher = 'no gradients,\nnot in checkpoints'
    box(ax, 2.7, 3.7, 2.7, 1.7, name(FrozenTeacher), teacher, TEACHER)
    student = 'any detector of\nMMDetection'
    box(ax, 2.7, 1.3, 2.7, 1.7, 'student', student, STUDENT)
    fields = 'reads both networks:\nlogits, embeddings,\nmaps, relations'
    box(ax, 7.0, 2.5, 2.6, 1.9, name(Distiller), fields, DISTIL)
    box(ax, 10.4, 3.9, 2.4, 1.3, name(Connector), 'fits shapes', DISTIL)
    box(ax, 10.4, 2.2, 2.4, 1.3, name(DistillLoss), 'KD, ND, PKD, …', DISTIL)
    box(ax, 13.9, 1.9, 1.7, 1.4, 'loss', 'sum, then\nbackward', PLAIN)
    arrow(ax, (1.6, 3.7), (2.7, 4.4))
    arrow(ax, (1.6, 3.3), (2.7, 2.3))
    arrow(ax, (5.4, 4.5), (7.0, 3.8), name(FeatureTap), 0.4)
    arrow(ax, (5.4, 2.5), (7.0, 3.1), name(FeatureTap), -0.4)
    arrow(ax, (9.6, 3.9), (10.4, 4.4))
    arrow(ax, (11.6, 3.9), (11.6, 3.5))
    arrow(ax, (9.6, 3.1), (10.4, 2.9))
    arrow(ax, (12.8, 2.8), (13.9, 2.7))
    arrow(ax, (5.4, 1.5), (13.9, 2.1), "the student's own losses", -0.35)
    before = f'before the first step: {name(TeacherCheckHook)}, '
    before += f'{name(StitchHook)} (inheritance), {name(CentroidHook)} (ND)'
    ax.text(2.1, 6.3, before)
    arrow(ax, (4.05, 1.3), (4.05, 0.45), style='--')
    ax.text(2.1, 0.1, 'checkpoint, exported model: the student alone')


def main(out: Path = OUT) -> None:
    matplotlib.rcParams.update(
        {'svg.hashsalt': '0', 'svg.fonttype': 'none', 'font.size': 9}
    )
    figure, ax = plt.subplots(figsize=(11, 4.6))
    draw(ax)
    ax.set(xlim=(-0.1, 15.7), ylim=(0, 6.6))
    ax.axis('off')
    figure.savefig(out, bbox_inches='tight', metadata={'Date': None})


if __name__ == '__main__':
    main()
