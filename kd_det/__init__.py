"""Knowledge distillation for MMDetection and MMPretrain models."""

from kd_det.compat import mmcv_finder

__version__ = '0.1.0'
__all__ = ['Run', 'distill', 'evaluate', 'export', 'train']

mmcv_finder.install()


def __getattr__(name: str):
    """Import the functions that need torch on first use."""
    if name not in __all__:
        raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
    from kd_det.api import run

    return getattr(run, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
