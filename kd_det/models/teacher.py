"""FrozenTeacher: a frozen network with verified weights."""

import hashlib
import logging
import os.path as osp
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import torch
from mmengine.logging import print_log
from mmengine.registry import MODELS
from torch import Tensor, nn

from kd_det import pip_weights
from kd_det.checkpoint import download, load_checkpoint
from kd_det.checks import check_choice
from kd_det.class_names import plain_names
from kd_det.config import set_num_classes
from kd_det.errors import UserError, few
from kd_det.files import sha256_of
from kd_det.models.class_count import class_count
from kd_det.models.finite_watch import FiniteWatch
from kd_det.models.loading import how_read, load_exactly, stored_classes
from kd_det.models.rewriting import (
    REWRITINGS,
    SLOW,
    Running,
    check_switches,
    fast_switches,
    rewrite,
)
from kd_det.models.spec import check_spec, read_spec

# Keys of its spec about how it is run; the others are the network's.
OWN = (
    'ckpt',
    'keys',
    'entry',
    'classes',
    'trust_pickle',
    'exact',
    *REWRITINGS,
)
PAGE = 'docs/user_guides/cifar_networks.md'
BOOL = (True, False)


class FrozenTeacher(nn.Module):
    """A network that stays in eval mode, without gradients.

    Its owner does not register it as a submodule, so that its parameters do
    not reach an optimiser or a checkpoint.

    Args:
        spec: Config of the network, see :func:`read_spec`, and how it is run:
            ``ckpt`` (file, URL or ``pip://NAME``, required), ``keys`` (key
            mapping for a file from another code base), ``entry`` (dotted path
            of the weights in the file), ``trust_pickle``, ``dtype``
            (``'float16'`` or ``'bfloat16'`` for the backbone, neck and box
            head), ``channels_last``, ``fuse_conv_bn``; ``exact``, which turns
            these off; ``classes``, if the checkpoint has no class names or
            different ones.
        run_classes: Class names of the run. Their number is used if neither
            the spec nor the checkpoint gives the number of classes.
        keep: Submodules whose weights a student copies.

    Attributes:
        model: The network.
        cfg: The whole config it comes from, with its pipelines.
        source: Name of that config, or ''.
        how: How its checkpoint was read, or '' if that is obvious.
        classes: Its class names in label order, or () if unknown.
        sha256: SHA-256 of the checkpoint file.
        names: Names of all its weights and buffers.
        size: Number of its weights, before batch norms are folded.
        kept: Submodules of ``keep`` by name, without folded batch norm.

    Raises:
        FileNotFoundError: The checkpoint does not exist.
        UserError: The config has no checkpoint, or the checkpoint is damaged,
            contains code or does not match the network key by key.
    """

    def __init__(
        self,
        spec: dict,
        run_classes: tuple[str, ...] = (),
        keep: tuple[str, ...] = (),
    ) -> None:
        super().__init__()
        check_spec(spec, 'teacher')
        own = {key: spec[key] for key in OWN if key in spec}
        network = {k: v for k, v in spec.items() if k not in own}
        model_cfg, self.cfg = read_spec(network, 'teacher', OWN)
        ckpt, keys = own.get('ckpt'), own.get('keys')
        named = plain_names(own.get('classes', ()), 'teacher.classes')
        switches = {k: own[k] for k in REWRITINGS if own.get(k) is not None}
        check_switches(switches)
        for key in ('trust_pickle', 'exact'):
            if own.get(key) is not None:
                check_choice('teacher', key, own[key], BOOL)
        entry = own.get('entry')
        if entry is not None and not isinstance(entry, str):
            raise UserError(
                f'teacher.entry={entry!r}; the dotted path of the weights in '
                "the file is accepted, such as 'state_dict_ema'."
            )
        self.source = spec.get('cfg', '')
        if not ckpt or not isinstance(ckpt, str):
            raise UserError(
                f'The teacher has no checkpoint (ckpt={ckpt!r}): pass '
                '--teacher FILE, or write model.teacher.ckpt (a file or URL) '
                'in the config.'
            )
        if ckpt.startswith(('http://', 'https://')):
            ckpt = download(ckpt)
        elif ckpt.startswith(pip_weights.SCHEME):
            ckpt = pip_weights.locate(ckpt)
        if not Path(ckpt).expanduser().is_file():
            raise FileNotFoundError(_where(ckpt, keys, self.source))
        checkpoint = load_checkpoint(
            ckpt, trust=own.get('trust_pickle', False)
        )
        self.classes = named or stored_classes(checkpoint)
        count = len(self.classes or run_classes)
        if count and 'num_classes' not in network:
            set_num_classes(model_cfg, count)
        self.model = MODELS.build(model_cfg)
        reading = load_exactly(
            self.model, checkpoint, ckpt, keys=keys, entry=entry
        )
        self.ckpt = ckpt
        self.how = how_read(reading, keys)
        if not named:
            self.check_names()
        self._watch = FiniteWatch()
        self.sha256 = sha256_of(Path(ckpt).expanduser())
        if reading.others:  # other weights in it match, too
            chosen = f'{self.sha256} {reading.entry}'.encode()
            self.sha256 = hashlib.sha256(chosen).hexdigest()
        # the network's own tensors; folding creates new ones
        state = self.model.state_dict()
        self.names = tuple(state)
        self.size = sum(p.numel() for p in self.model.parameters())
        self.kept = {k: v for k, v in state.items() if inside(k, keep)}
        self.running = Running(self.model.eval())
        # used by every path, including the network's own predict
        self.model.extract_feat = self.extract_feat
        self.eval().requires_grad_(False)
        # what speed_up may still decide
        self._open = () if own.get('exact') else {*REWRITINGS} - {*own}
        if not own.get('exact'):
            self._switch_on(switches)

    def _switch_on(self, switches: dict) -> None:
        """Apply the rewritings that the config asks for."""
        left_out = rewrite(self.running, switches)
        for key, reason in left_out.items():
            print_log(
                f'Teacher {self.ckpt!r} runs without {key}={switches[key]!r}, '
                f'since {reason}.',
                'current',
                logging.INFO if reason == SLOW else logging.WARNING,
            )
        self.eval().requires_grad_(False)  # folding makes new layers

    def speed_up(self, points: dict[str, str], fold: bool = True) -> None:
        """Run it in the ways that are fast on this machine.

        Only the options that its config leaves open are chosen, and none with
        ``exact``. One line in the log says what is used. Tap points and
        layers of the network remain valid, except batch norms.

        Args:
            points: Name -> tap point in its backbone or neck.
            fold: Whether batch norms may be folded.
        """
        chosen = {
            key: value
            for key, value in fast_switches().items()
            if key in self._open and value
        }
        self._open = ()
        left_out = {}
        if 'fuse_conv_bn' in chosen and not fold:
            del chosen['fuse_conv_bn']
            left_out['fuse_conv_bn'] = 'student.stitch reads its layers'
        if not chosen:
            return
        # compared without the half precision that the config asks for
        with self.exactly() if self.halved else nullcontext():
            left_out |= rewrite(self.running, chosen, points)
        self.eval().requires_grad_(False)  # folding makes new layers
        used = [
            f'{key}={value!r}'
            for key, value in chosen.items()
            if key not in left_out
        ]
        without = [f'without {k}, since {v}' for k, v in left_out.items()]
        print_log(
            f'Teacher {self.ckpt!r} runs {"; ".join(_ways(used) + without)}. '
            'teacher.exact=True turns this off.',
            'current',
        )

    @contextmanager
    def exactly(self) -> Iterator[None]:
        """Run it in the weights' dtype within a block."""
        dtype, self.running.dtype = self.running.dtype, None
        try:
            yield
        finally:
            self.running.dtype = dtype

    @property
    def halved(self) -> bool:
        """Whether it runs in half precision."""
        return self.running.dtype is not None

    @contextmanager
    def asked(self) -> Iterator[None]:
        """Run parts of it, such as a box head, in its backbone's precision.

        Their outputs should pass through :meth:`plain`.
        """
        with torch.no_grad(), self.running.precision():
            yield

    def plain(self, tree):
        """Return outputs in the weights' dtype and contiguous.

        Args:
            tree: Tensors in dicts, lists and tuples.
        """
        return self.running.plain(tree)

    def check_names(self) -> None:
        """Raise if the numbers of class names and classes differ.

        Raises:
            UserError: The file's or config's class names do not match the
                head.
        """
        count = class_count(self.model)
        if self.classes and count and count != len(self.classes):
            raise UserError(
                f'The teacher {self.ckpt!r} has the names of '
                f'{len(self.classes)} classes ({few(self.classes, 3)}) but a '
                f'head for {count}; write the names of these, in label '
                'order, as teacher.classes.'
            )

    def check_finite(self, outputs: dict, reader: str) -> None:
        """Raise if outputs are not finite, or too large to be squared.

        On a GPU the error may come from a later call: see
        :class:`FiniteWatch`.

        Args:
            outputs: Name -> tensor, or tuple of tensors.
            reader: What reads them, for the message.

        Raises:
            UserError: There is such an output.
        """
        wrong = self._watch.look(outputs)
        if wrong:
            what = ', '.join(dict.fromkeys(wrong))
            raise UserError(
                f'The teacher {self.ckpt!r} gives {what} that are not finite '
                f'to {reader}: {what} hold NaN or infinity, or numbers too '
                'large to be squared; check its weights and its '
                'preprocessing, and leave out a dtype of the teacher.'
            )

    def train(self, mode: bool = True) -> 'FrozenTeacher':
        """Stay in eval mode."""
        return super().train(False)

    def release(self) -> None:
        """Free the memory of the network, which will not be run again."""
        self.model = self.running = None

    def __deepcopy__(self, memo: dict) -> 'FrozenTeacher':
        return self  # immutable: shared between copies of the pair

    def extract_feat(self, inputs: Tensor) -> tuple:
        """Return the inputs of the heads, in the weights' dtype.

        This is a tuple of feature maps, or of the outputs of a classifier's
        backbone and neck.
        """
        return self.running.extract_feat(inputs)


def _ways(used: list[str]) -> list[str]:
    return [f'with {", ".join(used)}'] if used else []


def inside(name: str, parts: tuple[str, ...]) -> bool:
    """Return whether a weight belongs to one of the submodules."""
    return any(name.startswith(f'{part}.') for part in parts)


def _where(ckpt: str, keys: str | None, source: str) -> str:
    """Return a sentence on how to get a missing teacher checkpoint."""
    if keys is not None:
        how = f'{PAGE} ("Load a public teacher") says where it comes from'
    elif source and '::' not in source:
        how = (
            f'train it first, with {osp.normpath(source)!r} or your own '
            'config that inherits from it'
        )
    else:
        how = 'give the path of a .pth file'
    return (
        f'There is no checkpoint {ckpt!r} of the teacher; {how}, or pass '
        'another with --teacher FILE.'
    )
