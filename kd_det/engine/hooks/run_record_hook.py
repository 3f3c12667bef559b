"""RunRecordHook: record a run's settings and results in one file."""

import json
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from mmengine.dist import collect_results, is_main_process
from mmengine.hooks import Hook

from kd_det.datasets.run_data import RunData
from kd_det.engine import run_facts
from kd_det.engine.hooks import step_time_hook
from kd_det.engine.run_record import FILE
from kd_det.evaluation.coco_ap import coco_scores
from kd_det.evaluation.predictions import FILE as PREDICTIONS
from kd_det.evaluation.predictions import (
    BoxPredictions,
    ClassPredictions,
    Predictions,
)
from kd_det.files import atomic_write
from kd_det.registry import HOOKS

NOT_KEPT = ('lr', 'time', 'memory')  # logged quantities that are left out


@HOOKS.register_module()
class RunRecordHook(Hook):
    """Write ``run.json`` and ``predictions.npz`` at the end of training.

    ``run.json`` holds the config's name, options, seed, commit, versions,
    data, initial weights, time, ``StepTimeHook``'s measurements, the mean of
    each logged quantity over the last epoch, and the scores of the last
    validation, for detectors also by class. ``predictions.npz`` holds that
    validation's predictions and ground truth. ``kd_det compare`` and
    ``kd_det report`` read both. ``kd_det train`` adds this hook automatically.

    Example:
        >>> custom_hooks = [dict(type='kd_det.RunRecordHook')]
    """

    priority = 'LOWEST'  # the time includes that spent in other hooks

    def __init__(self) -> None:
        self._before = dict(minutes=0.0, processor_minutes=0.0)
        self._samples: list[tuple] = []
        self._validation: dict = {}
        self._predictions: Predictions | None = None

    def after_load_checkpoint(self, runner, checkpoint: dict) -> None:
        """Keep the time so far; only a resume uses it."""
        self._stored = checkpoint.get('run_time')

    def before_train(self, runner) -> None:
        """Start the clocks; record facts that may change during the run."""
        stored = getattr(self, '_stored', None)
        if runner.iter > 0 and stored:
            self._before = stored
        self._began = self._clocks()
        if is_main_process():
            self._facts = dict(
                commit=run_facts.commit(),
                versions=run_facts.versions(),
                machine=run_facts.machine(),
                initial_weights=run_facts.initial_weights(runner.cfg),
            )

    def before_save_checkpoint(self, runner, checkpoint: dict) -> None:
        """Store the time of the run so far."""
        checkpoint['run_time'] = self._time()

    def before_val_epoch(self, runner) -> None:
        """Discard the previous validation."""
        self._samples = []

    def after_val_iter(
        self,
        runner,
        batch_idx: int,
        data_batch: dict | None = None,
        outputs: Sequence | None = None,
    ) -> None:
        """Keep the predictions."""
        self._samples += [sample_of(output) for output in outputs or ()]

    def after_val_epoch(self, runner, metrics: dict | None = None) -> None:
        """Gather the predictions and ground truth of all ranks."""
        loop = runner.val_loop
        size = len(loop.dataloader.dataset)
        samples = collect_results(self._samples, size, 'cpu')
        self._samples = []
        if not is_main_process():
            return
        self._predictions = _predictions(loop, samples)
        self._validation = dict(
            validated_epoch=runner.epoch,
            logged={
                key: float(value)
                for key, value in (metrics or {}).items()
                if np.isscalar(value) and not isinstance(value, str)
            },
        )

    def after_train(self, runner) -> None:
        """Write both files."""
        folder = Path(runner.work_dir)
        if not is_main_process():
            return
        if runner.val_loop is not None and not self._validation:
            return  # a finished run was resumed: its files exist
        if self._predictions is not None:
            self._predictions.save(folder / PREDICTIONS)
        text = json.dumps(self._record(runner), indent=2)
        with atomic_write(folder / FILE) as file:
            file.write(f'{text}\n'.encode())

    def _record(self, runner) -> dict:
        cfg = runner.cfg
        found = RunData.of(runner)
        data = dict(train=(found.train, runner.train_dataloader))
        if runner.val_loop is not None:
            data['val'] = (found.val, runner.val_loop.dataloader)
        scores, times = {}, {}
        if step_time_hook.RECORD in runner.message_hub.runtime_info:
            times[step_time_hook.RECORD] = runner.message_hub.get_info(
                step_time_hook.RECORD
            )
        if isinstance(self._predictions, BoxPredictions):
            metrics, by_class = coco_scores(self._predictions)
            scores = dict(metrics=metrics, class_ap=by_class)
        elif isinstance(self._predictions, ClassPredictions):
            hit = self._predictions.labels == self._predictions.true_labels
            scores = dict(metrics=dict(accuracy=float(hit.mean())))
        return dict(
            config=Path(cfg.filename or 'config').stem,
            options=dict(cfg.get('cfg_options') or {}),
            seed=runner.seed,
            **self._facts,
            data={
                name: run_facts.data_facts(split, built.dataset)
                for name, (split, built) in data.items()
            },
            epochs=runner.epoch,
            iterations=runner.iter,
            **self._time(),
            trained=_last_epoch(runner),
            **times,
            **self._validation,
            **scores,
        )

    def _clocks(self) -> dict[str, float]:
        return dict(
            minutes=time.monotonic() / 60,
            processor_minutes=run_facts.processor_seconds() / 60,
        )

    def _time(self) -> dict[str, float]:
        return {
            key: round(self._before[key] + now - self._began[key], 2)
            for key, now in self._clocks().items()
        }


def _last_epoch(runner) -> dict[str, float]:
    """Return the mean of each logged quantity over the last epoch."""
    share = min(1.0, len(runner.train_dataloader) / max(runner.iter, 1))
    values = {}
    for name, buffer in runner.message_hub.log_scalars.items():
        stage, _, name = name.partition('/')
        if stage == 'train' and not name.endswith(NOT_KEPT):
            # quantities logged every few steps have a shorter history
            logged = len(buffer.data[0])
            values[name] = float(buffer.mean(max(1, round(logged * share))))
    return values


def sample_of(output) -> tuple:
    """Return an image's predicted boxes or classes, or an empty tuple."""
    boxes = getattr(output, 'pred_instances', None)
    if boxes is not None and 'bboxes' in boxes and 'img_id' in output:
        parts = (boxes.bboxes, boxes.scores, boxes.labels)
        return (output.img_id, *(part.cpu().numpy() for part in parts))
    label, true = (
        getattr(output, name, None) for name in ('pred_label', 'gt_label')
    )
    if label is None or true is None or len(label) != 1 or len(true) != 1:
        return ()
    return int(label), int(true)


def _predictions(loop, samples: list[tuple]) -> Predictions | None:
    lengths = {len(sample) for sample in samples}
    coco = [
        metric
        for metric in loop.evaluator.metrics
        if getattr(metric, '_coco_api', None) is not None
    ]
    if lengths == {4} and coco:
        images = {*coco[0]._coco_api.imgs}
        shown = {sample[0] for sample in samples}
        if not shown <= images or len(shown) < len(samples):
            return None  # of several data sets, whose ids may be equal
        return boxes_of(coco[0], samples)
    meta = loop.evaluator.dataset_meta or {}
    classes = meta.get('classes') if isinstance(meta, dict) else None
    if lengths == {2} and classes:
        labels, true = np.array(samples).T
        return ClassPredictions(np.array(classes, dtype=str), labels, true)
    return None


def boxes_of(metric, samples: list[tuple]) -> BoxPredictions:
    """Return the boxes and the ground truth of mmdet's metric."""
    coco, categories = metric._coco_api, list(metric.cat_ids)
    ids = np.unique(metric.img_ids)
    place = {image: index for index, image in enumerate(ids.tolist())}
    label = {category: index for index, category in enumerate(categories)}
    true = [
        annotation
        for annotation in coco.dataset.get('annotations', [])
        if annotation['image_id'] in place
        and annotation['category_id'] in label
    ]
    images = [np.full(len(s[2]), place[s[0]]) for s in samples]
    return BoxPredictions(
        classes=np.array([coco.cats[c]['name'] for c in categories]),
        image_ids=ids,
        images=np.concatenate(images).astype(np.int32),
        labels=np.concatenate([s[3] for s in samples]).astype(np.int16),
        scores=np.concatenate([s[2] for s in samples]).astype(np.float32),
        boxes=np.concatenate([s[1] for s in samples])
        .reshape(-1, 4)
        .astype(np.float32),
        true_images=np.array([place[a['image_id']] for a in true], np.int32),
        true_labels=np.array(
            [label[a['category_id']] for a in true], np.int16
        ),
        true_boxes=np.array([a['bbox'] for a in true], float).reshape(-1, 4),
        true_areas=np.array([a['area'] for a in true], float),
        crowds=np.array([a.get('iscrowd', 0) for a in true], bool),
    )
