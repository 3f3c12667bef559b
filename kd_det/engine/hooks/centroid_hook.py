"""CentroidHook: compute or verify the class means before training."""

import os.path as osp

from mmengine.dist import barrier, get_rank
from mmengine.hooks import Hook

from kd_det.centroids import CentroidBank
from kd_det.datasets.chosen import classes_of
from kd_det.datasets.run_data import RunData
from kd_det.models import require_pair
from kd_det.models.unwrap import unwrap
from kd_det.precompute.centroids import compute_bank
from kd_det.registry import HOOKS


@HOOKS.register_module()
class CentroidHook(Hook):
    """Compute the centroid files that a config names, or verify existing ones.

    Before training, a missing file is computed in one pass of the teacher over
    the training set; an existing file must match the teacher, the classes and
    the annotations.

    Args:
        source: ``'gt'`` or ``'proposals'``, used for a missing file. None
            (default) means proposals if a loss needs a background centroid.
        augmented: See :func:`kd_det.precompute.centroids.compute_bank`.

    Raises:
        UserError: An existing file does not match.

    Example:
        >>> custom_hooks = [dict(type='kd_det.CentroidHook')]
    """

    priority = 'HIGH'  # before hooks that read the knowledge

    def __init__(
        self, source: str | None = None, augmented: bool = False
    ) -> None:
        self.source = source
        self.augmented = augmented

    def before_train(self, runner) -> None:
        """Give every distiller its class means."""
        model = unwrap(runner.model)
        require_pair(self, model)
        for distiller in model.distill.values():
            if not distiller.centroid_file:
                continue
            if distiller.bank is None:
                self._make(runner, distiller)
            self._verify(runner, distiller)

    def _make(self, runner, distiller) -> None:
        file = distiller.centroid_file
        if not osp.isfile(file):
            source = self.source or distiller.default_source()
            data = RunData.of(runner)
            runner.logger.info(
                f'Centroid file {file!r} is missing: one pass of the teacher '
                f'over {", ".join(data.train.sources)} ({source}) '
                'makes it.'
            )
            bank = compute_bank(distiller, data, source, self.augmented)
            if get_rank() == 0:
                bank.save(file)
            barrier()
        else:  # written by another run since this model was built
            bank = CentroidBank.load(file)
        distiller.set_bank(bank)

    def _verify(self, runner, distiller) -> None:
        classes = classes_of(runner.train_dataloader.dataset)
        rows = len(distiller.bank.counts)
        if rows == len(classes) + 1:
            classes += ('background',)
        distiller.bank.verify(
            distiller.centroid_file,
            classes=classes,
            annotation_sha256=RunData.of(runner).train.sha256,
            **distiller.expected_bank(),
        )
        distiller.check_coverage()
