"""KnowledgeHook: log statistics of the knowledge at some steps."""

from mmengine.hooks import Hook

from kd_det.distillers import Distiller
from kd_det.models.unwrap import unwrap


class KnowledgeHook(Hook):
    """Base class: reads the distillers' knowledge at logged steps.

    A subclass sets ``field``, which a distiller must provide to be logged, and
    implements ``quantities``. The steps in between have no overhead.

    Args:
        interval: Steps between measurements within an epoch; preferably the
            logger's interval.
    """

    priority = 'NORMAL'
    field = ''
    lacking = ''  # what the warning says no distiller has

    def __init__(self, interval: int = 50) -> None:
        self.interval = interval
        self._handles = []

    def quantities(
        self, distiller: Distiller, knowledge: dict
    ) -> dict[str, float]:
        """Return name -> value; no name may contain ``loss``."""
        raise NotImplementedError

    def before_train(self, runner) -> None:
        """Find the distillers that provide the field."""
        model = unwrap(runner.model)
        self.distillers = {
            name: distiller
            for name, distiller in getattr(model, 'distill', {}).items()
            if self.field in distiller.provides
        }
        if not self.distillers:
            runner.logger.info(
                f'{type(self).__name__} logs nothing: no distiller has '
                f'{self.lacking}.'
            )

    def before_train_iter(self, runner, batch_idx, data_batch=None) -> None:
        """Read the distillers' knowledge at a logged step."""
        if not self.every_n_inner_iters(batch_idx, self.interval):
            return
        for name, distiller in self.distillers.items():

            def log(distiller, args, name=name):
                values = self.quantities(distiller, args[0])
                for key, value in values.items():
                    runner.message_hub.update_scalar(
                        f'train/{name}.{key}', value
                    )

            self._handles.append(distiller.register_forward_pre_hook(log))

    def after_train_iter(
        self, runner, batch_idx, data_batch=None, outputs=None
    ) -> None:
        """Stop listening."""
        for handle in self._handles:
            handle.remove()
        self._handles.clear()
