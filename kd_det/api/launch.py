"""Implementation of the commands for training and testing."""

import argparse
import os
import os.path as osp
from datetime import timedelta
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.dist import infer_launcher, init_dist
from mmengine.registry import init_default_scope
from mmengine.runner import Runner

from kd_det.checkpoint import load_checkpoint, use_safe_loading
from kd_det.config import load_config, set_seed, specs_that_train
from kd_det.datasets.run_data import RunData
from kd_det.engine.class_pictures import ClassPictures, check_visualizer
from kd_det.engine.cleanup import FirstStep, nothing_left
from kd_det.engine.hooks.gradient_share_hook import check_auto_weights
from kd_det.engine.hooks.run_record_hook import RunRecordHook
from kd_det.engine.hooks.step_time_hook import StepTimeHook
from kd_det.engine.resumed_validation import ResumedValidation
from kd_det.errors import UserError
from kd_det.models import DistillModel, EmbeddingModel
from kd_det.models.distill_model import teacher_specs
from kd_det.models.loading import load_exactly
from kd_det.models.spec import read_spec
from kd_det.models.unwrap import unwrap
from kd_det.precompute.answer_cache import use_views
from kd_det.precompute.autoencoder import require_auto_encoders
from kd_det.preflight.built import LoopCheck, check_built
from kd_det.preflight.checkpoints import (
    asked_to_resume,
    check_resumed_keys,
    check_same_classes,
    resumable,
)
from kd_det.preflight.data import check_data
from kd_det.preflight.data_report import DataReport
from kd_det.preflight.loops import check_loops
from kd_det.preflight.summary import summary
from kd_det.preflight.unbuilt import check_unbuilt


def prepare_from(args: argparse.Namespace) -> Config:
    """Call :func:`prepare` with the arguments of a command.

    Args:
        args: Arguments of ``kd_det.cli.arguments``, optionally with
            ``teacher``.
    """
    return prepare(
        args.config,
        args.work_dir,
        args.cfg_options,
        getattr(args, 'teacher', None),
        args.launcher or infer_launcher(),
        args.trust_pickle,
    )


def prepare(
    config: str | Config,
    work_dir: str | None = None,
    options: dict | None = None,
    teacher: str | None = None,
    launcher: str = 'none',
    trust_pickle: bool = False,
) -> Config:
    """Read a config and set up the process for it.

    Args:
        config: Config file, ``kd_det::NAME``, or a config object, which is not
            modified.
        work_dir: Output folder; default: ``work_dirs/<config name>``.
        options: Dotted overrides, e.g. ``{'data_root': 'data/coco'}``.
        teacher: Checkpoint that replaces the config's teacher checkpoint.
        launcher: Job launcher: ``'none'``, ``'pytorch'``, ``'slurm'``,
            ``'mpi'``.
        trust_pickle: Whether checkpoints of this run may execute code.

    Returns:
        The config.

    Raises:
        FileNotFoundError: The config or teacher checkpoint does not exist.
        UserError: ``teacher`` is given for a config without one.
    """
    cfg = load_config(config, options)
    init_default_scope(cfg.get('default_scope', 'mmdet'))
    use_safe_loading(trust_pickle)
    cfg.launcher = launcher
    # for the run record; a dumped config contains earlier options
    cfg.cfg_options = dict(cfg.get('cfg_options') or {}, **(options or {}))
    source = cfg.filename or 'run'
    name = Path(source).stem
    cfg.work_dir = work_dir or cfg.get('work_dir') or f'work_dirs/{name}'
    pair = 'teacher' in cfg.model
    own = 'student' in cfg.model  # mmrazor's pairs have a teacher too
    if own and cfg.get('train_dataloader') and 'classes' not in cfg.model:
        cfg.model.classes = RunData(cfg).train.classes
    if own:
        use_views(cfg)
    if teacher and not pair:
        raise UserError(
            f'--teacher {teacher!r}: config {source!r} has no teacher; '
            "use a config whose model is a kd_det 'DistillModel'."
        )
    specs = teacher_specs(cfg.model.teacher) if pair else {}
    if teacher and len(specs) > 1:
        raise UserError(
            f'--teacher {teacher!r}: the config has the teachers '
            f'{", ".join(specs)}; choose one: --cfg-options '
            f'model.teacher.{next(iter(specs))}.ckpt=FILE.'
        )
    for spec in specs.values():
        if teacher:
            spec.ckpt = teacher
        if trust_pickle:
            spec.trust_pickle = True
    if launcher != 'none':
        _join_ranks(cfg)
    return cfg


def _join_ranks(cfg: Config) -> None:
    if cfg.launcher == 'pytorch' and 'RANK' not in os.environ:
        raise UserError(
            '--launcher pytorch: this process is not a rank of a job; start '
            'the command with `torchrun --nproc-per-node=GPUS -m kd_det '
            'COMMAND …`.'
        )
    if 'peers' in cfg.model:
        wrapper = dict(type='kd_det.MutualDataParallel', device_ids=None)
        cfg.setdefault('model_wrapper_cfg', wrapper)
    dist_cfg = cfg.get('env_cfg', {}).get('dist_cfg', {})
    timeout = _timeout_of(dist_cfg)
    if torch.cuda.is_available():
        init_dist(cfg.launcher, **dist_cfg)
        return
    # MMEngine's initialisation and wrapping require a GPU on every rank
    if not torch.distributed.is_initialized():
        torch.distributed.init_process_group('gloo', timeout=timeout)
    cfg.setdefault(
        'model_wrapper_cfg',
        dict(
            type='MMDistributedDataParallel',
            device_ids=None,
            broadcast_buffers=False,
            find_unused_parameters=cfg.get('find_unused_parameters', False),
        ),
    )


def _timeout_of(dist_cfg: dict) -> timedelta | None:
    """Return how long a rank waits for the others; None: torch's default."""
    seconds = dist_cfg.get('timeout')
    if seconds is None:
        return None
    if type(seconds) not in (int, float) or seconds <= 0:
        raise UserError(
            f'env_cfg.dist_cfg.timeout={seconds!r}; a positive number of '
            'seconds is accepted.'
        )
    return timedelta(seconds=seconds)


def train(
    cfg: Config,
    amp: bool = False,
    resume: str | None = None,
    auto_scale_lr: bool = False,
    seed: int | None = None,
) -> Runner:
    """Train a config, after the checks that need no model.

    Args:
        cfg: Config from :func:`prepare`.
        amp: Whether to use mixed precision; requires an accelerator.
        resume: ``'auto'`` for the last checkpoint in the work directory, or a
            file.
        auto_scale_lr: Whether to scale the learning rate to the batch size.
        seed: Random seed; default: a new one.

    Returns:
        The runner, after its last step.

    Raises:
        UserError: An option does not match the machine or the config, or the
            work directory is not a folder.
        FileNotFoundError: Data or a checkpoint is missing.
    """
    data, reports = check_unbuilt(cfg)
    if amp:
        if not torch.cuda.is_available():
            raise UserError(
                '--amp requires an accelerator, but torch finds none; leave '
                '--amp away.'
            )
        cfg.optim_wrapper.type = 'AmpOptimWrapper'
        cfg.optim_wrapper.setdefault('loss_scale', 'dynamic')
    if auto_scale_lr:
        if not cfg.get('auto_scale_lr', {}).get('base_batch_size'):
            raise UserError(
                '--auto-scale-lr: the config has no '
                'auto_scale_lr.base_batch_size, the batch size that its '
                'learning rate was chosen for; add it.'
            )
        cfg.auto_scale_lr.enable = True
    if seed is not None:
        set_seed(cfg, seed)
    resume = resume or asked_to_resume(cfg)
    if resume:
        cfg.resume = True
        cfg.load_from = None if resume == 'auto' else resume
        path = resumable(cfg, resume, data)
    step = FirstStep()
    with nothing_left(cfg, step):
        runner = Runner.from_cfg(cfg)
        runner.run_data = data
        for report in reports:
            report.log(runner.logger)
        runner.register_hook(step)
        runner.register_hook(LoopCheck())
        for kind in (StepTimeHook, RunRecordHook):
            if not any(isinstance(hook, kind) for hook in runner.hooks):
                runner.register_hook(kind())
        if resume and path:
            check_resumed_keys(runner, path)
            runner.register_hook(ResumedValidation())
        check_built(runner)
        require_auto_encoders(runner)
        check_auto_weights(runner)
        record_connectors(runner)
        summarise(runner, reports)
        runner.train()
    return runner


def summarise(runner: Runner, reports: list[DataReport]) -> None:
    """Log what a pair distils, before its first step."""
    model = unwrap(runner.model)
    if isinstance(model, DistillModel):
        lines = '\n  '.join(['This run:', *summary(model, reports)])
        runner.logger.info(lines)


def record_connectors(runner: Runner) -> None:
    """Write the built connectors into the dumped config.

    The config in the work directory then contains the detected channels and
    automatically added connectors: running it again builds the same
    connectors, or stops if a network has changed.

    Args:
        runner: Runner before training; ignored if it does not train a pair.
    """
    model = unwrap(runner.model)
    if not isinstance(model, DistillModel):
        return
    for name, distiller in model.distill.items():
        if distiller.connectors.cfgs:
            own = runner.cfg.model.distillers[name]
            own.connectors = dict(distiller.connectors.cfgs)
    runner.dump_config()


def student_of(cfg: Config) -> Config:
    """Return the student's config, ready for testing."""
    cfg = cfg.copy()
    learners = specs_that_train(cfg.model)
    if learners:  # the first peer, whose keys a checkpoint has
        cfg.model = read_spec(learners[0], 'student')[0]
        # hooks of the pair do not apply
        cfg.custom_hooks = []
    return cfg


def tester(
    cfg: Config,
    checkpoint: str,
    out: str | None = None,
    show_dir: str | None = None,
    trust_pickle: bool = False,
    keys: str | None = None,
) -> Runner:
    """Return a runner that evaluates a student or a plain network.

    Args:
        cfg: Config from :func:`prepare`.
        checkpoint: Training checkpoint, or one written by ``kd_det export``.
        out: Prefix of the prediction file, ``<out>.bbox.json``, or
            ``<out>.pkl`` for a classifier.
        show_dir: Folder for images with predicted boxes or classes.
        trust_pickle: Whether to execute the pickle in the checkpoint.
        keys: Name of a key mapping, for a checkpoint of another code base.

    Returns:
        A runner with the test data and the loaded weights; call ``test()``.
    """
    check_loops(cfg, 'test')
    data = RunData(cfg)
    reports = check_data(data, ('test',))
    cfg = student_of(cfg)
    cfg.load_from, cfg.resume = None, False
    if out:
        evaluators = cfg.test_evaluator
        if not isinstance(evaluators, list):
            evaluators = [evaluators]
        coco = [e for e in evaluators if 'Coco' in str(e.type)]
        for evaluator in coco:
            evaluator.outfile_prefix = out
        if not coco:
            dump = dict(type='DumpResults', out_file_path=f'{out}.pkl')
            cfg.test_evaluator = [*evaluators, dump]
    of_classes = cfg.get('default_scope') == 'mmpretrain'
    if show_dir and not of_classes:
        hook = dict(
            type='DetVisualizationHook',
            draw=True,
            test_out_dir=osp.abspath(show_dir),
        )
        cfg.merge_from_dict(dict(default_hooks=dict(visualization=hook)))
    state = load_checkpoint(checkpoint, trust=trust_pickle)
    with nothing_left(cfg):
        runner = Runner.from_cfg(cfg)
        runner.run_data = data
        for report in reports:
            report.log(runner.logger)
        model = unwrap(runner.model)
        # an embedding has no classes and can be tested on any data set
        if not isinstance(getattr(model, 'student', model), EmbeddingModel):
            check_same_classes(data.test, state, checkpoint)
        load_exactly(model, state, checkpoint, 'student', keys)
    if show_dir and of_classes:
        check_visualizer(runner)
        runner.register_hook(ClassPictures(osp.abspath(show_dir)))
    if out:
        os.makedirs(osp.dirname(osp.abspath(out)), exist_ok=True)
    return runner
