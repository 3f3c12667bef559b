"""DistillModel: a student and its frozen teacher as one MMEngine model."""

from collections.abc import Iterator
from contextlib import ExitStack

import torch
from mmengine.model import BaseDataPreprocessor, BaseModel
from torch import Tensor, nn

from kd_det import random_state
from kd_det.checks import check_choice, check_name
from kd_det.class_names import plain_names
from kd_det.distillers import Distiller
from kd_det.distillers.levels import encode, is_deep
from kd_det.errors import UserError, nearest
from kd_det.models.inherit import Inheritance, check_parts
from kd_det.models.preprocessor import PairPreprocessor, check_colours
from kd_det.models.spec import read_spec
from kd_det.models.stand_in import StandIn
from kd_det.models.teacher import FrozenTeacher
from kd_det.registry import MODELS, build_part
from kd_det.taps import FeatureTap


@MODELS.register_module()
class DistillModel(StandIn, BaseModel):
    """Train a student with its own losses and what distillers add.

    ``loss`` runs the student's untouched loss, then the distillers;
    ``predict`` and ``tensor`` are the student alone. At a given seed the
    student is initialised, and draws at random, exactly as without teacher.
    A checkpoint of this model is a checkpoint of the student: its own keys,
    unprefixed; connectors and schedule state stand under ``distill.``, the
    teacher is not in it.

    To parts of other packages it is the student: an attribute that it lacks
    is the student's, and ``named_modules``, ``named_parameters`` and
    ``named_buffers`` use the names of the checkpoint.

    Several teachers have names, ``teacher=dict(a=dict(cfg=…, ckpt=…),
    b=…)``, and each distiller says whom it listens to, ``teacher='a'``.

    With ``inherit`` the student begins with the teacher's weights, see
    :class:`Inheritance`: ``init_weights`` copies them over those that plain
    training draws, and a checkpoint that is loaded later replaces them.

    Args:
        student: ``dict(cfg=..., **overrides)`` or a full model config; with
            ``inherit``, the names of the sub-modules to begin with,
            ``inherit_from``, the name of the teacher where there are
            several, and ``stitch``, True or False.
        teacher: The same with ``ckpt``, see :class:`FrozenTeacher`; or name
            -> such a config.
        distillers: Name -> config of a :class:`Distiller`. The losses are
            logged as ``<name>.<loss>``. May be empty with ``inherit``; the
            teacher is then freed before the first step.
        classes: The student's class names in label order, by which the
            teachers' are matched; the tools fill them in from the data.
    """

    def __init__(
        self,
        student: dict,
        teacher: dict,
        distillers: dict | None = None,
        classes: tuple[str, ...] = (),
    ) -> None:
        model_cfg = read_spec(student, 'student')[0]
        parts = check_parts(student.get('inherit', ()))
        for key in ('inherit_from', 'stitch'):
            if not parts and student.get(key):
                raise UserError(
                    f'student.{key}={student[key]!r} without student.inherit '
                    'takes nothing over; name the parts, e.g. '
                    "inherit=('neck', 'bbox_head'), or leave it out."
                )
        stitch = student.get('stitch', False)
        check_choice('student', 'stitch', stitch, (True, False))
        distillers = {} if distillers is None else distillers
        if not isinstance(distillers, dict) or not (distillers or parts):
            raise UserError(
                f'distillers={distillers!r}; a dict of name -> '
                "dict(type='RoIDistiller', …) is accepted, an empty one only "
                'with student.inherit. To train the student alone, use its '
                'own config.'
            )
        for name in distillers:
            check_name('A distiller', name)
        classes = plain_names(classes, 'model.classes')
        specs = teacher_specs(teacher)
        chosen = {
            name: _teacher_of(name, cfg, specs)
            for name, cfg in distillers.items()
        }
        source = _source_of(student, specs) if parts else None
        listened = {who for who, _ in chosen.values()}
        heard = [name for name in specs if name in listened]
        unheard = {*specs} - listened - {source}
        if unheard:
            first = min(unheard, key=str)
            raise UserError(
                f'No distiller listens to the teacher {first!r}; write '
                f'teacher={first!r} in one, or take the teacher out.'
            )
        # The student is built first and the rest draws on its own: the
        # generators then stand where plain training has them.
        network = MODELS.build(model_cfg)
        with random_state.isolated():
            frozen = {
                name: FrozenTeacher(
                    spec, classes, parts if name == source else ()
                )
                for name, spec in specs.items()
            }
            inheritance = parts and Inheritance(
                parts, network, student, frozen[source], classes, stitch
            )
            built = {
                name: build_part(f'distillers.{name}', cfg, Distiller)
                for name, (_, cfg) in chosen.items()
            }
        shown = {name: frozen[name].model for name in heard}
        check_colours(dict(student=network) | shown)
        super().__init__(
            PairPreprocessor(
                network.data_preprocessor,
                {n: frozen[n].model.data_preprocessor for n in heard},
            )
        )
        self.classes = classes
        # in a dict, no sub-modules: no optimiser and no checkpoint must see
        # them
        self.teachers = frozen
        self.listens_to = {name: who for name, (who, _) in chosen.items()}
        self.heard = heard  # names of the teachers that must run
        self.inheritance = inheritance or None  # until the first step
        self._checked = False  # that gradients reach the student
        self.student = network  # what is set from here on may be meant for it
        self.distill = nn.ModuleDict(built)
        for name, distiller in built.items():
            own = frozen[self.listens_to[name]]
            distiller.match_up(classes, own)
            distiller.bind(name, network, own)
        for teacher in frozen.values():
            teacher.check_names()
        self._register_state_dict_hook(_drop_prefix)
        self.register_load_state_dict_pre_hook(_add_prefix)

    @property
    def teacher(self) -> FrozenTeacher:
        """The teacher, where there is one."""
        (teacher,) = self.teachers.values()
        return teacher

    def _stands_for(self) -> nn.Module | None:
        return vars(self).get('_modules', {}).get('student')

    def named_modules(
        self,
        memo: set | None = None,
        prefix: str = '',
        remove_duplicate: bool = True,
    ) -> Iterator[tuple[str, nn.Module]]:
        """Walk the modules by the names that a checkpoint gives them."""
        found = super().named_modules(memo, prefix, remove_duplicate)
        start = f'{prefix}.' if prefix else ''
        for name, module in found:
            inner = f'{name}.'.removeprefix(f'{start}student.')
            if inner != f'{name}.':
                name = f'{start}{inner}'.removesuffix('.')
            yield name, module

    def get_layer_depth(self, name: str) -> tuple[int, int]:
        """Return the depth of a weight, for decay by layer, and the most.

        Args:
            name: Of a parameter; those of distillers count as the head.

        Raises:
            UserError: The student has no such order of its layers.
        """
        if not hasattr(self.student, 'get_layer_depth'):
            raise UserError(
                f'The student {type(self.student).__name__} cannot tell how '
                'deep its layers lie (get_layer_depth), which a learning rate '
                'by layer needs; leave optim_wrapper.constructor out.'
            )
        return self.student.get_layer_depth(name.removeprefix('student.'))

    def init_weights(self) -> None:
        """Initialise the student as plain training does, then inherit."""
        if hasattr(self.student, 'init_weights'):
            self.student.init_weights()
        if self.inheritance is not None:
            self.inheritance.apply(self.student)

    def _apply(self, fn, recurse: bool = True) -> 'DistillModel':
        for teacher in self.teachers.values():  # follow .to() and .cuda()
            teacher._apply(fn)
        return super()._apply(fn, recurse)

    def _set_device(self, device: torch.device) -> None:
        # MMEngine tells preprocessors this way where to put images
        super()._set_device(device)
        for teacher in self.teachers.values():
            for module in teacher.modules():
                if isinstance(module, BaseDataPreprocessor):
                    module._device = device

    def forward(
        self,
        inputs: Tensor,
        data_samples: list | None = None,
        mode: str = 'tensor',
        teacher_inputs: dict[str, Tensor] | None = None,
    ):
        """Return losses for ``mode='loss'``, else what the student does."""
        if mode != 'loss':
            return self.student(inputs, data_samples, mode=mode)
        own = teacher_inputs or {}
        shown = {name: own.get(name, inputs) for name in self.heard}
        return self.loss(inputs, data_samples, shown)

    def loss(
        self,
        inputs: Tensor,
        data_samples: list,
        teacher_inputs: dict[str, Tensor],
    ) -> dict[str, Tensor]:
        """Return the student's losses and those of the distillers."""
        if self.inheritance is not None:
            self._end_inheritance()
        with ExitStack() as stack:
            records = {
                name: stack.enter_context(distiller.tap)
                for name, distiller in self.distill.items()
            }
            losses = dict(self.student(inputs, data_samples, mode='loss'))
        if 'loss' in losses:  # MMEngine logs the total under this name
            losses['loss_task'] = losses.pop('loss')
        unchecked = not self._checked and learns(self.student)
        seen, feats = {}, {}
        for name in self.heard:
            with ExitStack() as stack:
                seen |= self._listen(name, stack)
                teacher = self.teachers[name]
                feats[name] = teacher.extract_feat(teacher_inputs[name])
                if any(map(is_deep, self._points_in(name))):
                    encode(teacher.model, feats[name], data_samples)
        for name, distiller in self.distill.items():
            who = self.listens_to[name]
            knowledge = distiller.read(
                records[name], seen[name], feats[who], data_samples
            )
            theirs = {k: v for k, v in knowledge.items() if _is_theirs(k)}
            self.teachers[who].check_finite(theirs, f'distillers.{name}')
            if unchecked:
                distiller.check_taught(knowledge)
            for key, value in distiller(distiller.connect(knowledge)).items():
                losses[f'{name}.{key}'] = value
        self._checked = self._checked or unchecked
        return losses

    def _end_inheritance(self) -> None:
        """Free what only the beginning of a run needs."""
        if self.inheritance.unstitched:
            raise UserError(
                'student.stitch=True, but nothing has fitted the layers; add '
                "dict(type='kd_det.StitchHook') to custom_hooks."
            )
        teacher = self.inheritance.teacher
        teacher.kept.clear()
        self.inheritance = None
        if not any(self.teachers[n] is teacher for n in self.heard):
            teacher.release()

    def learner(self, peer: None = None) -> tuple[nn.Module, dict]:
        """Return the student, and the distillation losses by their keys.

        Args:
            peer: Of a ``MutualModel``; here there are none.
        """
        losses = {
            f'{name}.{key}': loss
            for name, distiller in self.distill.items()
            for key, loss in distiller.losses.items()
        }
        return self.student, losses

    def _points_in(self, teacher: str) -> list[dict[str, str]]:
        return [
            distiller.teacher_points
            for name, distiller in self.distill.items()
            if self.listens_to[name] == teacher
        ]

    def _listen(self, teacher: str, stack: ExitStack) -> dict[str, dict]:
        """Open the taps that a teacher's distillers have in it."""
        # made anew: a tap kept would be copied when the pair is, and listen
        # to copies of the teacher's layers
        model = self.teachers[teacher].model
        return {
            name: stack.enter_context(
                FeatureTap(model, distiller.teacher_points)
            )
            for name, distiller in self.distill.items()
            if self.listens_to[name] == teacher
        }


def _is_theirs(field: str) -> bool:
    return field.startswith('teacher_')


def learns(network: nn.Module) -> bool:
    """Return whether a step can move anything of a network."""
    return torch.is_grad_enabled() and any(
        weight.requires_grad for weight in network.parameters()
    )


def teacher_specs(teacher: dict) -> dict[str, dict]:
    """Return name -> config of each teacher; a single one is ``teacher``.

    Args:
        teacher: As :class:`DistillModel` takes it.
    """
    several = isinstance(teacher, dict) and all(
        isinstance(spec, dict) and {'cfg', 'ckpt', 'type'} & {*spec}
        for spec in teacher.values()
    )
    return dict(teacher) if several and teacher else dict(teacher=teacher)


def _teacher_of(name: str, cfg: dict, teachers: dict) -> tuple[str, dict]:
    """Return whom a distiller listens to, and the rest of its config."""
    if not isinstance(cfg, dict):
        return next(iter(teachers)), cfg  # refused with the others
    cfg = dict(cfg)
    who = cfg.pop('teacher', None)
    if who is None and len(teachers) == 1:
        return next(iter(teachers)), cfg
    if who not in teachers:
        raise UserError(
            f'distillers.{name} has teacher={who!r}; accepted are '
            f'{", ".join(teachers)}{nearest(str(who), teachers) or "."}'
        )
    return who, cfg


def _source_of(student: dict, teachers: dict) -> str:
    """Return the name of the teacher whose weights the student inherits."""
    who = student.get('inherit_from')
    if who is None and len(teachers) == 1:
        return next(iter(teachers))
    if not isinstance(who, str) or who not in teachers:
        raise UserError(
            f'student.inherit_from={who!r}; accepted are '
            f'{", ".join(teachers)}{nearest(str(who), teachers) or "."}'
        )
    return who


def require_pair(hook: object, model: nn.Module) -> None:
    """Raise a UserError unless a hook of the pair is given a pair."""
    if not isinstance(model, DistillModel):
        raise UserError(
            f'{type(hook).__name__} is for a DistillModel, but the model is '
            f'a {type(model).__name__}; take the hook out of custom_hooks.'
        )


def _drop_prefix(module, state_dict, prefix, local_metadata) -> None:
    rename_keys(state_dict, f'{prefix}student.', prefix)


def _add_prefix(module, state_dict, prefix, *_) -> None:
    own = f'{prefix}distill.'
    for key in [k for k in state_dict if not k.startswith(own)]:
        if key.startswith(prefix):
            state_dict[f'{prefix}student.{key[len(prefix) :]}'] = (
                state_dict.pop(key)
            )


def rename_keys(state_dict: dict, old: str, new: str) -> None:
    """Give keys that begin with ``old`` another beginning, in place."""
    for table in (state_dict, getattr(state_dict, '_metadata', {})):
        for key in [k for k in table if k.startswith(old)]:
            table[new + key[len(old) :]] = table.pop(key)
