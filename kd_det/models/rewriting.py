"""Cheaper ways to run a teacher, each verified before use."""

import contextlib
import copy
import platform
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import torch
from mmengine.device import get_device
from mmengine.dist import all_reduce
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils._pytree import tree_map

from kd_det.checks import check_choice
from kd_det.errors import UserError
from kd_det.models.witness import Witness

DTYPES = {'float16': torch.float16, 'bfloat16': torch.bfloat16}


@dataclass
class Running:
    """A network and how its features are computed.

    Attributes:
        model: The network.
        memory_format: Memory format of its backbone's input.
        dtype: dtype of its backbone and neck; None for that of the weights.
        made: What :meth:`plain` has made in the block of :meth:`once`, by the
            id of the tensor, with the tensor itself.
    """

    model: nn.Module
    memory_format: torch.memory_format = torch.preserve_format
    dtype: torch.dtype | None = None
    made: dict[int, tuple[Tensor, Tensor]] | None = None

    @contextlib.contextmanager
    def once(self) -> Iterator[None]:
        """Convert a tensor once within the block, however it is reached."""
        self.made = {}
        try:
            yield
        finally:
            self.made = None

    @torch.no_grad()
    def extract_feat(self, inputs: Tensor) -> tuple:
        """Return the inputs of the heads, in the weights' dtype."""
        inputs = inputs.to(memory_format=self.memory_format)
        with torch.autocast(
            inputs.device.type, self.dtype, enabled=self.dtype is not None
        ):
            # the class's own method: the instance's may call this one
            feats = type(self.model).extract_feat(self.model, inputs)
        feats = tuple(feats) if isinstance(feats, list) else feats
        return self.plain(feats)

    def precision(self) -> contextlib.AbstractContextManager:
        """Return a context in which heads run in ``dtype``."""
        if self.dtype is None:
            return contextlib.nullcontext()
        device = next(self.model.parameters()).device
        return torch.autocast(device.type, self.dtype)

    def plain(self, tree):
        """Return outputs as a network without rewritings gives them.

        Args:
            tree: Tensors in dicts, lists and tuples.
        """
        dtype = next(self.model.parameters()).dtype
        made = {} if self.made is None else self.made

        def convert(leaf):
            if not isinstance(leaf, Tensor) or not leaf.is_floating_point():
                return leaf  # also None: a disabled auxiliary output
            if id(leaf) not in made:
                # contiguous: the compiled RoIAlign misreads channels_last
                made[id(leaf)] = leaf.to(dtype).contiguous(), leaf
            return made[id(leaf)][0]

        return tree_map(convert, tree)


def _fold(running: Running, _) -> None:
    from mmcv.cnn.utils import fuse_conv_bn

    # what timm's batch norms run behind themselves, such as an activation
    behind = {
        name: OrderedDict(module.named_children())
        for name, module in running.model.named_modules()
        if isinstance(module, _BatchNorm) and [*module.children()]
    }
    fuse_conv_bn(running.model)
    for name, layers in behind.items():
        if isinstance(running.model.get_submodule(name), nn.Identity):
            parent, _, key = name.rpartition('.')
            kept = nn.Sequential(layers)
            setattr(running.model.get_submodule(parent), key, kept)


def _lay_out(running: Running, _) -> None:
    for part in ('backbone', 'neck'):
        if getattr(running.model, part, None) is not None:
            layers = getattr(running.model, part)
            layers.to(memory_format=torch.channels_last)
    running.memory_format = torch.channels_last


def _in_half(running: Running, dtype: str) -> None:
    running.dtype = DTYPES[dtype]


# In order of application.
REWRITINGS: dict[str, Callable[[Running, object], None]] = {
    'fuse_conv_bn': _fold,
    'channels_last': _lay_out,
    'dtype': _in_half,
}
SLOW = 'this CPU has no instructions for it'
# Largest accepted change of an output, relative to its norm.
TOLERANCES = {True: 1e-3, 'float16': 0.02, 'bfloat16': 0.1}


def check_switches(switches: dict) -> None:
    """Raise a UserError if a rewriting does not accept its value.

    Args:
        switches: Name of a rewriting -> value.
    """
    for key, value in switches.items():
        if key != 'dtype':
            check_choice('teacher', key, value, (True, False))
        elif value is not None and value not in DTYPES:
            raise UserError(
                f'teacher.dtype={value!r}; accepted are {sorted(DTYPES)} or '
                'None for float32.'
            )


def is_fast_in(dtype: str) -> bool:
    """Return whether the device has instructions for a half-precision dtype.

    A CPU without them still runs it, up to 17 times slower than float32.

    Args:
        dtype: One of ``DTYPES``.
    """
    if get_device() != 'cpu':
        return True
    if dtype == 'float16':
        return torch.ops.mkldnn._is_mkldnn_fp16_supported()
    if platform.machine() in ('x86_64', 'AMD64'):
        # oneDNN alone would also accept AVX-512 without bfloat16
        names = '_is_avx512_bf16_supported', '_is_amx_tile_supported'
        return any(getattr(torch.cpu, name, bool)() for name in names)
    return torch.ops.mkldnn._is_mkldnn_bf16_supported()


def fast_switches() -> dict[str, object]:
    """Return the rewritings that make a teacher fast on this machine.

    They depend on what the device can do, not on a measurement, so that a
    resumed run makes the same choice.
    """
    device = get_device()
    dtype = None
    if device == 'cpu':
        dtype = 'bfloat16' if is_fast_in('bfloat16') else None
    elif device == 'cuda' and torch.cuda.get_device_capability() >= (8, 0):
        dtype = 'bfloat16'
    if not agreed(dtype is not None):
        dtype = None
    # on a GPU the layout only pays in half precision
    laid_out = device == 'cpu' or dtype is not None
    return dict(fuse_conv_bn=True, channels_last=laid_out, dtype=dtype)


def agreed(verdict: bool) -> bool:
    """Return whether a verdict is true in all processes of a run.

    Args:
        verdict: That of this process.
    """
    shared = torch.tensor(float(verdict))
    all_reduce(shared, 'min')
    return bool(shared)


def rewrite(
    running: Running, switches: dict, points: dict[str, str] | None = None
) -> dict[str, str]:
    """Apply rewritings to a network, in place.

    Each is tried on a copy of the network and a probe image. One that fails
    in any process, or changes an output or what is recorded at a tap point by
    more than its tolerance, is left out.

    Args:
        running: The network, in eval mode, on the CPU.
        switches: Name of a rewriting -> value; False and None disable it.
        points: Name -> tap point in its backbone or neck.

    Returns:
        Name of each rewriting that was left out -> the reason.
    """
    asked = {key: switches[key] for key in REWRITINGS if switches.get(key)}
    left_out = {}
    if 'dtype' in asked and not agreed(is_fast_in(asked['dtype'])):
        del asked['dtype']
        left_out['dtype'] = SLOW
    if not asked:
        return left_out
    # on its final device, since kernels differ between devices
    running.model.to(get_device())
    witness = Witness(running, points or {})
    for kind in (False, True):
        some = {k: v for k, v in asked.items() if (k == 'dtype') is kind}
        left_out |= _attempt(running, some, witness)
    running.model.to('cpu')
    return left_out


def _attempt(running: Running, asked: dict, witness: Witness) -> dict:
    """Apply rewritings together, or one by one if that is not accepted."""
    if not asked:
        return {}
    reason = 'it is not accepted in another process'
    passed = False
    try:
        candidate = replace(running, model=copy.deepcopy(running.model))
        for key, value in asked.items():
            REWRITINGS[key](candidate, value)
        change, part = witness.compare(candidate)
    except Exception as error:  # any error a layer raises
        reason = f'{type(error).__name__}: {" ".join(str(error).split())}'
        reason = f'it fails that way ({reason[:200]})'
    else:
        accepted = min(TOLERANCES[value] for value in asked.values())
        passed = change <= accepted
        if not passed:
            reason = (
                f'the output of {part} would change by {change:.2g} of its '
                f'norm, but at most {accepted:g} is accepted'
            )
    if agreed(passed):
        for key, value in asked.items():
            REWRITINGS[key](running, value)
        return {}
    if len(asked) == 1:
        return dict.fromkeys(asked, reason)
    left_out = {}
    for key, value in asked.items():
        left_out |= _attempt(running, {key: value}, witness)
    return left_out
