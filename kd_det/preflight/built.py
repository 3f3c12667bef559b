"""All checks of a built run: its parts, labels, heads, images and weights."""

from collections.abc import Sequence

from mmengine.hooks import Hook

from kd_det.preflight.file_names import check_file_names
from kd_det.preflight.first_image import check_first_image
from kd_det.preflight.frozen_layers import warn_of_frozen
from kd_det.preflight.heads import check_heads
from kd_det.preflight.labels import check_labels
from kd_det.preflight.mask_metrics import check_mask_metrics
from kd_det.preflight.normalisation import check_normalisation
from kd_det.preflight.parts import check_parts
from kd_det.preflight.pretrained_weights import (
    check_load_from,
    check_pretrained,
)
from kd_det.preflight.schedules import check_steps, unused_settings


def check_built(runner, hooks: Sequence[Hook] = ()) -> None:
    """Raise or warn if something in a run does not fit.

    Args:
        runner: The runner, before training.
        hooks: Hooks to check beside its own.

    Raises:
        UserError: Something does not fit.
    """
    check_parts(runner, hooks)
    check_file_names(runner)
    check_labels(runner)
    check_heads(runner)
    check_normalisation(runner)
    check_pretrained(runner)
    check_load_from(runner)
    check_mask_metrics(runner)
    warn_of_frozen(runner)


def check_loop(runner) -> list[str]:
    """Raise or return warnings if a training's loader or length do not fit.

    Args:
        runner: The runner, with its loop, optimiser and schedulers built.

    Returns:
        Warnings of settings without effect.

    Raises:
        UserError: Something does not fit.
    """
    check_steps(runner)
    check_first_image(runner)
    return unused_settings(runner)


class LoopCheck(Hook):
    """Call :func:`check_loop` as soon as the loop is built.

    Raises:
        UserError: Something does not fit.
    """

    priority = 'HIGHEST'  # before hooks that compute

    def before_train(self, runner) -> None:
        """Raise, or warn."""
        for line in check_loop(runner):
            runner.logger.warning(line)
