"""Checkpoints stay in their folder, and do not replace each other."""

from types import SimpleNamespace

import pytest
from mmengine.hooks import CheckpointHook, LoggerHook

from kd_det.engine.hooks import SafeCheckpointHook
from kd_det.errors import UserError
from kd_det.preflight.file_names import check_file_names


@pytest.mark.parametrize('kind', [CheckpointHook, SafeCheckpointHook])
@pytest.mark.parametrize(
    ('template', 'right'),
    [
        (None, True),
        ('net_{}.pth', True),
        ('../../{}.pth', False),
        ('/tmp/{}.pth', False),
        ('latest.pth', False),
    ],
)
def test_names_of_checkpoints(kind, template, right):
    hooks = [LoggerHook(), kind(filename_tmpl=template)]
    runner = SimpleNamespace(hooks=hooks)
    if right:
        check_file_names(runner)
        return
    with pytest.raises(UserError, match=f'filename_tmpl={template!r}'):
        check_file_names(runner)
