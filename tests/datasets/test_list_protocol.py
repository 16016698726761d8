"""Lists of one protocol are not read with the classes of another."""
import pytest
from mmaction.registry import DATASETS

from projects.vifi_clip.datasets.video_list import check_protocol

BASE, NOVEL = ['jump', 'run'], ['sit', 'stand', 'walk']


@pytest.fixture
def folder(tmp_path):
    for name, names in dict(classes=BASE + NOVEL, base_classes=BASE,
                            novel_classes=NOVEL).items():
        (tmp_path / f'{name}.txt').write_text('\n'.join(names) + '\n')
    return tmp_path


@pytest.mark.parametrize('ann, names', [
    ('base_val', BASE), ('base_train_16shot_seed1', BASE),
    ('novel_val', NOVEL), ('few_shot_train_4shot_seed2', BASE + NOVEL),
    ('val_split1', BASE + NOVEL), ('train', BASE + NOVEL),
    ('stills', NOVEL)])
def test_lists_with_their_classes(folder, ann, names):
    check_protocol(str(folder / f'{ann}.txt'), names, 'classes')


@pytest.mark.parametrize('ann, names', [
    ('base_val', BASE + NOVEL), ('base_train_16shot_seed1', NOVEL),
    ('novel_val', BASE), ('few_shot_train_4shot_seed2', BASE),
    ('val_split1', NOVEL)])
def test_lists_with_those_of_another(folder, ann, names):
    with pytest.raises(ValueError, match='a list of another protocol'):
        check_protocol(str(folder / f'{ann}.txt'), names, 'mine.txt')


def test_halves_of_one_size(folder):
    (folder / 'base_classes.txt').write_text('jump\nrun\nskip\n')
    with pytest.raises(ValueError, match='a list of another protocol'):
        check_protocol(str(folder / 'base_val.txt'), NOVEL, 'novel')


def test_other_words_for_the_same_classes(folder):
    check_protocol(str(folder / 'base_val.txt'), ['leaping', 'running'], 'x')
    (folder / 'base_classes_words.txt').write_text('to jump\nto run\n')
    check_protocol(str(folder / 'base_val.txt'), ['to jump', 'to run'], 'x')


def test_lists_in_a_folder_without_class_lists(tmp_path):
    check_protocol(str(tmp_path / 'base_val.txt'), NOVEL, 'mine.txt')


def test_the_dataset_asks(folder):
    (folder / 'base_val.txt').write_text('a.mp4 0\n')
    dataset = DATASETS.build(dict(
        type='CheckedVideoDataset', ann_file=str(folder / 'base_val.txt'),
        class_file=str(folder / 'classes.txt'), pipeline=[], lazy_init=True))
    with pytest.raises(ValueError, match='base_val.txt numbers the 2 classes'):
        dataset.full_init()
