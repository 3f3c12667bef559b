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
from kd_det.distillers.levels import run_transformer
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
    """Train a student with its own losses plus those of distillers.

    ``loss`` runs the student's unchanged loss, then the distillers;
    ``predict`` and ``tensor`` run the student alone. At a given seed, the
    student is initialised and draws random numbers exactly as without a
    teacher. A checkpoint of this model is a checkpoint of the student with its
    own, unprefixed keys; connectors and schedule state are stored under
    ``distill.``; the teacher is not stored.

    To code of other packages it looks like the student: attributes that it
    lacks are the student's, and ``named_modules``, ``named_parameters`` and
    ``named_buffers`` use the names in the checkpoint.

    Several teachers are named, ``teacher=dict(a=dict(cfg=…, ckpt=…), b=…)``,
    and each distiller selects one with ``teacher='a'``.

    With ``inherit`` the student is initialised with weights of the teacher,
    see :class:`Inheritance`: ``init_weights`` copies them over the student's
    own initialisation; a checkpoint loaded later replaces them.

    Args:
        student: ``dict(cfg=..., **overrides)`` or a full model config; may
            contain ``inherit``, names of submodules to copy from the teacher,
            ``inherit_from``, the name of that teacher if there are several,
            and ``stitch`` (default: False).
        teacher: As the student, with ``ckpt``, see :class:`FrozenTeacher`; or
            a dict of name -> such a config.
        distillers: Name -> config of a :class:`Distiller`. The losses are
            logged as ``<name>.<loss>``. May be empty with ``inherit``; the
            teacher is then freed before the first step.
        classes: The student's class names in label order, to which the
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
                    f'student.{key}={student[key]!r} has no effect without '
                    "student.inherit; name the parts, e.g. inherit=('neck', "
                    "'bbox_head'), or leave it out."
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
        unheard = {*specs} - listened - {source}
        if unheard:
            first = min(unheard, key=str)
            raise UserError(
                f'No distiller uses the teacher {first!r}; write '
                f'teacher={first!r} in one, or remove the teacher.'
            )
        # The student is built first, and the rest in isolation, so that the
        # random generators are in the same state as in plain training.
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
        heard = [
            name
            for name in specs
            if any(
                built[key].needs_teacher
                for key, (who, _) in chosen.items()
                if who == name
            )
        ]
        shown = {name: frozen[name].model for name in listened}
        check_colours(dict(student=network) | shown)
        super().__init__(
            PairPreprocessor(
                network.data_preprocessor,
                {n: frozen[n].model.data_preprocessor for n in heard},
            )
        )
        self.classes = classes
        # in a plain dict, not as submodules, to keep them out of optimisers
        # and checkpoints
        self.teachers = frozen
        self.listens_to = {name: who for name, (who, _) in chosen.items()}
        self.heard = heard  # names of the teachers that a step runs
        self.inheritance = inheritance or None  # until the first step
        self._checked = False  # whether gradients reach the student
        self.student = network  # from here on, attributes may be set on it
        self.distill = nn.ModuleDict(built)
        for name, distiller in built.items():
            own = frozen[self.listens_to[name]]
            distiller.match_up(classes, own)
            distiller.bind(name, network, own)
        for teacher in frozen.values():
            teacher.check_names()
        for name in heard:  # now that the distillers have read its layers
            points = {
                f'{number} {key}': point
                for number, taps in enumerate(self._points_in(name))
                for key, point in taps.items()
                if point.startswith(('backbone', 'neck'))
            }
            frozen[name].speed_up(points, not (stitch and name == source))
        self._register_state_dict_hook(_drop_prefix)
        self.register_load_state_dict_pre_hook(_add_prefix)

    @property
    def teacher(self) -> FrozenTeacher:
        """The teacher, if there is exactly one."""
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
        """Iterate over the modules by their names in a checkpoint."""
        found = super().named_modules(memo, prefix, remove_duplicate)
        start = f'{prefix}.' if prefix else ''
        for name, module in found:
            inner = f'{name}.'.removeprefix(f'{start}student.')
            if inner != f'{name}.':
                name = f'{start}{inner}'.removesuffix('.')
            yield name, module

    def get_layer_depth(self, name: str) -> tuple[int, int]:
        """Return a weight's depth and the maximum, for layer-wise decay.

        Args:
            name: Name of a parameter; those of distillers count as part of the
                head.

        Raises:
            UserError: The student does not define the depth of its layers.
        """
        if not hasattr(self.student, 'get_layer_depth'):
            raise UserError(
                f'The student {type(self.student).__name__} does not define '
                'the depth of its layers (get_layer_depth), which '
                'layer-wise learning rates need; leave '
                'optim_wrapper.constructor out.'
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
        # how MMEngine sets the device of preprocessors
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
        """Return losses for ``mode='loss'``, else the student's output."""
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
        """Return the losses of the student and of the distillers."""
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
            teacher = self.teachers[name]
            # the taps of a neck record the maps that extract_feat returns
            with teacher.running.once():
                with ExitStack() as stack:
                    seen |= self._listen(name, stack)
                    feats[name] = teacher.extract_feat(teacher_inputs[name])
                    run_transformer(
                        teacher.model,
                        feats[name],
                        data_samples,
                        *self._points_in(name),
                    )
                seen |= {
                    who: teacher.plain(dict(seen[who]))
                    for who in seen
                    if self.listens_to[who] == name
                }
        for name, distiller in self.distill.items():
            who = self.listens_to[name]
            knowledge = distiller.read(
                records[name], seen.get(name, {}), feats.get(who), data_samples
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
        """Free what is needed only at the start of a run."""
        if self.inheritance.unstitched:
            raise UserError(
                'student.stitch=True, but no hook has fitted the layers; add '
                "dict(type='kd_det.StitchHook') to custom_hooks."
            )
        teacher = self.inheritance.teacher
        teacher.kept.clear()
        self.inheritance = None
        if not any(self.teachers[n] is teacher for n in self.heard):
            teacher.release()

    def learner(self, peer: None = None) -> tuple[nn.Module, dict]:
        """Return the student and the distillation losses by key.

        Args:
            peer: Unused; as in ``MutualModel``.
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
        """Open the taps that its distillers have in a teacher."""
        # created anew: a stored tap would be copied with the pair and hook
        # copies of the teacher's layers
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
    """Return whether any parameter of a network is trainable."""
    return torch.is_grad_enabled() and any(
        weight.requires_grad for weight in network.parameters()
    )


def teacher_specs(teacher: dict) -> dict[str, dict]:
    """Return name -> config of each teacher; a single one is ``teacher``.

    Args:
        teacher: As for :class:`DistillModel`.
    """
    several = isinstance(teacher, dict) and all(
        isinstance(spec, dict) and {'cfg', 'ckpt', 'type'} & {*spec}
        for spec in teacher.values()
    )
    return dict(teacher) if several and teacher else dict(teacher=teacher)


def _teacher_of(name: str, cfg: dict, teachers: dict) -> tuple[str, dict]:
    """Return the name of a distiller's teacher, and the rest of its config."""
    if not isinstance(cfg, dict):
        return next(iter(teachers)), cfg  # rejected with the others
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
    """Raise a UserError unless the model is a ``DistillModel``."""
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
    """Replace the prefix ``old`` of keys by ``new``, in place."""
    for table in (state_dict, getattr(state_dict, '_metadata', {})):
        for key in [k for k in table if k.startswith(old)]:
            table[new + key[len(old) :]] = table.pop(key)
