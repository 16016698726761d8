"""The commands: what each is for, and where its code is."""
from typing import Dict, NamedTuple

USE, FIGURES, RUNS, DATA, SPEED = (
    'Use', 'Figures', 'Train and evaluate', 'Data', 'Measure')


class Command(NamedTuple):
    """One row of ``vifi-clip --help``.

    Attributes:
        group (str): Its heading.
        summary (str): One line, up to 62 characters.
        module (str): Below ``projects.vifi_clip``.
        fill (bool): It needs MMAction2's registries, which take seconds to
            fill. Defaults to True.
        alone (bool): It needs neither torch nor MMAction2, reads its own
            options and returns its exit code. Defaults to False.
    """

    group: str
    summary: str
    module: str
    fill: bool = True
    alone: bool = False


COMMANDS: Dict[str, Command] = {
    'predict': Command(
        USE, 'recognise videos, with any labels', 'apis.predict'),
    'demo': Command(
        USE, 'a web page: drop a video, type labels', 'apis.demo'),
    'index': Command(
        USE, 'embed a folder of videos, to be searched', 'apis.index'),
    'search': Command(
        USE, 'find videos by words', 'apis.search'),
    'export': Command(
        USE, 'write a model as ONNX or torch.export files', 'apis.export'),
    'attention': Command(
        FIGURES, 'where the class token looks, over the frames',
        'apis.attention'),
    'embed': Command(
        FIGURES, 'embeddings of videos, as .npz or .parquet', 'apis.embed'),
    'tsne': Command(
        FIGURES, 't-SNE or UMAP of embeddings, with scores of clusters',
        'apis.tsne'),
    'complexity': Command(
        FIGURES, 'GFLOPs, parameters, speed and memory of configs',
        'apis.complexity'),
    'quickstart': Command(
        RUNS, 'all of it on the small world, in minutes', 'apis.quickstart'),
    'train': Command(
        RUNS, 'train a config', 'apis.train'),
    'test': Command(
        RUNS, 'test a checkpoint', 'apis.test'),
    'convert': Command(
        RUNS, 'checkpoints to and from OpenAI, OpenCLIP, transformers',
        'apis.convert'),
    'matrix': Command(
        RUNS, "run the paper's tables, cell by cell", 'apis.run_matrix'),
    'report': Command(
        RUNS, "print the paper's tables from finished runs", 'apis.report'),
    'splits': Command(
        DATA, 'lists of every protocol, from official annotations',
        'datasets.splits.cli', alone=True),
    'check-data': Command(
        DATA, 'missing, broken and duplicate videos; leakage; counts',
        'datasets.doctor.cli', alone=True),
    'mini-world': Command(
        DATA, 'render the small world, a data set to try things on',
        'datasets.mini_world.cli', alone=True),
    'cache-frames': Command(
        DATA, 'embed frames once, to train the text side on',
        'apis.cache_frames'),
    'benchmark': Command(
        SPEED, 'speed and memory of evaluation and training',
        'apis.benchmark'),
    'bench-decode': Command(
        SPEED, 'which video reader suits these videos', 'apis.bench_decode'),
    'scale': Command(
        SPEED, 'the cost of a training step, on paper', 'apis.scale_model',
        fill=False),
}
