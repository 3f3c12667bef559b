"""PeerHook: evaluate every peer, and save it as a plain model."""

import os.path as osp

import torch
from mmengine.hooks import Hook
from mmengine.runner.checkpoint import get_state_dict, weights_to_cpu

from kd_det.errors import UserError
from kd_det.files import atomic_write
from kd_det.models import MutualModel
from kd_det.models.unwrap import unwrap
from kd_det.registry import HOOKS

KEPT = ('epoch', 'iter', 'seed', 'dataset_meta', 'mmengine_version')


@HOOKS.register_module()
class PeerHook(Hook):
    """Evaluate all peers of a ``MutualModel``, and save each to its own file.

    Validation evaluates the first peer; this hook evaluates the others on the
    same data and logs them as ``<peer>/<metric>``. Whenever a checkpoint is
    written, ``<peer>.pth`` in the work directory is updated for each peer,
    with the weights of the plain network.

    Raises:
        UserError: The model has no peers.

    Paper: https://arxiv.org/abs/1706.00384

    Example:
        >>> custom_hooks = [dict(type='kd_det.PeerHook')]
    """

    priority = 'NORMAL'  # before the logger shows the scores

    def before_train(self, runner) -> None:
        """Raise unless the model has peers, each with its own optimiser."""
        model = unwrap(runner.model)
        if not isinstance(model, MutualModel):
            raise UserError(
                'PeerHook is for a MutualModel, but the model is a '
                f'{type(model).__name__}; take the hook out of '
                'custom_hooks.'
            )
        model.check_optimizers(runner.optim_wrapper)

    @torch.no_grad()
    def after_val_epoch(self, runner, metrics=None) -> None:
        """Evaluate the peers that validation did not cover."""
        model = unwrap(runner.model)
        if not isinstance(model, MutualModel):
            return
        first = model.shown
        evaluator = runner.val_loop.evaluator
        loader = runner.val_dataloader
        try:
            for name in model.peers:
                if name == first:
                    continue
                model.shown = name
                for data in loader:
                    outputs = model.val_step(data)
                    evaluator.process(data_samples=outputs, data_batch=data)
                scores = evaluator.evaluate(len(loader.dataset))
                for key, value in scores.items():
                    runner.message_hub.update_scalar(
                        f'val/{name}/{key}', value
                    )
        finally:
            model.shown = first

    def before_save_checkpoint(self, runner, checkpoint: dict) -> None:
        """Write each peer along with the checkpoint."""
        model = unwrap(runner.model)
        if not isinstance(model, MutualModel):
            return
        meta = checkpoint.get('meta') or {}
        meta = {key: meta[key] for key in KEPT if key in meta}
        for name, peer in model.peers.items():
            state = weights_to_cpu(get_state_dict(peer))
            with atomic_write(osp.join(runner.work_dir, f'{name}.pth')) as f:
                torch.save(dict(meta=meta, state_dict=state), f)
