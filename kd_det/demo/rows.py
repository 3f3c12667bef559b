"""The training runs of the demo, one per row of its table."""

from dataclasses import dataclass

from kd_det.api.long_steps import Step


@dataclass(frozen=True)
class Row(Step):
    """A training run and its row of the table.

    Attributes:
        config: Config file in ``configs/demo``.
    """

    config: str


ROWS = (
    Row('teacher', 'teacher (Lite2)', 250, 'baseline_frcnn_lite2_demo_shapes'),
    Row('alone', 'student alone', 55, 'baseline_frcnn_lite0_demo_shapes'),
    Row('kd', 'student, KD', 70, 'kd_frcnn_lite2_lite0_demo_shapes'),
    Row(
        'inherit',
        'student, inheritance',
        55,
        'inherit_frcnn_lite2_lite0_demo_shapes',
    ),
    Row(
        'stitch',
        'student, stitched inheritance',
        60,
        'stitch_frcnn_lite2_lite0_demo_shapes',
    ),
)
TEACHER, ALONE, RECOMMENDED = ROWS[0], ROWS[1], ROWS[-1]
PICTURED = (TEACHER, ALONE, RECOMMENDED)
