"""Ids, references and types of a COCO json that are implausible."""

import pytest


def change_ids(part, change):
    """Change the ids of a part, and what refers to them if asked."""

    def run(table):
        for entry in table[part]:
            entry['id'] = change(entry['id'])

    return run


def with_references(part, key, change):
    def run(table):
        change_ids(part, change)(table)
        for entry in table['annotations']:
            entry[key] = change(entry[key])

    return run


@pytest.mark.parametrize('change', [str, 'a{}'.format, lambda key: key - 1])
@pytest.mark.parametrize(
    'part, key', [('images', 'image_id'), ('categories', 'category_id')]
)
def test_any_ids_that_fit_together(check, part, key, change):
    [report] = check(with_references(part, key, change))
    [plain] = check()
    assert report.facts == plain.facts


@pytest.mark.parametrize(
    'part, message',
    [
        ('images', "id 1 (file_name '000001.png' and '000002.png')"),
        ('annotations', 'id 1 (image_id 2 and 2)'),
        ('categories', "id 1 (name 'circle' and 'square')"),
    ],
)
@pytest.mark.parametrize('splits', [('train',), ('val',)])
def test_an_id_twice(refused, part, message, splits):
    def twice(table):
        table[part][1]['id'] = table[part][0]['id']
        if part == 'annotations':
            for entry in table[part][:2]:
                entry['image_id'] = 2

    text = refused(twice, splits)
    assert f'Two {part} of' in text and message in text
    assert 'give each its own id' in text or 'renumber the annotations' in text


@pytest.mark.parametrize('part', ['images', 'categories'])
def test_ids_of_two_types(refused, part):
    def mix(table):
        table[part][0]['id'] = 'a'

    assert f'Some ids of "{part}"' in refused(mix)


@pytest.mark.parametrize('key', [None, [1], {}])
@pytest.mark.parametrize('part', ['images', 'annotations', 'categories'])
def test_ids_that_are_none(refused, part, key):
    def spoil(table):
        table[part][1]['id'] = key

    assert f'Entry 1 of "{part}"' in refused(spoil)


@pytest.mark.parametrize('noun', ['image', 'category'])
@pytest.mark.parametrize('key', [[1], {}])
def test_references_that_are_no_ids(refused, noun, key):
    def spoil(table):
        table['annotations'][-1][f'{noun}_id'] = key

    assert f'has {noun}_id={key!r}; the id of one' in refused(spoil)


@pytest.mark.parametrize('noun', ['image', 'category'])
def test_text_that_refers_to_numbers(refused, noun):
    def spoil(table):
        for entry in table['annotations']:
            entry[f'{noun}_id'] = str(entry[f'{noun}_id'])

    text = refused(spoil)
    assert f'{noun}_id of 39 of the 39 annotations' in text
    assert 'write both as whole numbers' in text


@pytest.mark.parametrize('change, word', [(-1, 'less'), (1, 'more')])
@pytest.mark.parametrize(
    'part, noun', [('images', 'image'), ('categories', 'category')]
)
def test_references_that_count_from_elsewhere(
    refused, part, noun, change, word
):
    """Nearly all boxes have an image and a class: a wrong one."""

    def shift(table):
        if change > 0:
            for entry in table[part]:
                entry['id'] -= 1
        else:
            for entry in table['annotations']:
                entry[f'{noun}_id'] -= 1

    # the last class and the first image have boxes
    text = refused(shift, ('val',))
    assert f'id of any {noun}: each is one {word} than an id' in text


def test_boxes_of_images_that_a_part_of_the_file_lacks(check):
    """A file cut down to some images is common and harmless."""

    def cut(table):
        table['images'] = table['images'][:8]

    [report] = check(cut)
    [warning] = [w for w in report.warnings if 'left out' in w]
    assert 'of the 39 boxes are of an image that is not in the file' in warning
    assert 'of image 9, not in images' in warning


@pytest.mark.parametrize(
    'part, key, value, accepted',
    [
        ('annotations', 'bbox', [1, 2, 3], 'a list of 4 numbers'),
        ('annotations', 'bbox', [1, 2, 3, 4, 5], 'a list of 4 numbers'),
        ('annotations', 'bbox', [], 'a list of 4 numbers'),
        ('annotations', 'bbox', ['1', '2', '3', '4'], 'a list of 4 numbers'),
        ('annotations', 'bbox', [1, 2, 3, None], 'a list of 4 numbers'),
        ('annotations', 'bbox', {'x': 1}, 'a list of 4 numbers'),
        ('annotations', 'bbox', None, 'a list of 4 numbers'),
        ('annotations', 'area', '12', 'a number'),
        ('annotations', 'area', None, 'a number'),
        ('annotations', 'area', [12], 'a number'),
        ('annotations', 'iscrowd', '0', 'a number'),
        ('annotations', 'iscrowd', None, 'a number'),
        ('annotations', 'ignore', 'no', 'a number'),
        ('images', 'width', '64', 'a number'),
        ('images', 'height', None, 'a number'),
    ],
)
def test_values_of_another_type(refused, part, key, value, accepted):
    def spoil(table):
        table[part][-1][key] = value

    text = refused(spoil)
    assert f'In 1 of the {39 if part == "annotations" else 12} {part}' in text
    assert f'{key} is not {accepted}, the first {value!r}' in text


@pytest.mark.parametrize('key', ['iscrowd', 'ignore'])
@pytest.mark.parametrize('value', [2, -1, 0.5, 10**40, float('nan')])
def test_flags_that_are_neither_0_nor_1(refused, key, value):
    def spoil(table):
        table['annotations'][4][key] = value

    text = refused(spoil)
    assert f'{key} is not 0 or 1, the first' in text and 'annotation 5' in text


def test_flags_as_booleans(check):
    def flag(table):
        for number, entry in enumerate(table['annotations']):
            entry['iscrowd'] = number % 2 == 0

    [report] = check(flag)
    assert report.facts['crowds'] == 20


def test_integers_and_numbers_of_many_digits(check):
    def whole(table):
        for entry in table['annotations'][::2]:
            entry['bbox'] = [*map(int, entry['bbox'])]
        table['annotations'][1]['area'] = 10**40

    check(whole)


@pytest.mark.parametrize('name', [3, None, ['a.png']])
def test_a_file_name_that_is_no_text(refused, name):
    def spoil(table):
        table['images'][2]['file_name'] = name

    assert f'has the file_name {name!r}; a file path' in refused(spoil)


@pytest.mark.parametrize('name', [None, True, ['cat']])
def test_a_category_name_that_is_no_text(refused, name):
    def spoil(table):
        table['categories'][2]['name'] = name

    assert 'Category 3 of' in refused(spoil)


def test_nested_too_deep(refused, tmp_path):
    (tmp_path / 'deep.json').write_text('[' * 10**5)
    text = refused(ann_file=str(tmp_path / 'deep.json'))
    assert 'is not COCO json' in text
