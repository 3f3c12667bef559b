"""The picture of the architecture is what its tool draws."""

import re
import runpy
from pathlib import Path

ROOT = Path(__file__).parents[2]


def texts(path: Path) -> list[str]:
    """What is written in an SVG, in order."""
    return re.findall(r'<text[^>]*>(.*?)</text>', path.read_text())


def test_the_picture_is_up_to_date(tmp_path):
    tool = runpy.run_path(str(ROOT / 'tools/draw_architecture.py'))
    drawn = tmp_path / 'architecture.svg'
    tool['main'](drawn)
    found = texts(drawn)
    assert 'DistillModel' in found
    assert found == texts(ROOT / 'docs/images/architecture.svg')
