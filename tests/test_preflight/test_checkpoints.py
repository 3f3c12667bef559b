"""A checkpoint of another run stops before training, test and export."""

import pytest
import torch
from tiny import CLASSES, pair_cfg, run_cfg, tiny_spec

from kd_det.api import launch
from kd_det.api.export import export_student
from kd_det.checkpoint import load_checkpoint
from kd_det.errors import UserError
from kd_det.models.spec import read_spec
from kd_det.testing import save_teacher

OTHER = (CLASSES[1], CLASSES[0], *CLASSES[2:])


@pytest.fixture(scope='module')
def trained(shapes, tmp_path_factory):
    """Config and last checkpoint of a run of the small student alone."""
    folder = tmp_path_factory.mktemp('trained')
    model = read_spec(tiny_spec(), 'student')[0]
    run_cfg(model, shapes, folder / 'run').dump(folder / 'run.py')
    launch.train(launch.prepare(str(folder / 'run.py')), seed=0)
    return folder, str(folder / 'run/epoch_1.pth')


def config(shapes, folder, model):
    run_cfg(model, shapes, folder / 'run').dump(folder / 'run.py')
    return launch.prepare(str(folder / 'run.py'))


def test_another_order_of_classes(trained, tmp_path):
    folder, _ = trained
    path = save_teacher(tiny_spec(), tmp_path / 'other.pth', OTHER)['ckpt']
    cfg = launch.prepare(str(folder / 'run.py'))
    message = r'trained on the classes \(square, circle, .*classes=\('
    with pytest.raises(UserError, match=message):
        launch.tester(cfg, path)
    with pytest.raises(UserError, match=message):
        export_student(cfg, path, str(tmp_path / 'out'))
    assert not (tmp_path / 'out').exists()


def test_resume_of_another_order(trained, tmp_path):
    folder, path = trained
    state = torch.load(path, weights_only=False)
    state['meta']['dataset_meta']['classes'] = OTHER
    torch.save(state, tmp_path / 'other.pth')
    cfg = launch.prepare(str(folder / 'run.py'))
    with pytest.raises(UserError, match='trained on the classes'):
        launch.train(cfg, resume=str(tmp_path / 'other.pth'))


@pytest.mark.parametrize(
    'changes',
    [
        dict(state_dict=5),
        dict(optimizer='x'),
        dict(meta='epoch iter'),
        dict(meta=dict(epoch='1', iter=6)),
    ],
    ids=str,
)
def test_resume_of_a_damaged_file(trained, tmp_path, changes):
    folder, path = trained
    state = torch.load(path, weights_only=False)
    torch.save({**state, **changes}, tmp_path / 'other.pth')
    cfg = launch.prepare(str(folder / 'run.py'))
    with pytest.raises(UserError, match='training cannot resume from it'):
        launch.train(cfg, resume=str(tmp_path / 'other.pth'))


def test_resume_of_another_network(trained, shapes, tmp_path):
    _, path = trained
    wider = read_spec(tiny_spec(base_channels=16), 'student')[0]
    with pytest.raises(
        UserError, match='not a checkpoint of this run.*differ'
    ):
        launch.train(config(shapes, tmp_path, wider), resume=path)


def test_resume_of_a_pair_with_a_connector(trained, teacher, shapes, tmp_path):
    _, path = trained
    model = pair_cfg(teacher, dict(loss_norm=dict(type='NormLoss')))
    model.distillers.roi.connectors = dict(
        student_embed=dict(type='LinearAdaptor')
    )
    with pytest.raises(UserError, match='keys missing .distill.roi.connec'):
        launch.train(config(shapes, tmp_path, model), resume=path)


def test_the_right_one_resumes(trained):
    folder, path = trained
    cfg = launch.prepare(str(folder / 'run.py'))
    cfg.train_cfg.max_epochs = 2
    launch.train(cfg, resume=path, seed=0)
    assert (folder / 'run/epoch_2.pth').exists()


def test_a_config_that_resumes(trained, shapes, tmp_path):
    folder, path = trained
    cfg = launch.prepare(str(folder / 'run.py'))
    cfg.resume = path
    with pytest.raises(UserError, match='write resume=True and load_from='):
        launch.train(cfg)
    cfg.resume = 'auto'
    with pytest.raises(UserError, match='write resume=True, or pass'):
        launch.train(cfg)
    other = config(shapes, tmp_path, read_spec(tiny_spec(50), 'student')[0])
    other.merge_from_dict(dict(resume=True, load_from=path))
    with pytest.raises(UserError, match='is not a checkpoint of this run'):
        launch.train(other)


def test_weights_of_another_layout(trained, tmp_path):
    folder, path = trained
    cfg = launch.prepare(str(folder / 'run.py'), str(tmp_path / 'work'))
    state = load_checkpoint(path)['state_dict']
    cfg.load_from = str(tmp_path / 'other.pth')
    other = {f'student.{k}': v for k, v in state.items()}
    # not of this layout, but as in many networks
    other['backbone.bn1.num_batches_tracked'] = torch.tensor(6)
    torch.save(other, cfg.load_from)
    with pytest.raises(UserError, match="none of .*like 'student.backbone"):
        launch.train(cfg)
