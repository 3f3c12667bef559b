"""What a distiller found by itself, written into the run's own config."""

from mmengine.model import is_model_wrapper
from mmengine.runner import Runner

from kd_det.models import DistillModel


def record_connectors(runner: Runner) -> None:
    """Write the connectors as they were built into the dumped config.

    The work dir's config then has the channels that the probe of both
    networks found, and the connectors that were taken by themselves: another
    run of it builds the same ones, or stops where a network has changed.

    Args:
        runner: Before training; any that trains no pair is left alone.
    """
    model = runner.model
    model = model.module if is_model_wrapper(model) else model
    if not isinstance(model, DistillModel):
        return
    for name, distiller in model.distill.items():
        if distiller.connectors.cfgs:
            own = runner.cfg.model.distillers[name]
            own.connectors = dict(distiller.connectors.cfgs)
    runner.dump_config()
