"""The committed class lists of the published data sets."""
import hashlib

import pytest
from split_files import PUBLISHED, names_of

COUNTS = {'k400': (400, 200), 'hmdb51': (51, 26), 'ucf101': (101, 51),
          'ssv2': (174, 87)}


@pytest.mark.parametrize('dataset', COUNTS)
def test_halves_part_the_classes(dataset):
    classes, base, novel = (names_of(dataset, kind) for kind in
                            ('classes', 'base_classes', 'novel_classes'))
    count, count_base = COUNTS[dataset]
    assert len(classes) == len(set(classes)) == count
    assert len(base) == count_base and len(novel) == count - count_base
    assert not set(base) & set(novel)
    assert set(base) | set(novel) == set(classes)


def test_k600_zero_shot_sets_hold_no_k400_class():
    k600, k400 = set(names_of('k600')), set(names_of('k400'))
    assert len(k600) == 600
    new = k600 - k400
    for number in 1, 2, 3:
        names = names_of('k600', f'zero_shot_{number}_classes')
        assert len(names) == len(set(names)) == 160
        assert set(names) <= new


def test_ucf101_words_are_the_names_split():
    for kind in 'classes', 'base_classes', 'novel_classes':
        names = names_of('ucf101', kind)
        words = names_of('ucf101', f'{kind}_words')
        assert [text.replace(' ', '') for text in words] == names
        # Every capital starts a word, and nothing else does.
        assert all(word[0].isupper() and word[1:].islower()
                   for text in words for word in text.split(' '))
    words = dict(zip(names_of('ucf101'), names_of('ucf101', 'classes_words')))
    assert words['YoYo'] == 'Yo Yo' and words['TaiChi'] == 'Tai Chi'
    assert words['HandstandPushups'] == 'Handstand Pushups'


def test_label_order_of_a_few_classes():
    assert names_of('k400')[399] == 'zumba'
    assert names_of('k600')[0] == 'abseiling'
    assert names_of('hmdb51')[20:22] == ['kick ball', 'kick']
    # classInd.txt, which is not in alphabetical order
    assert names_of('ucf101')[34:36] == ['Hammering', 'HammerThrow']
    assert names_of('ssv2')[59] == 'Pouring something into something'
    assert names_of('ssv2', 'base_classes')[0] == names_of('ssv2')[59]


def test_k400_list_is_the_one_that_checkpoints_were_trained_with():
    data = (PUBLISHED / 'k400' / 'classes.txt').read_bytes()
    assert hashlib.sha256(data).hexdigest() == (
        'e9f2806fe9109b851a80a74841244f6f8c9d10917fa0229cd82bab67f2f8e28f')


@pytest.mark.parametrize('dataset', [*COUNTS, 'k600', 'msrvtt'])
def test_folder_has_a_readme(dataset):
    text = (PUBLISHED / dataset / 'README.md').read_text()
    assert f'make_splits.py {dataset}' in text
