"""Small annotation files in the official formats, with the real classes."""
import csv
import json
from pathlib import Path

from commands import vifi

ROOT = Path(__file__).resolve().parents[2]
PUBLISHED = ROOT / 'data_splits'
HALVES = 'base_classes', 'novel_classes'


def names_of(dataset, kind='classes'):
    return (PUBLISHED / dataset / f'{kind}.txt').read_text().splitlines()


def rows_of(path):
    """Path and label of each line of a list."""
    lines = Path(path).read_text().splitlines()
    return [(line[:line.rindex(' ')], int(line[line.rindex(' ') + 1:]))
            for line in lines]


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def write_kinetics(folder, dataset, train=3, val=2, test=0):
    """One CSV file per part; clips are named after class and number."""
    for part, count, said in (('train', train, 'train'),
                              ('val', val, 'validate'),
                              ('test', test, 'test')):
        if not count:
            continue
        path = write(folder / f'{said}.csv', '')
        with path.open('w', newline='') as file:
            out = csv.writer(file)
            out.writerow(['label', 'youtube_id', 'time_start', 'time_end',
                          'split', 'is_cc'])
            for k, name in enumerate(names_of(dataset)):
                for i in range(count):
                    out.writerow([name, f'{part[:2]}-{k:04d}_{i:03d}', i,
                                  i + 10, said, 0])
    return folder


def write_hmdb51(folder, train=3, val=2):
    """Per class: unused, training and test videos, other ones each split."""
    for name in names_of('hmdb51'):
        slug = name.replace(' ', '_')
        for split in 1, 2, 3:
            uses = [1] * train + [2] * val + [0]
            shift = split - 1
            uses = uses[-shift:] + uses[:-shift] if shift else uses
            write(folder / f'{slug}_test_split{split}.txt', ''.join(
                f'Film!_{i}_{slug}_f_cm_np1_fr_med_{i}.avi {use} \n'
                for i, use in enumerate(uses)))
    return folder


def write_ucf101(folder, train=3, val=2):
    names = names_of('ucf101')
    write(folder / 'classInd.txt', ''.join(
        f'{k} {name}\n' for k, name in enumerate(names, start=1)))
    for split in 1, 2, 3:
        lines = {'train': '', 'test': ''}
        for k, name in enumerate(names, start=1):
            # As in the official lists.
            video = name.replace('HandstandPushups', 'HandStandPushups')
            for i in range(train):
                lines['train'] += (f'{name}/v_{video}_g{split + 10}_c{i:02d}'
                                   f'.avi {k}\r\n')
            for i in range(val):
                lines['test'] += f'{name}/v_{video}_g0{split}_c{i:02d}.avi\n'
        for part, text in lines.items():
            write(folder / f'{part}list0{split}.txt', text)
    return folder


def write_ssv2(folder, train=3, val=2):
    """The labels under their older name."""
    names = names_of('ssv2')
    labels = {name: str(k) for k, name in enumerate(names)}
    write(folder / 'something-something-v2-labels.json', json.dumps(labels))
    number = 0
    for part, count in ('train', train), ('validation', val):
        items = []
        for name in names:
            template = name.replace('something', '[something]')
            for _ in range(count):
                number += 1
                items.append(dict(id=str(number), label='x',
                                  template=template, placeholders=[]))
        write(folder / f'{part}.json', json.dumps(items))
    return folder


def write_msrvtt(folder):
    write(folder / 'MSRVTT_train.9k.csv', 'video_id\nvideo10\nvideo9\n')
    write(folder / 'MSRVTT_JSFUSION_test.csv',
          'key,vid_key,video_id,sentence\nret0,msr7,video7,a caf\u00e9\n'
          'ret1,msr8,video8,"one, two"\n')
    sentences = [
        dict(caption='second', video_id='video9', sen_id=5),
        dict(caption='first', video_id='video9', sen_id=2),
        dict(caption='na\u00efve', video_id='video10', sen_id=3),
        dict(caption='unused', video_id='video7', sen_id=4)
    ]
    write(folder / 'MSRVTT_data.json', json.dumps(
        dict(info={}, videos=[], sentences=sentences)))
    return folder


# In the release's HMDB-51 lists, these pairs have each other's label.
SWAPPED = {'kick': 'kick ball', 'kick ball': 'kick', 'sword': 'sword exercise',
           'sword exercise': 'sword'}


def hmdb_name(name, part, i):
    return f'A_{part}({i})_{name.replace(" ", "_")}_u_nm_np1_ri_goo_{i}.avi'


def released_name(dataset, name, part, i):
    """File name of a video, with the oddities of the release."""
    if dataset == 'hmdb51':
        return hmdb_name(SWAPPED.get(name, name), part, i)
    video = name.replace('HandstandP', 'HandStandP')
    return f'v_{video}_g{8 if part == "train" else 3:02d}_c{i:02d}.avi'


def write_labels(path, names):
    write(path, 'id,name\n' + ''.join(
        f'{k},"{name}"\n' for k, name in enumerate(names)))


def write_release(root, dataset='hmdb51', short='hmdb', stem='hmdb_51'):
    """The release's layout for HMDB-51 or UCF-101."""
    lists = root / 'datasets_splits'
    all_names, base, novel = (names_of(dataset, kind) for kind in
                              ('classes', *HALVES))
    for end, names in ('', all_names), ('_base', base), ('_novel', novel):
        write_labels(root / f'labels/{stem}{end}_labels.csv', names)

    def text(names, part, count):
        return ''.join(
            f'{released_name(dataset, name, part, i)} {k}\n'
            for k, name in enumerate(names) for i in range(count))

    folder = lists / f'base2novel_splits/{short}_splits'
    for seed in 1, 2, 3:
        write(folder / f'fs_base_s{seed}_train.txt', text(base, 'train', 16))
    write(folder / 'base_val.txt', text(base, 'val', 2))
    write(folder / 'novel_val.txt', text(novel, 'val', 2))
    folder = lists / f'{short}_splits'
    for shots in 2, 4, 8, 16:
        write(folder / f'train1_few_shot_{shots}.txt',
              text(all_names, 'train', shots).replace('\n', '\r\n'))
    for split in 1, 2, 3:
        write(folder / f'val{split}.txt', text(all_names, 'val', 2))
    return root


OWN_ROWS = ['path,label,split'] + [
    f'{name}/{i}.mp4,{name},{"train" if i else "val"}'
    for name in ('chop', 'stir') for i in range(4)
]
SMALL = '--shots', '1', '--base-shots', '1', '--seeds', '1'
WRITERS = {
    'k400': lambda folder: write_kinetics(folder, 'k400'),
    'k600': lambda folder: write_kinetics(folder, 'k600'),
    'hmdb51': write_hmdb51,
    'ucf101': write_ucf101,
    'ssv2': write_ssv2,
    'msrvtt': write_msrvtt,
}


def own_call(tmp_path, *options, rows=OWN_ROWS, out='lists'):
    """Command line for a data set of one's own with these rows."""
    table = write(tmp_path / 'own.csv', '\n'.join(rows) + '\n')
    return ['splits', 'kitchen', '--csv', table, '--out', tmp_path / out,
            *(options or SMALL)]


def make_own(tmp_path, *options, **more):
    return vifi(*own_call(tmp_path, *SMALL, *options, **more))


def official_call(dataset, source, out, *options):
    """Command line for official annotations of three training videos."""
    few = [] if dataset in ('k600', 'msrvtt') else SMALL
    tiny = ['--tiny', 1] if dataset == 'k400' else []
    return ['splits', dataset, '--annotations', source, '--out', out, *few,
            *tiny, *options]


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}
