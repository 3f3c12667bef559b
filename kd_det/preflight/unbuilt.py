"""All checks of a training's config before anything is built."""

from mmengine.config import Config

from kd_det.datasets.run_data import RunData
from kd_det.preflight.data import check_data
from kd_det.preflight.data_report import DataReport
from kd_det.preflight.loops import check_loops
from kd_det.preflight.score_names import check_scores
from kd_det.preflight.unread_keys import check_unread


def check_unbuilt(cfg: Config) -> tuple[RunData, list[DataReport]]:
    """Raise if a config cannot train, or its data do not fit.

    Args:
        cfg: The run's config.

    Returns:
        Its data, and a report for each annotation file.

    Raises:
        FileNotFoundError: Data are missing.
        UserError: Something does not fit.
    """
    check_loops(cfg, 'train')
    check_unread(cfg)
    check_scores(cfg)
    splits = ('train', 'val') if cfg.get('val_cfg') else ('train',)
    data = RunData(cfg)
    return data, check_data(data, splits)
