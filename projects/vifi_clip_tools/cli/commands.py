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


COMMANDS: Dict[str, Command] = {
    'predict': Command(
        USE, 'recognise videos, with any labels', 'predict.command'),
    'demo': Command(
        USE, 'a web page: drop a video, type labels', 'demo.command'),
    'index': Command(
        USE, 'embed a folder of videos, to be searched',
        'search.index_command'),
    'search': Command(
        USE, 'find videos by words', 'search.search_command'),
    'export': Command(
        USE, 'write a model as ONNX or torch.export files', 'export.command'),
    'attention': Command(
        FIGURES, 'where the class token looks, over the frames',
        'attention.command'),
    'embed': Command(
        FIGURES, 'embeddings of videos, as .npz or .parquet',
        'embeddings.command'),
    'tsne': Command(
        FIGURES, 't-SNE or UMAP of embeddings, with scores of clusters',
        'tsne.command'),
    'complexity': Command(
        FIGURES, 'GFLOPs, parameters, speed and memory of configs',
        'complexity.command'),
    'quickstart': Command(
        RUNS, 'all of it on the small world, in minutes',
        'paper.quickstart_command'),
    'train': Command(
        RUNS, 'train a config', 'run.train'),
    'test': Command(
        RUNS, 'test a checkpoint', 'run.test'),
    'convert': Command(
        RUNS, 'checkpoints to and from OpenAI, OpenCLIP, transformers',
        'convert.command'),
    'matrix': Command(
        RUNS, "run the paper's tables, cell by cell", 'paper.matrix_command'),
    'report': Command(
        RUNS, "print the paper's tables from finished runs",
        'paper.report_command'),
    'splits': Command(
        DATA, 'lists of every protocol, from official annotations',
        'splits.command'),
    'check-data': Command(
        DATA, 'missing, broken and duplicate videos; leakage; counts',
        'doctor.command'),
    'mini-world': Command(
        DATA, 'render the small world, a data set to try things on',
        'mini_world.command'),
    'cache-frames': Command(
        DATA, 'embed frames once, to train the text side on',
        'embeddings.frames_command'),
}
