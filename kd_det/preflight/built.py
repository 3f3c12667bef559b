"""All checks of a built run: its parts, labels, heads, images and weights."""

from collections.abc import Sequence

from mmengine.hooks import Hook

from kd_det.preflight.file_names import check_file_names
from kd_det.preflight.frozen_layers import warn_of_frozen
from kd_det.preflight.heads import check_heads
from kd_det.preflight.labels import check_labels
from kd_det.preflight.normalisation import check_normalisation
from kd_det.preflight.parts import check_parts
from kd_det.preflight.pretrained_weights import check_pretrained


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
    warn_of_frozen(runner)
