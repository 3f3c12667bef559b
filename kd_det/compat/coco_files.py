"""Make pycocotools accept COCO files written by other tools.

Its evaluation never matches an annotation with id 0, and fails on ids that are
strings and on a missing ``iscrowd``; class names are compared as strings. The
index used by pycocotools and MMDetection is therefore built from normalised
entries.
"""

from pycocotools.coco import COCO


def install() -> None:
    """Wrap ``COCO.createIndex``, once."""
    stock = COCO.createIndex
    if hasattr(stock, 'of_kd_det'):
        return

    def create_index(self: COCO) -> None:
        make_plain(self.dataset)
        stock(self)

    create_index.of_kd_det = True
    COCO.createIndex = create_index


def is_plain_id(value: object) -> bool:
    """Return whether pycocotools can store an annotation's id as a match."""
    return isinstance(value, (int, float)) and value != 0


def make_plain(table: dict) -> None:
    """Normalise a COCO table in place for pycocotools.

    Annotations are renumbered from 1 if an id is 0 or not a number, and a
    missing ``iscrowd`` is set to 0. Class names become strings.

    Args:
        table: Contents of a COCO JSON, or of pycocotools' predictions.
    """
    annotations = table.get('annotations') or []
    if not all(is_plain_id(entry.get('id')) for entry in annotations):
        for number, entry in enumerate(annotations, start=1):
            entry['id'] = number
    for entry in annotations:
        entry.setdefault('iscrowd', 0)
    for category in table.get('categories') or []:
        if 'name' in category:
            category['name'] = str(category['name'])
