"""Hooks that find a classifier in runner.model find the student."""

import pytest
import torch
from image_folders import write_tree
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmpretrain.models import RandomBatchAugment
from parts_toy import both, hook_of, same, same_weights, scores

from kd_det.errors import UserError
from kd_det.preflight.parts import check_parts
from kd_det.testing import save_teacher, tiny_classifier
from kd_det.testing.classifiers import tiny_classifier_pair

NAMES = ('a', 'b', 'c')
MIX = dict(augments=dict(type='Mixup', alpha=0.8))
SMOOTH = dict(type='LabelSmoothLoss', label_smooth_val=0.3, num_classes=3)
FLIPPED = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=(32, 32)),
    dict(type='RandomFlip', prob=1.0),
    dict(type='PackInputs'),
]
KD = dict(type='KDLoss', loss_weight=0.0)


def pair_of(folder, loss=KD, to_onehot=True):
    distiller = dict(type='LogitDistiller', losses=dict(loss_x=loss))
    pair = tiny_classifier_pair(folder, dict(logit=distiller), 3)
    pair.student.data_preprocessor.to_onehot = to_onehot
    pair.student.head.loss = dict(type='CrossEntropyLoss', use_soft=True)
    return pair


class Steps(Hook):
    """Keep what each step has learnt from."""

    def __init__(self):
        self.losses, self.mixed, self.rates = [], [], []

    def before_train(self, runner):
        self.network = getattr(runner.model, 'student', runner.model)
        self.network.register_forward_pre_hook(self.see, with_kwargs=True)

    def see(self, network, args, kwargs):
        if kwargs.get('mode') == 'loss':
            samples = args[1] if args else kwargs['data_samples']
            self.mixed.append(any(s.gt_score.max() < 1 for s in samples))

    def after_train_iter(self, runner, batch_idx, data_batch, outputs):
        self.losses.append(type(self.network.head.loss_module).__name__)
        groups = runner.optim_wrapper.optimizer.param_groups
        self.rates.append({group['lr'] for group in groups})


@pytest.fixture(scope='module')
def images(tmp_path_factory):
    folder = tmp_path_factory.mktemp('images')
    for split in ('train', 'val'):
        write_tree(folder / split, NAMES, 4)
    write_tree(folder / 'train', NAMES[:1], 8)  # 16 in all
    return folder


@pytest.fixture
def run(images):
    """Make the config of a run of three epochs of four steps."""

    def make(model, work_dir, hooks=(), **changes):
        loaders = {
            split: dict(
                batch_size=4,
                num_workers=0,
                sampler=dict(type='DefaultSampler', shuffle=split == 'train'),
                dataset=dict(
                    type='CustomDataset',
                    data_root=str(images / split),
                    pipeline=[
                        dict(type='LoadImageFromFile'),
                        dict(type='Resize', scale=(32, 32)),
                        dict(type='PackInputs'),
                    ],
                ),
            )
            for split in ('train', 'val')
        }
        cfg = dict(
            default_scope='mmpretrain',
            model=model,
            work_dir=str(work_dir),
            train_dataloader=loaders['train'],
            val_dataloader=loaders['val'],
            val_evaluator=dict(type='Accuracy', topk=1),
            train_cfg=dict(by_epoch=True, max_epochs=3),
            val_cfg=dict(),
            optim_wrapper=dict(
                optimizer=dict(type='SGD', lr=0.1, momentum=0.9)
            ),
            custom_hooks=list(hooks),
            randomness=dict(seed=0),
            log_level='WARNING',
        )
        return Config(dict(cfg, **changes))

    return make


def test_every_hook_at_once(run, tmp_path):
    """Mixed images, another loss, exact statistics: as without a teacher."""
    recipe = [
        dict(action_epoch=2, batch_augments=MIX, loss=SMOOTH),
        dict(action_epoch=3, batch_augments=None, train_pipeline=FLIPPED),
    ]
    hooks = [
        dict(type='SwitchRecipeHook', schedule=recipe),
        dict(type='PreciseBNHook', num_samples=8, priority='ABOVE_NORMAL'),
        dict(
            type='mmpretrain.EMAHook',
            momentum=0.3,
            evaluate_on_origin=True,
        ),
        dict(type='ClassNumCheckHook'),
        dict(type='VisualizationHook', enable=True, interval=1),
        dict(
            type='WarmupParamHook',
            module_name='backbone.layer1.0.bn1',
            param_name='momentum',
            warmup_epochs=2,
        ),
        dict(type='SimSiamHook', fix_pred_lr=True, lr=0.03),
    ]
    changes = dict(
        optim_wrapper=dict(
            optimizer=dict(type='SGD', lr=0.1, momentum=0.9),
            paramwise_cfg=dict(
                custom_keys={'backbone.layer1': dict(fix_lr=True)}
            ),
        ),
        param_scheduler=[dict(type='StepLR', step_size=1, gamma=0.5)],
        visualizer=dict(
            type='UniversalVisualizer',
            name=str(tmp_path),
            vis_backends=[dict(type='LocalVisBackend')],
        ),
    )
    model = pair_of(tmp_path)
    runs = both(
        lambda *args: run(*args, hooks, **changes), model, tmp_path, Steps
    )
    same_weights(*runs)
    assert scores(runs[0]) == scores(runs[1])
    assert any(key.endswith('_origin') for key in scores(runs[1]))
    averages = [hook_of(runner, 'EMAHook').ema_model for runner in runs]
    same(*(average.module.state_dict() for average in averages))
    for runner in runs:
        steps = hook_of(runner, 'Steps')
        # a mixed batch of one class, or of one image, looks plain
        before, then, after = (steps.mixed[i : i + 4] for i in (0, 4, 8))
        assert any(then) and not any(before + after)
        assert steps.losses == (
            ['CrossEntropyLoss'] * 4 + ['LabelSmoothLoss'] * 8
        )
        # the first epoch's rate is set before the first step of it
        assert all(0.03 in rates for rates in steps.rates)
        (flip,) = (
            step
            for step in runner.train_dataloader.dataset.pipeline.transforms
            if type(step).__name__ == 'RandomFlip'
        )
        assert flip.prob == 1.0
        assert [*tmp_path.glob('*/*/vis_data/vis_image/*.png')]
    pair = runs[1].model
    assert pair.student.data_preprocessor.batch_augments is None
    assert pair.student.backbone.layer1[0].bn1.momentum == 0.1
    assert 'batch_augments' not in vars(pair.data_preprocessor)


def test_mixing_that_another_preprocessing_forbids(run, tmp_path):
    """Before the run, not at the epoch where it would begin."""
    model = pair_of(tmp_path)
    model.teacher['data_preprocessor']['mean'] = [0.0] * 3
    recipe = [dict(action_epoch=3, batch_augments=MIX)]
    hooks = [dict(type='SwitchRecipeHook', schedule=recipe)]
    cfg = run(model, tmp_path / 'run', hooks)
    cfg.experiment_name = tmp_path.name
    runner = Runner.from_cfg(cfg)
    with pytest.raises(UserError, match='SwitchRecipeHook from epoch 3 on'):
        check_parts(runner)
    # and where nobody has looked, at the step
    runner.model.data_preprocessor.batch_augments = RandomBatchAugment(**MIX)
    with pytest.raises(UserError, match='would get different images'):
        runner.train()


@pytest.mark.parametrize(
    ('loss', 'to_onehot', 'message'),
    [
        (
            dict(type='DKDLoss'),
            True,
            'logit: loss_x needs one class per sample.* from epoch 3 on mixes',
        ),
        (KD, False, r'from epoch 3 on mixes images.*\(to_onehot=True\)'),
    ],
)
def test_mixing_that_would_not_happen(run, tmp_path, loss, to_onehot, message):
    """Told before the run: a loss stops it, or MMPretrain mixes nothing."""
    model = pair_of(tmp_path, loss, to_onehot)
    recipe = [dict(action_epoch=3, batch_augments=MIX)]
    hooks = [dict(type='SwitchRecipeHook', schedule=recipe)]
    cfg = run(model, tmp_path / 'run', hooks)
    cfg.experiment_name = tmp_path.name
    with pytest.raises(UserError, match=message):
        check_parts(Runner.from_cfg(cfg))


def test_margins_by_class(run, tmp_path):
    """The head of the student gets the margins that its data ask for."""
    student = tiny_classifier(18, 3)
    student['head'].update(type='ArcFaceClsHead')
    model = dict(
        _scope_='kd_det',
        type='DistillModel',
        teacher=save_teacher(tiny_classifier(50, 3), tmp_path / 'teacher.pth'),
        student=student,
        distillers=dict(
            maps=dict(
                type='FeatureDistiller',
                taps=dict(
                    student=['backbone.layer2'], teacher=['backbone.layer2']
                ),
                losses=dict(
                    loss_at=dict(type='AttentionTransferLoss', loss_weight=0.0)
                ),
            )
        ),
    )
    hooks = [dict(type='SetAdaptiveMarginsHook', margin_max=0.5)]
    runs = both(lambda *args: run(*args, hooks), model, tmp_path)
    margins = [
        runs[0].model.head.margins,
        runs[1].model.student.head.margins,
    ]
    assert torch.equal(*margins)
