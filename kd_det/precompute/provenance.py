"""Provenance of computed files: packages."""

from importlib.metadata import PackageNotFoundError, version

PACKAGES = (
    'torch',
    'onedl-mmengine',
    'onedl-mmcv',
    'onedl-mmdetection',
    'onedl-mmpretrain',
)


def package_versions() -> dict[str, str]:
    """Return the versions of the packages that affect results."""
    found = {}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:  # installed under another name
            continue
    return found
