"""TeacherCheckHook: check the teacher's score before training."""

import copy

import torch
from mmengine.config.utils import (
    _get_cfg_metainfo,
    _get_package_and_cfg_path,
)
from mmengine.dist import get_rank
from mmengine.hooks import Hook
from mmengine.utils import get_installed_path

from kd_det import random_state
from kd_det.datasets.chosen import classes_of
from kd_det.datasets.run_data import RunData, Split
from kd_det.distillers.class_match import ClassMatch, match_classes
from kd_det.engine.teacher_score import Score, check_floor, warning_of
from kd_det.errors import UserError, counted, few
from kd_det.evaluation.some_images import score_only, some_of
from kd_det.models import require_pair
from kd_det.models.unwrap import unwrap
from kd_det.progress import track
from kd_det.registry import HOOKS


@HOOKS.register_module()
class TeacherCheckHook(Hook):
    """Evaluate the teacher on some validation images before training.

    The teacher uses its own test pipeline and preprocessing and, if its image
    sizes differ, also the run's validation pipeline, whose images resemble
    those of training. The scores are logged along with the one in its
    metafile; a score below the floor stops the run, since it indicates wrong
    weights, classes, preprocessing or image size. Different class lists are
    matched by name. Random generators are not affected.

    Args:
        num_images: Validation images to use, evenly spaced over the data set.
        floor: Minimum score, in the metric's unit; None never stops the run.
        metric: End of the score's key among the evaluator's metrics.

    Raises:
        UserError: The class lists have nothing in common, or the score is
            below the floor (scaled down if the teacher knows only some of the
            classes).

    Example:
        >>> custom_hooks = [dict(type='kd_det.TeacherCheckHook', floor=0.1)]
    """

    priority = 'VERY_HIGH'  # before any costly work of other hooks

    def __init__(
        self,
        num_images: int = 100,
        floor: float | None = 0.05,
        metric: str = 'bbox_mAP',
    ) -> None:
        if not isinstance(num_images, int) or num_images < 1:
            raise UserError(
                f'TeacherCheckHook: num_images={num_images!r}; an integer '
                'above 0 is accepted.'
            )
        self.num_images = num_images
        self.floor = floor
        self.metric = metric
        self.scores: dict[str, list[Score]] = {}  # by checkpoint

    def before_train(self, runner) -> None:
        """Check the classes, then the score."""
        model = unwrap(runner.model)
        require_pair(self, model)
        ours = classes_of(runner.train_dataloader.dataset)
        for teacher in model.teachers.values():
            match = match_classes(ours, teacher.classes)
            if match is not None and model.classes != ours:
                raise UserError(
                    'The teacher was trained on classes '
                    f'({few(teacher.classes)}), the run has ({few(ours)}) '
                    f'and model.classes is ({few(model.classes)}); write the '
                    "run's classes as model.classes, so that they are "
                    'matched by name.'
                )
            self._check(runner, teacher, ours, match)

    def _check(
        self, runner, teacher, ours: tuple[str, ...], match: ClassMatch | None
    ) -> None:
        if match is not None:
            runner.logger.info(
                f'Classes of the run and of teacher {teacher.ckpt!r}:\n{match}'
            )
        if runner.iter > 0:
            return  # resumed: already checked
        if not runner.cfg.get('val_dataloader'):
            runner.logger.warning(
                f'Teacher {teacher.ckpt!r} is not evaluated, since the '
                'config has no val_dataloader; its quality is unknown.'
            )
            return
        floor = self.floor
        if match is not None and floor is not None:
            # the score averages over all classes of the run
            floor *= len(match.names) / len(ours)
        sizes = _sizes_to_try(RunData.of(runner).val, teacher)
        with random_state.isolated():
            scores = [
                self._score(runner, teacher, match, own, len(sizes) > 1)
                for own in sizes
            ]
        self.scores[teacher.ckpt] = scores
        claim = claimed_score(teacher.source)
        claim = f'claims {claim}.' if claim else 'claims no score.'
        for score in scores:
            who = f'Teacher {teacher.ckpt!r}'
            runner.logger.info(f'{who}: {score.text}; its metafile {claim}')
        check_floor(scores, floor, _place(runner.cfg))
        warning = warning_of(scores)
        if warning:
            runner.logger.warning(f'Teacher {teacher.ckpt!r} {warning}.')

    def _score(
        self,
        runner,
        teacher,
        match: ClassMatch | None,
        own: bool,
        several: bool,
    ) -> Score:
        """Score the teacher at its own image size, or at that of the run."""
        scores, images, sizes = self._evaluate(runner, teacher, match, own)
        found = {k: v for k, v in scores.items() if k.endswith(self.metric)}
        if not scores:  # MMDetection's answer to no box at all
            found = {self.metric: 0.0}
        if not found:
            raise UserError(
                f'TeacherCheckHook: no metric ends in {self.metric!r}; the '
                f'evaluator returns {", ".join(scores)}.'
            )
        name = min(found, key=found.get)  # the worst of several data sets
        value, name = found[name], name if len(found) > 1 else self.metric
        text = f'{name} {value:.3f} on {images}'
        if several:
            text += sizes if own else f" at the run's size{sizes}"
        return Score(value, text)

    @torch.no_grad()
    def _evaluate(
        self, runner, teacher, match: ClassMatch | None, own: bool
    ) -> tuple[dict[str, float], str, str]:
        val = RunData.of(runner).val
        evaluator = runner.build_evaluator(
            copy.deepcopy(runner.cfg.val_evaluator)
        )
        pipeline = _pipeline_of(val, teacher if own else None)
        change = (lambda _: copy.deepcopy(pipeline)) if own else None
        dataset = val.build(change)
        dataset = some_of(dataset, evaluator, self.num_images)
        score_only(evaluator, dataset)
        loader = runner.build_dataloader(
            dict(val.loader, dataset=dataset), seed=runner.seed
        )
        images = counted(len(dataset), 'validation image')
        sizes = sizes_in(pipeline)
        runner.logger.info(f'Checking the teacher on {images}{sizes}.')
        silent = get_rank() != 0
        for batch in track(loader, 'Teacher check', silent=silent):
            found = teacher.model.test_step(batch)
            if match is not None:
                found = [match.translate(sample) for sample in found]
            evaluator.process(found, batch)
        return evaluator.evaluate(len(dataset)), images, sizes


def _pipeline_of(val: Split, teacher) -> list[dict]:
    """Return a teacher's own test pipeline, or that of the run."""
    own = RunData(teacher.cfg).test if teacher else None
    return (own or val).pipeline


def _sizes_to_try(val: Split, teacher) -> tuple[bool, ...]:
    """Return whether to take its own pipeline, and then that of the run."""
    own, ours = (sizes_in(_pipeline_of(val, who)) for who in (teacher, None))
    return (True,) if own == ours else (True, False)


def _place(cfg) -> str:
    """Return the hook's place in the config."""
    types = [str(hook.get('type')) for hook in cfg.get('custom_hooks', [])]
    here = [i for i, kind in enumerate(types) if 'TeacherCheckHook' in kind]
    return f'custom_hooks.{here[0]}' if here else 'TeacherCheckHook'


def sizes_in(pipeline: list[dict]) -> str:
    """Return a pipeline's image sizes for use in a sentence, or ''."""
    found = [
        f'{step["type"]} {key}={step[key]}'
        for step in pipeline
        for key in ('scale', 'crop_size')
        if key in step
    ]
    return f', with {", ".join(found)}' * bool(found)


def claimed_score(source: str) -> str:
    """Return the score that a package's metafile claims for a config, or ''.

    Args:
        source: Config name such as ``'mmdet::faster_rcnn/x.py'``.
    """
    if '::' not in source or source.startswith('kd_det::'):
        return ''
    package, path = _get_package_and_cfg_path(source)
    try:
        meta = _get_cfg_metainfo(get_installed_path(package), path)
    except ValueError:  # a base config has no metafile
        return ''
    return '; '.join(
        f'{metric} {value} on {result["Dataset"]}'
        for result in meta.get('Results', [])
        for metric, value in result['Metrics'].items()
    )
