"""StitchHook: fit the student's backbone to its inherited parts."""

from mmengine.dist import get_rank
from mmengine.hooks import Hook

from kd_det import random_state
from kd_det.checks import check_count
from kd_det.datasets.run_data import RunData
from kd_det.models import require_pair
from kd_det.models.unwrap import unwrap
from kd_det.precompute.training_images import training_loader
from kd_det.progress import track
from kd_det.registry import HOOKS

BATCH = 4  # batch size


@HOOKS.register_module()
class StitchHook(Hook):
    """Fit the layers of ``student.stitch`` before the first step.

    Inherited parts expect the features of the teacher's backbone, but the
    student has a different one. One pass over some training images, with the
    test pipeline, fits the layers in between by least squares; see
    :func:`kd_det.models.stitch.stitch`. Without ``student.stitch`` the hook
    does nothing; a loaded or resumed checkpoint is not changed. Random
    generators are not affected.

    Args:
        num_images: Training images to use, evenly spaced over the data set.

    Example:
        >>> custom_hooks = [dict(type='kd_det.StitchHook')]
    """

    priority = 'HIGH'

    def __init__(self, num_images: int = 256) -> None:
        check_count(self, 'num_images', num_images, 1)
        self.num_images = num_images

    def before_train(self, runner) -> None:
        """Fit the layers and log how well they fit."""
        model = unwrap(runner.model)
        require_pair(self, model)
        inherited = model.inheritance
        if inherited is None or not inherited.unstitched:
            return
        # `resume` finds no checkpoint at the start of a run
        if runner.iter > 0 or runner._load_from is not None:
            inherited.unstitched = False
            runner.logger.info(
                'student.stitch: a checkpoint has been loaded, so no layer '
                'is fitted.'
            )
            return
        with random_state.isolated():
            images = training_loader(
                RunData.of(runner), batch_size=BATCH, limit=self.num_images
            )
            images = track(images, 'Stitching', silent=get_rank() != 0)
            inherited.stitch(model.student, images)
