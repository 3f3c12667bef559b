"""FrozenTeacher: a network held still, with checked weights."""

import os.path as osp
from collections.abc import Callable
from pathlib import Path

from mmengine.registry import MODELS
from mmengine.runner.checkpoint import get_state_dict
from torch import Tensor, nn

from kd_det import pip_weights
from kd_det.checkpoint import download, load_checkpoint
from kd_det.checks import check_choice
from kd_det.config import set_num_classes
from kd_det.errors import UserError, counted, nearest
from kd_det.files import sha256_of
from kd_det.models.finite_watch import FiniteWatch
from kd_det.models.key_mappings import KEY_MAPPINGS
from kd_det.models.rewriting import REWRITINGS, check_switches, rewritten
from kd_det.models.spec import check_spec, read_spec

# Keys of its spec that say how it is run; the others are the network's.
OWN = (
    'ckpt',
    'keys',
    'classes',
    'trust_pickle',
    *REWRITINGS,
)
PAGE = 'docs/user_guides/cifar_networks.md'
BOOL = (True, False)


class FrozenTeacher(nn.Module):
    """A network in eval mode for ever, without gradients.

    Its owner keeps it outside its own sub-modules, so that no parameter of
    it reaches an optimiser or a checkpoint.

    Args:
        spec: Config of the network, see :func:`read_spec`, and of how it is
            run: ``ckpt`` (file, URL or
            ``pip://NAME``, needed), ``keys`` (key mapping of a
            file of another code base), ``trust_pickle``, ``dtype``
            (``'float16'`` or ``'bfloat16'`` for the backbone and neck),
            ``channels_last``, ``fuse_conv_bn``; ``classes``, where the
            checkpoint names none or other ones.
        run_classes: Class names of the run. They count the teacher's, where
            neither the spec nor the checkpoint does.
        keep: Sub-modules of which a student takes the weights.

    Attributes:
        model: The network.
        cfg: The whole config it comes from: its own pipelines.
        source: Name of that config, or ''.
        classes: Its class names in label order, or () if not known.
        sha256: Of the checkpoint file.
        names: Of all its weights and buffers.
        kept: Those of ``keep`` by name, batch norm not folded.

    Raises:
        FileNotFoundError: No such checkpoint.
        UserError: The checkpoint is missing from the config, damaged, holds
            code, or does not fit the network key by key.
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
        named = check_classes(own.get('classes', ()))
        switches = {k: own[k] for k in REWRITINGS if own.get(k) is not None}
        check_switches(switches)
        if own.get('trust_pickle') is not None:
            check_choice('teacher', 'trust_pickle', own['trust_pickle'], BOOL)
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
        load_exactly(self.model, checkpoint, ckpt, keys=keys)
        self.ckpt = ckpt
        self._watch = FiniteWatch()
        self.sha256 = sha256_of(Path(ckpt).expanduser())
        # the tensors of the network itself; folding makes others
        state = self.model.state_dict()
        self.names = tuple(state)
        self.kept = {k: v for k, v in state.items() if inside(k, keep)}
        self.running = rewritten(self.model.eval(), switches, ckpt)
        self.model = self.running.model
        # every path takes it, also the network's own predict
        self.model.extract_feat = self.extract_feat
        self.eval().requires_grad_(False)

    def check_finite(self, outputs: dict, reader: str) -> None:
        """Stop at outputs that are not finite, or too large to be squared.

        On a GPU it may be a later call that stops: see :class:`FiniteWatch`.

        Args:
            outputs: Name -> tensor, or tensors.
            reader: Who reads them, for the message.

        Raises:
            UserError: There is one.
        """
        wrong = self._watch.look(outputs)
        if wrong:
            raise UserError(
                f'The teacher {self.ckpt!r} gives {reader} numbers that are '
                'not finite, or too large to be squared '
                f'({", ".join(dict.fromkeys(wrong))}); check its weights and '
                'its preprocessing, and leave out a dtype of the teacher.'
            )

    def train(self, mode: bool = True) -> 'FrozenTeacher':
        """Stay in eval mode."""
        return super().train(False)

    def release(self) -> None:
        """Free the memory of the network, which nothing will run again."""
        self.model = self.running = None

    def __deepcopy__(self, memo: dict) -> 'FrozenTeacher':
        return self  # nothing in it changes: copies of the pair share it

    def extract_feat(self, inputs: Tensor) -> tuple:
        """Return what the heads read, in the weights' type.

        That is a tuple of feature maps, or of whatever a classifier's
        backbone and neck give.
        """
        return self.running.extract_feat(inputs)


def inside(name: str, parts: tuple[str, ...]) -> bool:
    """Return whether a weight belongs to one of some sub-modules."""
    return any(name.startswith(f'{part}.') for part in parts)


def _where(ckpt: str, keys: str | None, source: str) -> str:
    """Return the sentence that says how to get a teacher's checkpoint."""
    if keys is not None:
        how = f'{PAGE} ("Load a public teacher") says where it comes from'
    elif source and '::' not in source:
        how = (
            f'train it first, with {osp.normpath(source)!r} or a config of '
            'your own that inherits from it'
        )
    else:
        how = 'give the path of a .pth file'
    return (
        f'There is no checkpoint {ckpt!r} of the teacher; {how}, or pass '
        'another with --teacher FILE.'
    )


def check_classes(names: tuple[str, ...] | list[str]) -> tuple[str, ...]:
    """Return class names as a tuple, or raise a UserError."""
    if not isinstance(names, (tuple, list)):
        raise UserError(
            f'teacher.classes={names!r}; a tuple of names is accepted.'
        )
    return tuple(names)


def stored_classes(checkpoint: dict) -> tuple[str, ...]:
    """Return the class names that MMEngine stores in a checkpoint, or ()."""
    meta = checkpoint.get('meta')
    meta = meta if isinstance(meta, dict) else {}
    own = meta.get('dataset_meta')
    own = own if isinstance(own, dict) else meta
    names = own.get('classes') or own.get('CLASSES') or ()
    return (names,) if isinstance(names, str) else tuple(names)


def load_exactly(
    model: nn.Module,
    checkpoint: dict,
    path: str,
    side: str = 'teacher',
    keys: str | None = None,
) -> None:
    """Load a checkpoint whose keys and shapes are exactly the model's.

    A checkpoint of a distilled student loads as the plain network it is.

    Args:
        model: The network.
        checkpoint: With a ``state_dict``, or one itself.
        path: Where it comes from, for the message.
        side: What to call the network in the message.
        keys: Name of a key mapping, for a file of another code base.

    Raises:
        UserError: Naming the first keys missing, unexpected or of another
            shape or kind, or one with NaN or infinity; nothing has been
            loaded then.
    """
    state = checkpoint.get('state_dict', checkpoint.get('model', checkpoint))
    if not isinstance(state, dict):
        raise UserError(
            f'Checkpoint {path!r} holds a {type(state).__name__} as its '
            'state_dict; a dict of tensors is accepted.'
        )
    state = {
        str(key).removeprefix('module.'): value
        for key, value in state.items()
        if not str(key).startswith('distill.')
    }
    if keys is not None:
        state = _mapping(keys)(state)
    own = get_state_dict(model)
    problems = differences(own, state, stored_classes(checkpoint))
    if not problems:
        _check_finite(own, state, path, side)
        model.load_state_dict(state, strict=False)
        return
    raise UserError(
        f'Checkpoint {path!r} does not fit the {side} '
        f'{type(model).__name__}: {"; ".join(problems)}; give the '
        'checkpoint of this config or the config of this checkpoint.'
    )


def differences(
    own: dict, state: dict, classes: tuple[str, ...] = ()
) -> list[str]:
    """Return what keeps a state dict from being a network's, in words.

    Args:
        own: The network's own state dict.
        state: The one to load.
        classes: Class names stored with it, or ().
    """
    counter = 'num_batches_tracked'  # absent from old files, used by no eval
    wrong = [
        f'{key} is {_shape(state[key])} in the file and '
        f'{_shape(value)} in the model'
        for key, value in own.items()
        if key in state and _shape(state[key]) != _shape(value)
    ]
    kinds = [
        f'{key} is {state[key].dtype} in the file and {value.dtype} in the '
        'model'
        for key, value in own.items()
        if counter not in key
        and isinstance(state.get(key), Tensor)
        and isinstance(value, Tensor)
        and _kind(state[key]) != _kind(value)
    ]
    missing = [k for k in own if k not in state and counter not in k]
    unexpected = [key for key in state if key not in own]
    problems = [
        f'{counted(len(keys), "key")} {what} ({_first(keys)})'
        for keys, what in ((missing, 'missing'), (unexpected, 'unexpected'))
        if keys
    ]
    if wrong:
        shapes = counted(len(wrong), 'shape differs', 'shapes differ')
        problems.append(f'{shapes} ({_first(wrong)})')
        if not (missing or unexpected):
            problems.append(
                'if only class layers differ, the class lists do'
                + (
                    f': the file has {len(classes)} classes'
                    if classes
                    else '; name those of the file in teacher.classes'
                )
            )
    if kinds:
        problems.append(f'{len(kinds)} dtypes differ ({_first(kinds)})')
    return problems


def _check_finite(own: dict, state: dict, path: str, side: str) -> None:
    for key, value in state.items():
        # a buffer may hold infinity by design: then the model's own does
        if value.isfinite().all() or not own[key].isfinite().all():
            continue
        raise UserError(
            f'Checkpoint {path!r} of the {side} has NaN or infinity in '
            f'{key!r}; give one from before the training diverged.'
        )


def _mapping(name: str) -> Callable[[dict], dict]:
    if name not in KEY_MAPPINGS:
        raise UserError(
            f'keys={name!r} is no key mapping; accepted are '
            f'{", ".join(sorted(KEY_MAPPINGS))}'
            f'{nearest(name, KEY_MAPPINGS)}'
        )
    return KEY_MAPPINGS[name]


def _kind(tensor: Tensor) -> tuple[bool, bool]:
    return tensor.is_floating_point(), tensor.is_complex()


def _shape(value) -> tuple[int, ...] | str:
    if isinstance(value, Tensor):
        return tuple(value.shape)
    return f'a {type(value).__name__}'


def _first(items: list[str], limit: int = 3) -> str:
    return ', '.join(items[:limit]) + (', …' if len(items) > limit else '')
