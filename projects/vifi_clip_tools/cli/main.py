"""``vifi-clip``: its commands, what each is for and where its code is, and how
they start and end."""
import ctypes
import difflib
import importlib
import importlib.metadata
import importlib.util
import os
import platform
import re
import select
import sys
from contextlib import suppress
from typing import (Any, Dict, List, MutableMapping, NamedTuple, Optional,
                    Sequence)

from projects.vifi_clip_configs.knobs import check_knobs, read_knobs
from projects.vifi_clip_configs.shipped import HUB, find_here, root

from .screen import say_loading
from .terminal import clean_output, open_closed_streams, shortened

USE, FIGURES, RUNS, DATA = 'Use', 'Figures', 'Train and evaluate', 'Data'
DONE = 0
WRONG_INPUT = 2  # argparse's own; one line says how to fix it
INTERRUPTED = 130  # as a shell counts: 128 + SIGINT
CLOSED_PIPE = 141  # 128 + SIGPIPE
# Where one of these is missing, so is the environment.
_NEEDED = ('torch', 'mmengine', 'mmaction', 'open_clip', 'cv2')
# glibc gives freed blocks of 32 MiB and more back to the system, so that each
# large tensor is page-faulted in anew: tens of times slower than its kernel.
# Name, number of mallopt(3), value:
_MALLOC = (
    ('MALLOC_MMAP_THRESHOLD_', -3, 2**32),  # large blocks from the heap,
    ('MALLOC_TRIM_THRESHOLD_', -1, 2**33),  # which keeps what is freed
    ('MALLOC_TOP_PAD_', -2, 2**28))  # and grows in steps of 256 MiB
# Of an error where no more address space is to be had; the last is of torch,
# imported a second time.
_NO_SPACE = re.compile('allocate memory|map segment|start new thread|bad_alloc'
                       '|after a failed')
_HEAD = """\
usage: vifi-clip COMMAND [options]
       vifi-clip COMMAND --help

Fine-tune CLIP on videos, then recognise, explain, search and export.
"""
_TAIL = """
options
  -h, --help    print this text or, after a command, its options
  --version     print the version
  --root        print the folder of configs/, tools/ and data_splits/

examples
  vifi-clip predict videos/ --labels "arm wrestling, playing cards"
  vifi-clip demo --config small_world
  vifi-clip train vifi_k400
  vifi-clip test vifi_k400 work_dirs/vifi_k400/epoch_30.pth --single-view
  bash "$(vifi-clip --root)/tools/dist_train.sh" vifi_k400 8

A config is a file, or the name of one in configs/. Environment variables set
its knobs: SHOTS=4 vifi-clip train vifi_few_shot

exit codes
  0    done
  1    something failed; the messages say what
  2    wrong input: the message says how to fix it (VIFI_TRACEBACK=1 shows
       where it was raised)
  130  interrupted with Ctrl-C
  141  the reader of the output closed it, as head does"""


class Command(NamedTuple):
    """One row of ``vifi-clip --help``.

    The module imports quickly, and has ``parse_args(argv)``, which returns
    the options, and ``run(options)``, which imports what takes seconds, does
    the work and may return an exit code.
    """

    group: str  # its heading
    summary: str  # one line, up to 62 characters
    module: str  # below ``projects.vifi_clip_tools``


_ROWS = (
    ('predict', USE, 'recognise videos, with any labels', 'predict.command'),
    ('demo', USE, 'open a web page: drop a video, type labels',
     'demo.command'),
    ('index', USE, 'embed a folder of videos for searching',
     'search.index_command'),
    ('search', USE, 'find videos by words', 'search.search_command'),
    ('export', USE, 'write a model as ONNX or torch.export files',
     'export.command'),
    ('attention', FIGURES, 'show where the class token looks in each frame',
     'attention.command'),
    ('embed', FIGURES, 'write embeddings of videos as .npz or .parquet',
     'embeddings.command'),
    ('tsne', FIGURES, 'draw t-SNE or UMAP of embeddings, and score clusters',
     'tsne.command'),
    ('complexity', FIGURES, 'compare GFLOPs, parameters, speed and memory',
     'complexity.command'),
    ('quickstart', RUNS, 'run every step on the small world, in minutes',
     'paper.quickstart_command'),
    ('train', RUNS, 'train a config', 'run.train'),
    ('test', RUNS, 'test a checkpoint', 'run.test'),
    ('analyze', RUNS, 'show which classes and videos a model gets wrong',
     'analyze.command'),
    ('convert', RUNS, 'convert to and from OpenAI, OpenCLIP, transformers',
     'convert.command'),
    ('merge', RUNS, 'mix fine-tuned weights with CLIP\'s, or average epochs',
     'merge.command'),
    ('push', RUNS, 'upload a trained model to the Hugging Face Hub',
     'push.command'),
    ('matrix', RUNS, "run the paper's tables, cell by cell",
     'paper.matrix_command'),
    ('report', RUNS, "print the paper's tables from finished runs",
     'paper.report_command'),
    ('splits', DATA, 'write every protocol\'s lists from annotations',
     'splits.command'),
    ('check-data', DATA,
     'find missing, broken and duplicate videos, and leakage',
     'doctor.command'),
    ('mini-world', DATA, 'render the small world, a data set for trials',
     'mini_world.command'),
    ('pack', DATA, 're-encode videos so that they are read faster',
     'pack.command'),
    ('cache-frames', DATA, 'embed frames once, to train the text tower on',
     'embeddings.frames_command'),
)
COMMANDS: Dict[str, Command] = {name: Command(*row) for name, *row in _ROWS}


def usage() -> str:
    """Return the text of ``vifi-clip --help``; it fits 80 columns."""
    groups: Dict[str, str] = {}
    for name, command in COMMANDS.items():
        heading = groups.setdefault(command.group, f'\n{command.group}\n')
        groups[command.group] = f'{heading}  {name:<14}{command.summary}\n'
    return _HEAD + ''.join(groups.values()) + _TAIL


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Run ``vifi-clip``, of ``sys.argv`` unless ``argv`` is given.

    A wrong setting, file or value is the user's to mend, so it ends in one
    line and needs no traceback. Any other error is a fault of ours and
    passes. Returns the exit code, as ``vifi-clip --help`` explains it.
    """
    open_closed_streams()
    with clean_output():
        return _main(argv)


def _main(argv: Optional[Sequence[str]]) -> int:
    first, *rest = list(sys.argv[1:] if argv is None else argv) or ['--help']
    try:
        try:
            if first in COMMANDS:
                return _run_command(first, rest) or DONE
            return _answer(first)
        finally:
            distributed = sys.modules.get('torch.distributed')
            if distributed and distributed.is_initialized():
                distributed.destroy_process_group()
            # At the very end Python would only complain, with exit code 120.
            sys.stdout.flush()
    except KeyboardInterrupt:
        decoding = sys.modules.get(
            'projects.vifi_clip.datasets.contained_video')
        if decoding:  # threads, waited for at the end, may wait for one
            decoding.end_decoders()
        print('\ninterrupted', file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        if not _close_broken():  # another pipe, to a process of ours
            raise
        return CLOSED_PIPE
    except Exception as error:
        short = _address_space(error)
        if (not (short or _is_users(error))
                or os.environ.get('VIFI_TRACEBACK', '0') != '0'):
            raise
        if os.environ.get('RANK', os.environ.get('SLURM_PROCID', '0')) == '0':
            # A terminal's line may hold half a progress bar.
            start = '\n' if sys.stderr.isatty() else ''
            print(f'{start}error: {short or shortened(_message(error))}',
                  file=sys.stderr)
        return WRONG_INPUT


def _run_command(name: str, argv: List[str]) -> Optional[int]:
    sys.argv = [f'vifi-clip {name}', *argv]  # argparse names the program by it
    module = importlib.import_module(
        f'projects.vifi_clip_tools.{COMMANDS[name].module}')
    options = module.parse_args(argv)  # leaves here for --help
    missing = [name for name in _NEEDED if not importlib.util.find_spec(name)]
    if missing:
        raise ValueError(
            f'{sys.executable} has no {", ".join(missing)}. Activate the '
            'environment that you installed into, or install: pip install -c '
            'constraints.txt -e . (in a checkout; bash tools/quickstart.sh '
            'does both)')
    _check_config(options)
    prepare()
    say_loading()
    return module.run(options)


def _check_config(options: Any) -> None:
    """Refuse a config that is not there, or knobs that it does not read,
    before torch is imported. One on the Hub is left to be fetched."""
    config = getattr(getattr(options, 'model', options), 'config', None)
    if isinstance(config, str) and not config.startswith(HUB):
        path = find_here(config)
        check_knobs(path, read_knobs(path))


def prepare(environ: MutableMapping[str, str] = os.environ) -> None:
    """Make CPU work fast, by what the user has not set, for this process and
    those that it starts.

    Must run before torch is imported: OpenMP reads its setting once. The
    allocator of this process is told through ``mallopt``, since glibc reads
    its variables before Python starts; the variables are for children.
    """
    # Threads that wait must not spin: data workers and other processes need
    # the cores (2 cores, one busy neighbour: 1.39 s a step spinning, 0.27 s
    # not).
    environ.setdefault('OMP_WAIT_POLICY', 'PASSIVE')
    if (platform.libc_ver()[0] != 'glibc'
            or any(name in environ for name, _, _ in _MALLOC)
            or 'glibc.malloc' in environ.get('GLIBC_TUNABLES', '')):
        return
    for name, number, value in _MALLOC:
        # mallopt takes an int; 2 GiB - 1 is its largest
        ctypes.CDLL(None).mallopt(number, min(value, 2**31 - 1))
        environ[name] = str(value)


def _answer(word: str) -> int:
    """Answer a first word that is no command."""
    if word in ('-h', '--help'):
        print(usage())
    elif word == '--version':
        print(f'vifi-clip {importlib.metadata.version("vifi_clip")}')
    elif word == '--root':
        print(root())
    else:
        near = difflib.get_close_matches(word.replace('_', '-'), COMMANDS, 1)
        hint = f'did you mean {near[0]!r}? ' if near else ''
        raise ValueError(f'there is no command {word!r}; {hint}'
                         'vifi-clip --help lists all commands')
    return DONE


def _is_users(error: Exception) -> bool:
    if isinstance(error, (ValueError, OSError, KeyError)):
        return True
    errors = sys.modules.get('projects.vifi_clip.errors')
    return errors is not None and isinstance(error, errors.UserError)


def _address_space(error: Exception) -> str:
    """Explain what too low a limit of the address space (ulimit -v) led to;
    '' for any other error. Libraries that cannot be loaded say nothing of
    it."""
    with suppress(ImportError):  # not on this system
        import resource
        limit, _ = resource.getrlimit(resource.RLIMIT_AS)
        if limit != resource.RLIM_INFINITY and (
                isinstance(error.__cause__ or error, MemoryError)
                or _NO_SPACE.search(str(error))):
            return (f'ulimit -v allows {limit / 1e9:.1f} GB of address space, '
                    'which is too little (the libraries reserve 4 to 6 GB, '
                    'however little memory is used): raise it, or limit '
                    'memory in another way')
    return ''


def _message(error: Exception) -> str:
    if isinstance(error, KeyError) and error.args:
        error = error.args[0]  # str(KeyError) would put it in quotes
    text = str(error)
    if text.startswith('Caught '):  # by a data worker, with its traceback
        text = text.rpartition('UserError: ')[2]
    return text.strip()


def _close_broken() -> bool:
    """Send output that nobody reads any more to nowhere; was there any?"""
    poll = select.poll()
    for stream in sys.stdout, sys.stderr:
        poll.register(stream, 0)
    broken = [descriptor for descriptor, event in poll.poll(0)
              if event & (select.POLLERR | select.POLLHUP)]
    for descriptor in broken:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, descriptor)
        os.close(nowhere)
    return bool(broken)
