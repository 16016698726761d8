"""What may be wrong with a path that is no video."""
import os
import os.path as osp
import re
import shlex
import unicodedata

# Pictures, by the ends of their names.
PICTURES = ('.jpg', '.jpeg', '.png', '.bmp', '.webp', '.tif', '.tiff')
# Characters without a picture: soft hyphen, marks of direction, zero width.
# Not the joiners, which words of some scripts and emoji are spelt with.
INVISIBLE = re.compile('[\u00ad\u061c\u180e\u200b\u200e\u200f\u202a-\u202e'
                       '\u2060-\u2069\ufeff]')


def remedy(path: str) -> str:
    """Return what to do about a path that is no video: '; write / for ...',
    or '' where it shows nothing."""
    # a reader adds the ending where there is none
    stem, numbers = re.fullmatch(r'(?s)(.*?)((?: [0-9]+)*)(?:\.mp4)?',
                                 path).groups()
    if numbers and osp.isdir(stem):
        return ('; lines of "folder frames label" are for RawframeDataset, '
                'with RawFrameDecode in its pipeline')
    if numbers and osp.exists(stem):
        return '; a number after the path is not part of it'
    if path.lower().endswith(PICTURES) or osp.isdir(stem):
        return remedy_of_pictures(path if osp.exists(path) else stem)
    if osp.lexists(path):
        return ''
    if re.fullmatch(r'(["\']).*\1', osp.basename(path)):
        return '; remove the quotes'
    if '\\' in path:
        return '; write / where the path has \\'
    plain = INVISIBLE.sub('', path.replace('\xa0', ' '))
    for other, what in ((path.strip(), 'without spaces around it'),
                        (unicodedata.normalize('NFC', path), 'in NFC'),
                        (unicodedata.normalize('NFD', path), 'in NFD'),
                        (plain, 'without special spaces')):
        if osp.exists(other):
            return f'; {other!r} is there: write it so, {what}'
    return ''


def remedy_of_pictures(path: str) -> str:
    """Return how to make a video of the pictures in a folder, or of one and
    those beside it; '' if there is none."""
    folder, names = osp.split(path)[0], [path]
    try:
        if osp.isdir(path):
            folder, names = path, sorted(os.listdir(path))
    except OSError:
        return ''
    end = next((osp.splitext(name)[1] for name in names
                if name.lower().endswith(PICTURES)), None)
    if end is None:
        return ''
    pattern = shlex.quote(osp.join(folder, f'*{end}'))
    codec = 'copy' if end.lower() in ('.jpg', '.jpeg') else 'ffv1'  # as it is
    return ('; frames as pictures make a video: ffmpeg -framerate 25 '
            f'-pattern_type glob -i {pattern} -c {codec} video.mkv')
