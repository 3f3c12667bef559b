"""Cheaper ways to run a teacher, each verified before use."""

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
    """A network and how its features are computed.

    Attributes:
        model: The network.
        memory_format: Memory format of its backbone's input.
        dtype: dtype of its backbone and neck; None for that of the weights.
    """

    model: nn.Module
    memory_format: torch.memory_format = torch.preserve_format
    dtype: torch.dtype | None = None

    @torch.no_grad()
    def extract_feat(self, inputs: Tensor) -> tuple:
        """Return the inputs of the heads, in the weights' dtype."""
        inputs = inputs.to(memory_format=self.memory_format)
        with torch.autocast(
            inputs.device.type, self.dtype, enabled=self.dtype is not None
        ):
            # the class's own method: the instance's may call this one
            feats = type(self.model).extract_feat(self.model, inputs)
        return _plain(feats, next(self.model.parameters()).dtype)


def _plain(feats, dtype: torch.dtype):
    if isinstance(feats, (tuple, list)):  # nested for token models
        return tuple(_plain(feat, dtype) for feat in feats)
    if feats is None:  # a disabled auxiliary output
        return None
    # contiguous: the compiled RoIAlign misreads channels_last feature maps
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


# In order of application.
REWRITINGS: dict[str, Callable[[Running, object], Running]] = {
    'fuse_conv_bn': _fold,
    'channels_last': _lay_out,
    'dtype': _in_half,
}
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
    return torch.ops.mkldnn._is_mkldnn_bf16_supported()


def rewritten(model: nn.Module, switches: dict, name: str) -> Running:
    """Return a network with the requested rewritings.

    Each rewriting is tried on a probe image. One that fails, or changes an
    output by more than its tolerance, is skipped with a warning; a
    half-precision dtype that would be slower on this machine is skipped with a
    log message.

    Args:
        model: The loaded network, in eval mode, on the CPU.
        switches: Name of a rewriting -> value; False and None disable it.
        name: Name of the teacher, for the log.
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
    # on its final device, since kernels differ between devices
    model.to(get_device())
    witness = Witness(running)
    for key in asked:
        value = switches[key]
        accepted = TOLERANCES[value]
        try:
            candidate = REWRITINGS[key](running, value)
            change, part = witness.compare(candidate)
        except Exception as error:  # any error a layer raises
            reason = f'{type(error).__name__}: {" ".join(str(error).split())}'
            reason = f'it fails that way ({reason[:200]})'
        else:
            if change <= accepted:
                running = candidate
                continue
            reason = (
                f'the output of {part} would change by {change:.2g} of its '
                f'norm, but at most {accepted:g} is accepted'
            )
        print_log(
            f'Teacher {name!r} runs without {key}={value!r}, since {reason}.',
            'current',
            logging.WARNING,
        )
    running.model.to('cpu')
    return running
