"""DistillModel: a student and its frozen teacher as one MMEngine model."""

from contextlib import ExitStack

import torch
from mmengine.model import BaseDataPreprocessor, BaseModel
from torch import Tensor, nn

from kd_det import random_state
from kd_det.distillers import Distiller
from kd_det.errors import UserError
from kd_det.models.preprocessor import PairPreprocessor
from kd_det.models.spec import read_spec
from kd_det.models.teacher import FrozenTeacher
from kd_det.registry import MODELS, build_part
from kd_det.taps import FeatureTap


@MODELS.register_module()
class DistillModel(BaseModel):
    """Train a student with its own losses and what distillers add.

    ``loss`` runs the student's untouched loss, then the distillers;
    ``predict`` and ``tensor`` are the student alone. At a given seed the
    student is initialised, and draws at random, exactly as without teacher.
    A checkpoint of this model is a checkpoint of the student: its own keys,
    unprefixed; connectors and schedule state stand under ``distill.``, the
    teacher is not in it.

    Args:
        student: ``dict(cfg=..., **overrides)`` or a full model config.
        teacher: The same with ``ckpt``; see :class:`FrozenTeacher`.
        distillers: Name -> config of a :class:`Distiller`. The losses are
            logged as ``<name>.<loss>``.
    """

    def __init__(self, student: dict, teacher: dict, distillers: dict) -> None:
        if not isinstance(distillers, dict):
            raise UserError(
                f'distillers={distillers!r} is a {type(distillers).__name__}; '
                "a dict of name -> dict(type='RoIDistiller', …) is accepted."
            )
        # The student is built first and the rest draws on its own: the
        # generators then stand where plain training has them.
        network = MODELS.build(read_spec(student, 'student')[0])
        with random_state.isolated():
            frozen = FrozenTeacher(teacher)
            built = {
                name: build_part(f'distillers.{name}', cfg, Distiller)
                for name, cfg in distillers.items()
            }
        super().__init__(
            PairPreprocessor(
                network.data_preprocessor, frozen.model.data_preprocessor
            )
        )
        self.student = network
        # not a sub-module: no optimiser and no checkpoint must see it
        object.__setattr__(self, 'teacher', frozen)
        self.distill = nn.ModuleDict(built)
        for name, distiller in built.items():
            distiller.bind(name, network, frozen)
        self._register_state_dict_hook(_drop_prefix)
        self.register_load_state_dict_pre_hook(_add_prefix)

    def init_weights(self) -> None:
        """Initialise the student, as plain training does."""
        if hasattr(self.student, 'init_weights'):
            self.student.init_weights()

    def _apply(self, fn, recurse: bool = True) -> 'DistillModel':
        self.teacher._apply(fn)  # the teacher follows .to() and .cuda()
        return super()._apply(fn, recurse)

    def _set_device(self, device: torch.device) -> None:
        # MMEngine tells preprocessors this way where to put images
        super()._set_device(device)
        for module in self.teacher.modules():
            if isinstance(module, BaseDataPreprocessor):
                module._device = device

    def forward(
        self,
        inputs: Tensor,
        data_samples: list | None = None,
        mode: str = 'tensor',
        teacher_inputs: Tensor | None = None,
    ):
        """Return losses for ``mode='loss'``, else what the student does."""
        if mode != 'loss':
            return self.student(inputs, data_samples, mode=mode)
        if teacher_inputs is None:
            teacher_inputs = inputs
        return self.loss(inputs, data_samples, teacher_inputs)

    def loss(
        self, inputs: Tensor, data_samples: list, teacher_inputs: Tensor
    ) -> dict[str, Tensor]:
        """Return the student's losses and those of the distillers."""
        with ExitStack() as stack:
            records = {
                name: stack.enter_context(distiller.tap)
                for name, distiller in self.distill.items()
            }
            losses = dict(self.student(inputs, data_samples, mode='loss'))
        if 'loss' in losses:  # MMEngine logs the total under this name
            losses['loss_task'] = losses.pop('loss')
        seen, feats = self._show_teacher(teacher_inputs)
        for name, distiller in self.distill.items():
            knowledge = distiller.connect(
                distiller.read(records[name], seen[name], feats)
            )
            for key, value in distiller(knowledge).items():
                losses[f'{name}.{key}'] = value
        return losses

    def _show_teacher(self, inputs: Tensor) -> tuple[dict[str, dict], tuple]:
        """Run the teacher's ``extract_feat`` under the distillers' taps."""
        with ExitStack() as stack:
            # made anew: a tap kept would be copied when the pair is, and
            # listen to copies of the teacher's layers
            records = {
                name: stack.enter_context(
                    FeatureTap(self.teacher.model, distiller.teacher_points)
                )
                for name, distiller in self.distill.items()
            }
            return records, self.teacher.extract_feat(inputs)


def require_pair(hook: object, model: nn.Module) -> None:
    """Raise a UserError unless a hook of the pair is given a pair."""
    if not isinstance(model, DistillModel):
        raise UserError(
            f'{type(hook).__name__} is for a DistillModel, but the model is '
            f'a {type(model).__name__}; take the hook out of custom_hooks.'
        )


def _drop_prefix(module, state_dict, prefix, local_metadata) -> None:
    _rename(state_dict, f'{prefix}student.', prefix)


def _add_prefix(module, state_dict, prefix, *_) -> None:
    own = f'{prefix}distill.'
    for key in [k for k in state_dict if not k.startswith(own)]:
        if key.startswith(prefix):
            state_dict[f'{prefix}student.{key[len(prefix) :]}'] = (
                state_dict.pop(key)
            )


def _rename(state_dict: dict, old: str, new: str) -> None:
    for table in (state_dict, getattr(state_dict, '_metadata', {})):
        for key in [k for k in table if k.startswith(old)]:
            table[new + key[len(old) :]] = table.pop(key)
