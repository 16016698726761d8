"""Where lists come from, by the manifests that `vifi-clip splits` writes."""
import json

import pytest

from projects.vifi_clip.datasets.list_origin import list_origin
from projects.vifi_clip_tools.splits.list_folder import (make_manifest,
                                                         video_list)


def _folder(path, **options):
    file = video_list([('a.avi', 0), ('b.avi', 1)])
    manifest = make_manifest('hmdb51', options, [], {'val_split1.txt': file})
    (path / 'val_split1.txt').write_text(file.text)
    (path / 'manifest.json').write_text(json.dumps(manifest))
    return path / 'val_split1.txt'


@pytest.mark.parametrize('options, origin', [
    (dict(made_from='release', fix_labels=False), 'release'),
    (dict(made_from='release', fix_labels=True), 'release, labels fixed'),
    (dict(made_from='annotations'), 'annotations')])
def test_lists_with_a_manifest(tmp_path, options, origin):
    path = _folder(tmp_path, **options)
    entry = list_origin(str(path))
    assert (entry['origin'], entry['dataset'], entry['file']) == (
        origin, 'hmdb51', 'val_split1.txt')
    path.write_text('a.avi 1\n')
    changed = list_origin(str(path))
    assert changed['origin'] == 'changed'
    assert changed['sha256'] != entry['sha256']


@pytest.mark.parametrize('manifest', [
    None, '', '[]', '{"lists": {}}', '{"mini_world": "3", "annotations": {}}',
    '{"options": {}, "lists": {"val_split1.txt": {"sha256": ""}}}',
    '{"dataset": "hmdb51", "options": {"made_from": 5}, '
    '"lists": {"val_split1.txt": {"sha256": ""}}}', '[' * 100000])
def test_lists_of_unknown_origin(tmp_path, manifest):
    path = _folder(tmp_path, made_from='release')
    if manifest is None:
        (tmp_path / 'manifest.json').unlink()
    else:
        (tmp_path / 'manifest.json').write_text(manifest)
    assert list_origin(str(path))['origin'] == 'unknown'
    assert list_origin('s3://bucket/list.txt')['origin'] == 'unknown'
