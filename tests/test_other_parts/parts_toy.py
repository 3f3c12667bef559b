"""The same run twice: of a student alone, and of a pair at weight 0."""

import copy
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.runner import Runner
from mmengine.runner.checkpoint import get_state_dict

from kd_det.models.spec import read_spec
from kd_det.preflight.parts import check_parts


def both(run, pair: dict, folder: Path, *hooks) -> tuple[Runner, Runner]:
    """Train a pair's student without and with its teacher.

    Args:
        run: Makes the config of a run, of a model and a work dir.
        pair: Config of a ``DistillModel`` whose losses have weight 0.
        folder: For the work dirs.
        hooks: Classes of hooks to add.

    Returns:
        The runners; what a part of another package does to the student, it
        has done in both.
    """
    student, _ = read_spec(copy.deepcopy(pair['student']), 'student')
    runners = []
    for name, model in (('alone', student), ('pair', pair)):
        cfg: Config = run(model, folder / name)
        cfg.experiment_name = f'{folder.name}_{name}'
        runner = Runner.from_cfg(cfg)
        check_parts(runner)
        for hook in hooks:
            runner.register_hook(hook())
        runner.train()
        runners.append(runner)
    return tuple(runners)


def same(alone: dict, pair: dict) -> None:
    """Compare the states of two models bit by bit."""
    pair = {k: v for k, v in pair.items() if 'distill.' not in k}
    assert {*pair} == {*alone}
    for key, value in alone.items():
        assert torch.equal(value, pair[key]), key


def same_weights(alone: Runner, pair: Runner) -> None:
    """Compare the students at the ends of two runs."""
    assert pair.iter == alone.iter > 0
    same(get_state_dict(alone.model), get_state_dict(pair.model))


def hook_of(runner: Runner, name: str):
    """Return the hook of a class."""
    (hook,) = (h for h in runner.hooks if type(h).__name__ == name)
    return hook


def scores(runner: Runner) -> dict[str, list[float]]:
    """Return all that validation logged."""
    scalars = runner.message_hub.log_scalars
    return {
        key: list(value.data[0])
        for key, value in scalars.items()
        if key.startswith('val/') and 'time' not in key
    }
