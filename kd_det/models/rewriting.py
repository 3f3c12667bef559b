"""How a teacher is run: its cheaper forms, each proven before it is used."""

import copy
import logging
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from mmengine.device import get_device
from mmengine.logging import print_log
from torch import Tensor, nn

from kd_det.checks import check_choice
from kd_det.errors import UserError
from kd_det.models.witness import Witness

DTYPES = {'float16': torch.float16, 'bfloat16': torch.bfloat16}


@dataclass
class Running:
    """A network with the way in which its features are computed.

    Attributes:
        model: The network.
        memory_format: Of what goes into its backbone.
        dtype: Of its backbone and neck; None for that of the weights.
    """

    model: nn.Module
    memory_format: torch.memory_format = torch.preserve_format
    dtype: torch.dtype | None = None

    @torch.no_grad()
    def extract_feat(self, inputs: Tensor) -> tuple:
        """Return what the heads read, in the weights' type."""
        inputs = inputs.to(memory_format=self.memory_format)
        with torch.autocast(
            inputs.device.type, self.dtype, enabled=self.dtype is not None
        ):
            # the class's own: that of the instance may lead here
            feats = type(self.model).extract_feat(self.model, inputs)
        return _plain(feats, next(self.model.parameters()).dtype)


def _plain(feats, dtype: torch.dtype):
    if isinstance(feats, (tuple, list)):  # a token model's are nested
        return tuple(_plain(feat, dtype) for feat in feats)
    if feats is None:  # an auxiliary output that is off
        return None
    # contiguous: the compiled RoIAlign reads channels_last maps wrongly
    return feats.to(dtype).contiguous()


def _fold(running: Running, _) -> Running:
    from mmcv.cnn.utils import fuse_conv_bn

    return replace(running, model=fuse_conv_bn(copy.deepcopy(running.model)))


def _lay_out(running: Running, _) -> Running:
    model = copy.deepcopy(running.model)
    for part in ('backbone', 'neck'):
        if getattr(model, part, None) is not None:
            getattr(model, part).to(memory_format=torch.channels_last)
    return replace(running, model=model, memory_format=torch.channels_last)


def _in_half(running: Running, dtype: str) -> Running:
    return replace(running, dtype=DTYPES[dtype])


# In the order in which they are applied.
REWRITINGS: dict[str, Callable[[Running, object], Running]] = {
    'fuse_conv_bn': _fold,
    'channels_last': _lay_out,
    'dtype': _in_half,
}
# Largest accepted change of an output, as a share of its norm.
TOLERANCES = {True: 1e-3, 'float16': 0.02, 'bfloat16': 0.1}


def check_switches(switches: dict) -> None:
    """Raise a UserError at a value that a rewriting does not have.

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
    """Return whether the device has instructions for a half type.

    A CPU without them computes in it all the same, up to 17 times slower
    than in float32.

    Args:
        dtype: One of ``DTYPES``.
    """
    if get_device() != 'cpu':
        return True
    if dtype == 'float16':
        return torch.ops.mkldnn._is_mkldnn_fp16_supported()
    return torch.ops.mkldnn._is_mkldnn_bf16_supported()


def rewritten(model: nn.Module, switches: dict, name: str) -> Running:
    """Return a network in the cheaper form that is asked for.

    Each rewriting is tried on a probe. One that fails there, or changes an
    output by more than its tolerance, is left out with a warning; so is a
    half type that would be slower here, with a line in the log.

    Args:
        model: The network as it was loaded, in eval mode, on the CPU.
        switches: Name of a rewriting -> value; False and None ask for none.
        name: Of the teacher, for the log.
    """
    running = Running(model)
    asked = [key for key in REWRITINGS if switches.get(key)]
    if 'dtype' in asked and not is_fast_in(switches['dtype']):
        asked.remove('dtype')
        print_log(
            f'Teacher {name!r} runs in float32, since this CPU has no '
            f'instructions for {switches["dtype"]}.',
            'current',
        )
    if not asked:
        return running
    # where it will run: kernels of another device say nothing
    model.to(get_device())
    witness = Witness(running)
    for key in asked:
        value = switches[key]
        accepted = TOLERANCES[value]
        try:
            candidate = REWRITINGS[key](running, value)
            change, part = witness.compare(candidate)
        except Exception as error:  # whatever a layer says to it
            reason = f'{type(error).__name__}: {" ".join(str(error).split())}'
            reason = f'it does not run so ({reason[:200]})'
        else:
            if change <= accepted:
                running = candidate
                continue
            reason = (
                f'what {part} gives would change by {change:.2g} of its norm, '
                f'and {accepted:g} is accepted'
            )
        print_log(
            f'Teacher {name!r} runs without {key}={value!r}, since {reason}.',
            'current',
            logging.WARNING,
        )
    running.model.to('cpu')
    return running
