"""Check that what a metric compares is what the network predicts."""

from mmengine.runner import Runner

from kd_det.datasets.run_data import RunData
from kd_det.errors import UserError
from kd_det.models.unwrap import unwrap

OF_BOXES = ('SingleStageDetector', 'TwoStageDetector')  # or with masks


def check_mask_metrics(runner: Runner) -> None:
    """Raise if a metric of masks would get boxes alone, after an epoch.

    Args:
        runner: The runner, before training.

    Raises:
        UserError: It would.
    """
    model = unwrap(runner.model)
    student = getattr(model, 'student', model)
    split = RunData.of(runner).val
    kinds = {base.__name__ for base in type(student).mro()}
    if split is None or kinds.isdisjoint(OF_BOXES) or student.with_mask:
        return
    for metric in split.metrics:
        wanted = metric.get('metric') or ()
        if 'segm' in ([wanted] if isinstance(wanted, str) else wanted):
            raise UserError(
                f"val_evaluator has metric={wanted!r}, and 'segm' compares "
                f'masks, but the {type(student).__name__} predicts boxes '
                "alone; write metric='bbox', or train a detector with masks."
            )
