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
    (USE, 'predict', 'recognise videos, with any labels', 'predict.command'),
    (USE, 'demo', 'a web page: drop a video, type labels', 'demo.command'),
    (USE, 'index', 'embed a folder of videos, to be searched',
     'search.index_command'),
    (USE, 'search', 'find videos by words', 'search.search_command'),
    (USE, 'export', 'write a model as ONNX or torch.export files',
     'export.command'),
    (FIGURES, 'attention', 'where the class token looks, over the frames',
     'attention.command'),
    (FIGURES, 'embed', 'embeddings of videos, as .npz or .parquet',
     'embeddings.command'),
    (FIGURES, 'tsne', 't-SNE or UMAP of embeddings, with scores of clusters',
     'tsne.command'),
    (FIGURES, 'complexity', 'GFLOPs, parameters, speed and memory of configs',
     'complexity.command'),
    (RUNS, 'quickstart', 'all of it on the small world, in minutes',
     'paper.quickstart_command'),
    (RUNS, 'train', 'train a config', 'run.train'),
    (RUNS, 'test', 'test a checkpoint', 'run.test'),
    (RUNS, 'convert', 'checkpoints to and from OpenAI, OpenCLIP, transformers',
     'convert.command'),
    (RUNS, 'matrix', "run the paper's tables, cell by cell",
     'paper.matrix_command'),
    (RUNS, 'report', "print the paper's tables from finished runs",
     'paper.report_command'),
    (DATA, 'splits', 'lists of every protocol, from official annotations',
     'splits.command'),
    (DATA, 'check-data',
     'missing, broken and duplicate videos; leakage; counts',
     'doctor.command'),
    (DATA, 'mini-world', 'render the small world, a data set to try things on',
     'mini_world.command'),
    (DATA, 'cache-frames', 'embed frames once, to train the text side on',
     'embeddings.frames_command'),
)
COMMANDS: Dict[str, Command] = {
    name: Command(group, summary, module)
    for group, name, summary, module in _ROWS
}
