"""The commands: what each is for, and where its code is."""
from typing import Dict, NamedTuple

USE, FIGURES, RUNS, DATA = 'Use', 'Figures', 'Train and evaluate', 'Data'


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
    ('demo', USE, 'a web page: drop a video, type labels', 'demo.command'),
    ('index', USE, 'embed a folder of videos, to be searched',
     'search.index_command'),
    ('search', USE, 'find videos by words', 'search.search_command'),
    ('export', USE, 'write a model as ONNX or torch.export files',
     'export.command'),
    ('attention', FIGURES, 'where the class token looks, over the frames',
     'attention.command'),
    ('embed', FIGURES, 'embeddings of videos, as .npz or .parquet',
     'embeddings.command'),
    ('tsne', FIGURES, 't-SNE or UMAP of embeddings, with scores of clusters',
     'tsne.command'),
    ('complexity', FIGURES, 'GFLOPs, parameters, speed and memory of configs',
     'complexity.command'),
    ('quickstart', RUNS, 'all of it on the small world, in minutes',
     'paper.quickstart_command'),
    ('train', RUNS, 'train a config', 'run.train'),
    ('test', RUNS, 'test a checkpoint', 'run.test'),
    ('convert', RUNS, 'checkpoints to and from OpenAI, OpenCLIP, transformers',
     'convert.command'),
    ('matrix', RUNS, "run the paper's tables, cell by cell",
     'paper.matrix_command'),
    ('report', RUNS, "print the paper's tables from finished runs",
     'paper.report_command'),
    ('splits', DATA, 'lists of every protocol, from official annotations',
     'splits.command'),
    ('check-data', DATA,
     'missing, broken and duplicate videos; leakage; counts',
     'doctor.command'),
    ('mini-world', DATA, 'render the small world, a data set to try things on',
     'mini_world.command'),
    ('cache-frames', DATA, 'embed frames once, to train the text side on',
     'embeddings.frames_command'),
)
COMMANDS: Dict[str, Command] = {name: Command(*row) for name, *row in _ROWS}
