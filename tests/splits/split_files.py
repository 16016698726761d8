"""Small annotation files in the official formats, with the real classes."""
import json
import shutil
from pathlib import Path

from commands import vifi

ROOT = Path(__file__).resolve().parents[2]
PUBLISHED = ROOT / 'data_splits'
KINDS = 'classes', 'base_classes', 'novel_classes'


def names_of(dataset, kind='classes'):
    return (PUBLISHED / dataset / f'{kind}.txt').read_text().splitlines()


def rows_of(path):
    """Path and label of each line of a list."""
    pairs = [line.rsplit(' ', 1)
             for line in Path(path).read_text().splitlines()]
    return [(name, int(label)) for name, label in pairs]


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def edit(name, old, new, count=1):
    """A change of a file's text, as a function of the folder."""
    def change(folder):
        data = (folder / name).read_bytes()
        assert old.encode() in data
        (folder / name).write_bytes(
            data.replace(old.encode(), new.encode(), count))
    return change


def copy(name, other):
    return lambda folder: shutil.copy(folder / name, folder / other)


def write_kinetics(folder, dataset, test=0):
    """One CSV file per part; clips are named after class and number."""
    for said, count in dict(train=3, validate=2, test=test).items():
        rows = [f'{name},{said[:2]}-{k:04d}_{i:03d},{i},{i + 10},{said},0\r\n'
                for k, name in enumerate(names_of(dataset))
                for i in range(count)]
        if rows:
            write(folder / f'{said}.csv', 'label,youtube_id,time_start,'
                  'time_end,split,is_cc\r\n' + ''.join(rows))
    return folder


def write_hmdb51(folder):
    """Per class: unused (0), training (1) and test videos (2), other ones
    each split."""
    for name in names_of('hmdb51'):
        slug = name.replace(' ', '_')
        for split, uses in (1, '111220'), (2, '011122'), (3, '201112'):
            write(folder / f'{slug}_test_split{split}.txt', ''.join(
                f'Film!_{i}_{slug}_f_cm_np1_fr_med_{i}.avi {use} \n'
                for i, use in enumerate(uses)))
    return folder


def write_ucf101(folder):
    names = names_of('ucf101')
    write(folder / 'classInd.txt', ''.join(
        f'{k} {name}\n' for k, name in enumerate(names, start=1)))
    # The spelling is that of the official lists.
    starts = [f'{name}/v_{name.replace("HandstandP", "HandStandP")}'
              for name in names]
    for split in 1, 2, 3:
        write(folder / f'trainlist0{split}.txt', ''.join(
            f'{start}_g{split + 10}_c{i:02d}.avi {k}\r\n'
            for k, start in enumerate(starts, start=1) for i in range(3)))
        write(folder / f'testlist0{split}.txt', ''.join(
            f'{start}_g0{split}_c{i:02d}.avi\n'
            for start in starts for i in range(2)))
    return folder


def write_ssv2(folder):
    """The labels under their older name."""
    names = names_of('ssv2')
    labels = {name: str(k) for k, name in enumerate(names)}
    write(folder / 'something-something-v2-labels.json', json.dumps(labels))
    for part, count, first in (('train', 3, 1),
                               ('validation', 2, 3 * len(names) + 1)):
        write(folder / f'{part}.json', json.dumps([
            dict(id=str(first + count * k + i), label='x', placeholders=[],
                 template=name.replace('something', '[something]'))
            for k, name in enumerate(names) for i in range(count)]))
    return folder


def write_msrvtt(folder):
    write(folder / 'MSRVTT_train.9k.csv', 'video_id\nvideo10\nvideo9\n')
    write(folder / 'MSRVTT_JSFUSION_test.csv',
          'key,vid_key,video_id,sentence\nret0,msr7,video7,a caf\u00e9\n'
          'ret1,msr8,video8,"one, two"\n')
    write(folder / 'MSRVTT_data.json', json.dumps(dict(sentences=[
        dict(caption=caption, video_id=video, sen_id=number)
        for caption, video, number in (
            ('second', 'video9', 5), ('first', 'video9', 2),
            ('na\u00efve', 'video10', 3), ('unused', 'video7', 4))])))
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
    every, base, novel = (names_of(dataset, kind) for kind in KINDS)
    for end, names in ('', every), ('_base', base), ('_novel', novel):
        write_labels(root / f'labels/{stem}{end}_labels.csv', names)
    own, halves = f'{short}_splits', f'base2novel_splits/{short}_splits'
    for name, names, part, count in (
            *((f'{halves}/fs_base_s{seed}_train', base, 'train', 16)
              for seed in (1, 2, 3)),
            (f'{halves}/base_val', base, 'val', 2),
            (f'{halves}/novel_val', novel, 'val', 2),
            *((f'{own}/train1_few_shot_{shots}', every, 'train', shots)
              for shots in (2, 4, 8, 16)),
            *((f'{own}/val{split}', every, 'val', 2) for split in (1, 2, 3))):
        end = '\r\n' if 'few_shot' in name else '\n'
        write(root / f'datasets_splits/{name}.txt', ''.join(
            f'{released_name(dataset, label, part, i)} {k}{end}'
            for k, label in enumerate(names) for i in range(count)))
    return root


OWN_ROWS = ['path,label,split'] + [
    f'{name}/{i}.mp4,{name},{"train" if i else "val"}'
    for name in ('chop', 'stir') for i in range(4)]
SMALL = '--shots', '1', '--base-shots', '1', '--seeds', '1'
WRITERS = {
    'k400': lambda folder: write_kinetics(folder, 'k400'),
    'k600': lambda folder: write_kinetics(folder, 'k600'),
    'hmdb51': write_hmdb51,
    'ucf101': write_ucf101,
    'ssv2': write_ssv2,
    'msrvtt': write_msrvtt}


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


def lists_in(folder):
    """Contents but for the manifest, which tells the sources' SHA-256."""
    return {name: data for name, data in contents(folder).items()
            if name != 'manifest.json'}
