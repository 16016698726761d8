"""What can be wrong, how bad it is, and what to do about it."""
from typing import Dict, NamedTuple, Tuple

PROBLEM, WARNING, INFO = 'problem', 'warning', 'info'
LEVELS = (PROBLEM, WARNING, INFO)


class Check(NamedTuple):
    """A kind of finding: its level, a title, what it means and what to do."""

    level: str
    title: str
    advice: str


class Finding(NamedTuple):
    """One thing that was found."""

    check: str  # a key of CHECKS
    subject: str  # the video, class or list that it is about
    detail: str = ''  # what is the matter
    places: Tuple[str, ...] = ()  # where it stands: lists with line numbers

    @property
    def level(self) -> str:
        return CHECKS[self.check].level


_GET_ANEW = 'Get the file again, or train on the cleaned list.'
# In the order of the report. The first group are states of a video.
CHECKS: Dict[str, Check] = {
    'missing': Check(PROBLEM, 'Missing videos',
                     'Named by a list, but not on disk. ' + _GET_ANEW),
    'empty': Check(PROBLEM, 'Empty files', _GET_ANEW),
    'cut_short': Check(PROBLEM, 'Files cut short', _GET_ANEW),
    'unreadable': Check(PROBLEM, 'Unreadable videos',
                        'FFmpeg cannot read them to the end. ' + _GET_ANEW),
    'crashed': Check(PROBLEM, 'Videos that crash the decoder',
                     'They would end a training run. ' + _GET_ANEW),
    'timed_out': Check(PROBLEM, 'Videos that take too long',
                       'They may hang a training run. If the storage is slow '
                       'or the videos are long, raise --timeout.'),
    'damaged': Check(WARNING, 'Videos with damaged pictures',
                     'FFmpeg hides this and training uses them; --decode full '
                     'found it. Get the files again if you can.'),
    'too_short': Check(WARNING, 'Videos shorter than --min-frames',
                       'Sampling repeats frames in them.'),
    'repeated_line': Check(PROBLEM, 'Videos named twice in one list',
                           'The cleaned list keeps the first line.'),
    'two_labels': Check(
        PROBLEM, 'Videos with two labels',
        'Only you can tell which is right; cleaned lists do not decide '
        'between lists, and within one they keep the first line.'),
    'same_bytes': Check(
        PROBLEM, 'Copies within one list',
        'The same bytes under several names. Cleaned training lists keep the '
        'first; test lists keep all, so that figures stay comparable.'),
    'train_test': Check(
        PROBLEM, 'Leakage between training and test',
        'The same video, by name or by content, in a training and a test '
        'list. Cleaned training lists leave it out.'),
    'group_leak': Check(PROBLEM, 'UCF groups in training and test',
                        'Clips of one group (v_CLASS_gNN_cMM) are cut from '
                        'one recording. Use the official splits, or split by '
                        'group; cleaned lists leave them in.'),
    'base_novel': Check(
        PROBLEM, 'Videos in both base and novel lists',
        'The halves share no class, so they must share no video.'),
    'shared_class': Check(PROBLEM, 'Classes in both base and novel',
                          'Make the halves again with vifi-clip splits.'),
    'label_range': Check(
        PROBLEM, 'Labels beyond the class list',
        'A list of another protocol, or the wrong class list?'),
    'no_video': Check(PROBLEM, 'Classes without a video',
                      'After leaving out unreadable videos.'),
    'shots': Check(PROBLEM, 'K-shot classes without K videos',
                   'Make the list again with vifi-clip splits.'),
    'captions': Check(PROBLEM, 'Videos without a proper caption',
                      'Each needs a list of at least one sentence.'),
    'counts': Check(PROBLEM, 'Counts unlike the published ones',
                    'The list is not the official one.'),
    'train_test_look_alike': Check(
        WARNING, 'Look-alikes in training and test',
        'The same pictures at the same length in another encoding: check '
        'them. Cleaned lists leave them in.'),
    'look_alike': Check(
        WARNING, 'Look-alikes within one list',
        'The same pictures in another encoding: check them.'),
    'imbalance': Check(
        WARNING, 'Unbalanced training lists',
        'The largest class has over ten times the videos of the smallest.'),
    'shortfall': Check(INFO, 'Fewer videos than published',
                       'Usual for Kinetics, whose links die: state the number '
                       'with your figures.'),
    'not_checked': Check(INFO, 'Not checked', ''),
    # of descriptions
    'no_colon': Check(PROBLEM, 'No ":" after the name of the class',
                      'Each is "Name: A person ...".'),
    'undescribed': Check(PROBLEM, 'Classes without a description', ''),
    'described_twice': Check(PROBLEM, 'Classes described twice', ''),
    'too_many_tokens': Check(
        PROBLEM, 'Descriptions that are too long',
        'With templates a text has room for 77 tokens; a run refuses more.'),
    'same_description': Check(PROBLEM, 'One description of several classes',
                              'A model cannot tell these classes apart.'),
    'leaked_name': Check(WARNING, 'Descriptions that name another class',
                         'They pull the two classes together: reword them.'),
    'other_description': Check(INFO, 'Descriptions of no class in the list',
                               'They are ignored.'),
}
