"""AnswerCacheHook: provide and check the caches of a pair."""

from mmengine.hooks import Hook

from kd_det.datasets.run_data import RunData
from kd_det.models import require_pair
from kd_det.models.unwrap import unwrap
from kd_det.precompute.answer_cache import cached, check, provide
from kd_det.registry import HOOKS


@HOOKS.register_module()
class AnswerCacheHook(Hook):
    """Compute missing answers of the teacher, and check some in each epoch.

    ``kd_det train`` adds it for a distiller with a ``cache``.

    Raises:
        UserError: Existing answers are of something else, damaged, or not
            those that the teacher gives now.
    """

    priority = 'HIGH'

    def before_train(self, runner) -> None:
        """Open the caches, and compute what they lack."""
        model = unwrap(runner.model)
        require_pair(self, model)
        dataset = runner.train_dataloader.dataset
        for distiller in cached(model):
            provide(distiller, dataset, runner.cfg, RunData.of(runner))

    def before_train_epoch(self, runner) -> None:
        """Compare some answers with the teacher's."""
        dataset = runner.train_dataloader.dataset
        for distiller in cached(unwrap(runner.model)):
            check(distiller, dataset, runner.epoch)
