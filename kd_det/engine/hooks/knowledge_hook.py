"""KnowledgeHook: log numbers about the knowledge of some steps."""

from mmengine.hooks import Hook

from kd_det.distillers import Distiller
from kd_det.models.unwrap import unwrap


class KnowledgeHook(Hook):
    """Base: listens to distillers in the steps that are logged.

    A subclass names the ``field`` that a distiller must provide to be
    listened to, and writes ``quantities``. Steps between cost nothing.

    Args:
        interval: Steps within an epoch; best the logger's.
    """

    priority = 'NORMAL'
    field = ''
    lacking = ''  # what no distiller has, for the warning

    def __init__(self, interval: int = 50) -> None:
        self.interval = interval
        self._handles = []

    def quantities(
        self, distiller: Distiller, knowledge: dict
    ) -> dict[str, float]:
        """Return name -> value; no name may contain ``loss``."""
        raise NotImplementedError

    def before_train(self, runner) -> None:
        """Find the distillers that have what is logged."""
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
        """Listen to the distillers in a step that is logged."""
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
