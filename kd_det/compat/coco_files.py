"""Let pycocotools read COCO files as other tools write them.

To its evaluation an annotation with id 0 is never found, one whose id is
text ends it, and so does one without ``iscrowd``; its class names are
compared with text. None of that means anything to a user, so the index that
all of pycocotools and MMDetection read from is made of plain entries.
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
    """Change a COCO table in place where pycocotools would misread it.

    Annotations are numbered from 1 if one of them has an id of 0 or no
    number, and get an ``iscrowd`` of 0 where they have none. Class names
    become text.

    Args:
        table: As a COCO json, or as pycocotools makes one of predictions.
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
