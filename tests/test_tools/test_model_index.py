"""The model index, read by the package that OpenMMLab's format is of."""

from pathlib import Path

import modelindex
import pytest
import yaml
from model_index import INDEX, index_files

ROOT = Path(__file__).parents[2]
CONFIGS = {
    path.relative_to(ROOT).as_posix()
    for path in ROOT.glob('configs/**/*.py')
    if '_base_' not in path.parts
}
METAFILES = yaml.safe_load((ROOT / INDEX).read_text())['Import']


def test_the_index_names_every_metafile():
    found = ROOT.glob('configs/**/metafile.yml')
    assert sorted(METAFILES) == sorted(
        path.relative_to(ROOT).as_posix() for path in found
    )


def test_the_index_names_every_config_once(monkeypatch):
    monkeypatch.chdir(ROOT)
    index = modelindex.load(INDEX)
    index.build_models_with_collections()
    assert not index.check(silent=True)
    models = [
        model
        for metafile in METAFILES
        for model in yaml.safe_load(Path(metafile).read_text())['Models']
    ]
    assert len(models) == len({model['Name'] for model in models})
    assert sorted(model['Config'] for model in models) == sorted(CONFIGS)
    for model in models:
        assert Path(model['Config']).stem == model['Name']
    assert len(list(index.models)) == len(models)


@pytest.mark.parametrize('metafile', METAFILES)
def test_each_model_is_in_a_collection_of_its_metafile(metafile):
    meta = yaml.safe_load((ROOT / metafile).read_text())
    (collection,) = meta['Collections']
    for model in meta['Models']:
        assert model['In Collection'] == collection['Name']
        assert Path(model['Config']).parent == Path(metafile).parent


def test_the_files_are_what_make_configs_writes():
    for name, text in index_files(ROOT).items():
        hint = f'{name} is older than the configs: `make configs`'
        assert (ROOT / name).read_text() == text, hint
