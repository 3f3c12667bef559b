"""Keep the images that an annotation file names inside the data set."""

import os.path as osp
from collections.abc import Iterable

from kd_det.errors import UserError, counted
from kd_det.preflight.data_report import DataReport


def check_names(
    names: Iterable[str],
    folder: str,
    root: str,
    path: str,
    report: DataReport,
) -> None:
    """Raise if a relative name leads out of the data set's folders.

    Absolute names are accepted, since some data sets have them; those of
    images elsewhere are a warning.

    Args:
        names: Names of images in the folder.
        folder: Folder that they are relative to; without one, nothing is
            checked.
        root: The data set's ``data_root``, if it has one.
        path: The annotation file, for messages.
        report: Receives the warning.

    Raises:
        UserError: A name climbs out of both folders.
    """
    if not folder:
        return
    inside = tuple(
        osp.join(osp.abspath(part), '') for part in {folder, root or folder}
    )
    elsewhere = []
    for name in names:
        absolute = osp.isabs(name)
        if not absolute and '..' not in name:
            continue
        if osp.abspath(osp.join(folder, name)).startswith(inside):
            continue
        if absolute:
            elsewhere.append(name)
            continue
        raise UserError(
            f'{path!r} names the image {name!r}, which leads out of '
            f'{root or folder!r}; name images by '
            'their path below it, or set data_root to a folder that contains '
            'all of them.'
        )
    if elsewhere:
        report.warnings.append(
            f'{counted(len(elsewhere), "image has", "images have")} an '
            f'absolute path outside {root or folder!r}, the first '
            f'{elsewhere[0]!r}; make sure that this is the copy you mean.'
        )
