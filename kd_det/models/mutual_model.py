"""MutualModel: peers that are trained together and teach each other."""

from contextlib import ExitStack

import torch
from mmengine.model import BaseModel
from mmengine.optim import OptimWrapperDict
from torch import Tensor, nn

from kd_det import random_state
from kd_det.batch_norm import statistics_kept
from kd_det.class_names import plain_names
from kd_det.distillers.levels import run_transformer
from kd_det.distillers.mutual import MutualFactorDistiller, Peer
from kd_det.errors import UserError
from kd_det.models.distill_model import learns, rename_keys
from kd_det.models.peers import (
    build_pairs,
    build_peer,
    check_counts,
    check_peers,
)
from kd_det.models.preprocessor import PairPreprocessor, check_colours
from kd_det.registry import MODELS
from kd_det.taps import FeatureTap

OTHERS = 'distill.peers.'  # prefix in a checkpoint of all peers but the first


@MODELS.register_module()
class MutualModel(BaseModel):
    """Two or more networks that learn from labels and each other (DML).

    In each step, one peer after another runs its own, unchanged loss plus the
    distillers, with every other peer as a teacher in its current state; the
    distillers' losses are averaged over the other peers. Each peer has its own
    optimiser, see ``PeerOptimWrapperConstructor``. Teachers run without
    gradient and in train mode, with the statistics of the batch, but do not
    update their running statistics.

    Validation and test use the first peer. A checkpoint of this model is a
    checkpoint of that peer with its own, unprefixed keys; the others are
    stored under ``distill.peers.``, and ``PeerHook`` writes each to a plain
    file. At a given seed the first peer is initialised as in plain training.

    Args:
        peers: Name -> ``dict(cfg=..., **overrides)``, as for a student; at
            least two.
        distillers: Name -> config of each peer's :class:`Distiller`. Its
            ``taps`` may be a dict of peer -> points. The losses are logged as
            ``<peer>.<name>.<loss>``.
        classes: Class names in label order; default: ().

    Paper: https://arxiv.org/abs/1706.00384

    Differs from the authors' code: for more than two peers the divergences are
    averaged, as in the paper, not added.
    """

    def __init__(
        self, peers: dict, distillers: dict, classes: tuple[str, ...] = ()
    ) -> None:
        check_peers(peers, distillers)
        names = [*peers]
        first = names[0]
        # The first peer is built first, and the rest in isolation, so that the
        # random generators are in the same state as in plain training.
        built = {first: build_peer(first, peers[first])}
        with random_state.isolated():
            built |= {n: build_peer(n, peers[n]) for n in names[1:]}
            check_counts(built)
            check_colours(built)
            pairs = build_pairs(names, distillers)
        super().__init__(
            PairPreprocessor(
                built[first].data_preprocessor,
                {n: built[n].data_preprocessor for n in names[1:]},
            )
        )
        self.classes = plain_names(classes, 'model.classes')
        self.peers = nn.ModuleDict(built)
        self.shown = first
        self.distill = nn.ModuleDict(
            {
                '_'.join([*pair, name]): distiller
                for pair, own in pairs.items()
                for name, distiller in own.items()
            }
        )
        # key in `distill` -> name in the config, one for all pairs
        self.config_names = {
            '_'.join([*pair, name]): name
            for pair, own in pairs.items()
            for name in own
        }
        self._bind(pairs)
        self._unchecked = {*names}  # peers not yet checked for gradients
        self._register_state_dict_hook(_lay_out)
        self.register_load_state_dict_pre_hook(_lay_back)

    def _bind(self, pairs: dict) -> None:
        seen = {
            name: Peer(model, self.classes)
            for name, model in self.peers.items()
        }
        self._pairs = {pair: [*own] for pair, own in pairs.items()}
        with random_state.isolated():
            for (one, other), own in pairs.items():
                # initialise the coders of different peers differently
                torch.manual_seed(int(torch.randint(2**31, ())))
                for name, distiller in own.items():
                    distiller.match_up(self.classes, seen[other])
                    who = f'{name} ({one} learns from {other})'
                    distiller.bind(who, self.peers[one], seen[other])
        for (one, other), own in pairs.items():
            for name, distiller in own.items():
                if isinstance(distiller, MutualFactorDistiller):
                    ours, theirs = (
                        next(own for (p, _), own in pairs.items() if p == peer)
                        for peer in (one, other)
                    )
                    if ours[name] is not distiller:
                        distiller.share(ours[name])
                    distiller.meet(theirs[name])
        self._seen = seen

    def parts(self) -> dict[str, nn.Module]:
        """Return for each peer the modules that its optimiser trains."""
        return {
            name: nn.ModuleList(
                [model]
                + [
                    self.distill[f'{one}_{other}_{part}']
                    for (one, other), own in self._pairs.items()
                    for part in own
                    if one == name
                ]
            )
            for name, model in self.peers.items()
        }

    def init_weights(self) -> None:
        """Initialise the peers, the first as in plain training."""
        for peer in self.peers.values():
            if hasattr(peer, 'init_weights'):
                peer.init_weights()

    def forward(
        self,
        inputs: Tensor,
        data_samples: list | None = None,
        mode: str = 'tensor',
        teacher_inputs: dict[str, Tensor] | None = None,
        peer: str | None = None,
    ):
        """Return a peer's losses for ``mode='loss'``, else its output.

        Args:
            inputs: Images preprocessed for the first peer.
            data_samples: Data samples of the images.
            mode: As in MMEngine.
            teacher_inputs: Name -> images, for peers with different
                preprocessing.
            peer: Its name; None (default) for the first.
        """
        peer = peer or self.shown
        own = teacher_inputs or {}
        if mode != 'loss':
            return self.peers[peer](inputs, data_samples, mode=mode)
        shown = {name: own.get(name, inputs) for name in self.peers}
        return self.loss(shown, data_samples, peer)

    def loss(
        self, inputs: dict[str, Tensor], data_samples: list, peer: str
    ) -> dict[str, Tensor]:
        """Return the losses of a peer and its distillers.

        Args:
            inputs: Name -> images preprocessed for each peer.
            data_samples: Data samples of the images.
            peer: Name of the peer that learns.
        """
        others = {
            other: {
                name: self.distill[f'{peer}_{other}_{name}'] for name in own
            }
            for (one, other), own in self._pairs.items()
            if one == peer
        }
        with ExitStack() as stack:
            records = {
                (other, name): stack.enter_context(distiller.tap)
                for other, own in others.items()
                for name, distiller in own.items()
            }
            model = self.peers[peer]
            losses = dict(model(inputs[peer], data_samples, mode='loss'))
        if 'loss' in losses:  # MMEngine logs the total under this name
            losses['loss_task'] = losses.pop('loss')
        unchecked = peer in self._unchecked and learns(model)
        for other, own in others.items():
            seen, feats = self._look(other, own, inputs[other], data_samples)
            for name, distiller in own.items():
                # a teacher's head must not change its state either
                with statistics_kept(self.peers[other]):
                    knowledge = distiller.read(
                        records[other, name], seen[name], feats, data_samples
                    )
                if unchecked:
                    distiller.check_taught(knowledge)
                values = distiller(distiller.connect(knowledge))
                for key, value in values.items():
                    key = f'{name}.{key}'
                    before = losses.get(key, 0.0)
                    losses[key] = before + value / len(others)
        if unchecked:
            self._unchecked.remove(peer)
        return losses

    def learner(self, peer: str | None = None) -> tuple[nn.Module, dict]:
        """Return a peer and its distillation losses by key.

        For the same loss towards several peers, the last is returned.

        Args:
            peer: Its name; None (default) for the first.
        """
        peer = peer or self.shown
        losses = {
            f'{name}.{key}': loss
            for (one, other), own in self._pairs.items()
            if one == peer
            for name in own
            for key, loss in self.distill[
                f'{peer}_{other}_{name}'
            ].losses.items()
        }
        return self.peers[peer], losses

    def _look(
        self, other: str, own: dict, inputs: Tensor, samples: list
    ) -> tuple[dict, tuple]:
        """Run a peer as teacher; return its tap records and features."""
        model = self.peers[other]
        with ExitStack() as stack, torch.no_grad():
            seen = {
                name: stack.enter_context(
                    FeatureTap(model, distiller.teacher_points)
                )
                for name, distiller in own.items()
            }
            feats = self._seen[other].extract_feat(inputs)
            points = [d.teacher_points for d in own.values()]
            run_transformer(model, feats, samples, *points)
        return seen, feats

    def train_step(
        self,
        data: dict,
        optim_wrapper: OptimWrapperDict,
        through: nn.Module | None = None,
    ) -> dict[str, Tensor]:
        """Update the peers one after the other.

        Args:
            data: A batch from the data loader.
            optim_wrapper: One a peer, by its name.
            through: The module called for the losses: a wrapper that averages
                gradients over processes; default: this model.

        Returns:
            The losses for the log, ``<peer>.<loss>``; ``loss`` is the sum over
            all peers.

        Raises:
            UserError: The optimisers do not match the peers.
        """
        self.check_optimizers(optim_wrapper)
        data = self.data_preprocessor(data, True)
        through = through or self
        logs = {}
        for name in self.peers:
            own = optim_wrapper[name]
            with own.optim_context(through):
                losses = through(**data, mode='loss', peer=name)
            total, values = self.parse_losses(losses)
            own.update_params(total)
            logs |= {f'{name}.{k}': v.detach() for k, v in values.items()}
        total = sum(logs[f'{name}.loss'] for name in self.peers)
        return dict(loss=total, **logs)

    def check_optimizers(self, optim_wrapper: OptimWrapperDict) -> None:
        """Raise unless each peer has an optimiser.

        Args:
            optim_wrapper: One a peer, by its name.

        Raises:
            UserError: An optimiser is missing, or there is a single one for
                all peers.
        """
        several = isinstance(optim_wrapper, OptimWrapperDict)
        if not several or {*self.peers} - {*optim_wrapper.keys()}:
            found = [*optim_wrapper.keys()] if several else 'a single one'
            raise UserError(
                'MutualModel trains each peer with its own optimiser, but '
                f'there is {found} for {[*self.peers]}; write '
                'optim_wrapper=dict('
                "constructor='kd_det.PeerOptimWrapperConstructor', …)."
            )

    def val_step(self, data: dict) -> list:
        """Return the predictions of the first peer."""
        return self.peers[self.shown].val_step(data)

    def test_step(self, data: dict) -> list:
        """Return the predictions of the first peer."""
        return self.peers[self.shown].test_step(data)


def _lay_out(module, state_dict, prefix, local_metadata) -> None:
    first = next(iter(module.peers))
    rename_keys(state_dict, f'{prefix}peers.{first}.', prefix)
    rename_keys(state_dict, f'{prefix}peers.', f'{prefix}{OTHERS}')


def _lay_back(module, state_dict, prefix, *_) -> None:
    first = next(iter(module.peers))
    own = f'{prefix}distill.'
    for key in [k for k in state_dict if k.startswith(prefix)]:
        if not key.startswith(own):
            state_dict[f'{prefix}peers.{first}.{key[len(prefix) :]}'] = (
                state_dict.pop(key)
            )
    rename_keys(state_dict, f'{prefix}{OTHERS}', f'{prefix}peers.')
