"""One model tested on several sets, each with a class list of its own."""
import copy
import os.path as osp
from typing import Dict, List, Optional, Sequence

from mmaction.registry import LOOPS
from mmengine.runner import Runner, TestLoop, ValLoop

from ..evaluation import summarise_sets
from .hooks import text_classifier_of


class _MultiSet:
    """The part that validation and test have in common.

    Args:
        dataloader (dict): What all sets share: batch size, pipeline, ...
        evaluator (dict | list): Metrics; every set gets its own.
        sets (Sequence[dict]): For each set ``name``, and whatever its dataset
            has of its own (``ann_file``, ``class_file``, ``data_prefix``).
            Sets with the same ``group`` are repetitions, whose mean and
            standard deviation are reported.
        harmonic_mean (Sequence[str], optional): Names of the base and the
            novel set.
        runner, kwargs: Of MMEngine's loop.

    Raises:
        ValueError: Repeated or unknown names, a set without class list, or
            a model without a class list to exchange.
    """

    mode = ''  # 'val' or 'test', as in the names of hooks

    def __init__(self, runner: Runner, dataloader: dict, evaluator,
                 sets: Sequence[dict],
                 harmonic_mean: Optional[Sequence[str]] = None,
                 **kwargs) -> None:
        _check_sets(sets, harmonic_mean)
        self.names = [part['name'] for part in sets]
        self.harmonic_mean = harmonic_mean
        groups: Dict[str, List[str]] = {}
        self.dataloaders, self.evaluators = [], []
        # All of them now: a missing list or video shows before a long test.
        for part in map(dict, sets):
            name, group = part.pop('name'), part.pop('group', None)
            if group:
                groups.setdefault(group, []).append(name)
            cfg = copy.deepcopy(dataloader)
            cfg['dataset'].update(part)
            # The workers of each set would stay until the end.
            cfg['persistent_workers'] = False
            loader = runner.build_dataloader(cfg, seed=runner.seed)
            if not getattr(loader.dataset, 'class_names', None):
                raise ValueError(f'Set {name!r} has no class_file; each set '
                                 'is scored among its own classes.')
            self.dataloaders.append(loader)
            self.evaluators.append(
                runner.build_evaluator(_named(evaluator, name)))
        self._check_classes(runner)
        # A group of one has no spread.
        self.groups = {k: v for k, v in groups.items() if len(v) > 1}
        super().__init__(runner, self.dataloaders[0], self.evaluators[0],
                         **kwargs)

    def _check_classes(self, runner: Runner) -> None:
        """See that the text side takes each set's classes: a description may
        be missing, or a name too long."""
        classifier = text_classifier_of(runner.model)
        if classifier is None:
            return
        before = list(classifier.class_names)
        for name, loader in zip(self.names, self.dataloaders):
            classifier.set_classes(loader.dataset.class_names,
                                   source=f'set {name!r}')
        classifier.set_classes(before)

    def run(self) -> Dict[str, float]:
        """Run all sets; see :func:`summarise_sets`."""
        classifier = text_classifier_of(self.runner.model)
        if classifier is None:
            raise ValueError('Sets of different classes need a text_classifier'
                             f'; {type(self.runner.model)} has none.')
        runner, results = self.runner, {}
        before = list(classifier.class_names)
        try:
            for name, self.dataloader, self.evaluator in zip(
                    self.names, self.dataloaders, self.evaluators):
                dataset = self.dataloader.dataset
                names = dataset.class_names
                classifier.set_classes(names, source=f'set {name!r}')
                if not results:
                    runner.call_hook(f'before_{self.mode}')
                    runner.call_hook(f'before_{self.mode}_epoch')
                    runner.model.eval()
                runner.logger.info(f'Set {name}: {len(dataset)} videos, '
                                   f'{len(names)} classes')
                self.evaluator.dataset_meta = dataset.metainfo
                for batch in enumerate(self.dataloader):
                    self.run_iter(*batch)
                results[name] = self.evaluator.evaluate(len(dataset))
            metrics = summarise_sets(results, self.groups, self.harmonic_mean)
            runner.call_hook(f'after_{self.mode}_epoch', metrics=metrics)
            runner.call_hook(f'after_{self.mode}')
            return metrics
        finally:  # training goes on with its own
            if classifier.class_names != before:
                classifier.set_classes(before)


@LOOPS.register_module()
class MultiSetValLoop(_MultiSet, ValLoop):
    """Validation on several sets; see :class:`_MultiSet`."""

    mode = 'val'


@LOOPS.register_module()
class MultiSetTestLoop(_MultiSet, TestLoop):
    """Test on several sets; see :class:`_MultiSet`."""

    mode = 'test'


def _check_sets(sets: Sequence[dict], harmonic_mean) -> None:
    names = [part.get('name') for part in sets]
    groups = {part.get('group') for part in sets}
    if (not names or not all(names) or len(set(names)) < len(names)
            or 'HM' in {*names, *groups} or set(names) & groups
            or any('/' in name for name in names)):
        # They become names of metrics, and of files.
        raise ValueError(f'sets needs at least one set; the sets {names} and '
                         'their groups need names of their own, none with "/" '
                         'and none "HM", which is the harmonic mean.')
    if harmonic_mean is not None and (
            len(harmonic_mean) != 2 or len(set(harmonic_mean)) != 2
            or set(harmonic_mean) - set(names)):
        raise ValueError(f'harmonic_mean={list(harmonic_mean)} must be two '
                         f'of the sets {names}.')


def _named(evaluator, name: str):
    """A set's own metrics; dumped predictions go to a file of its own."""
    cfg = copy.deepcopy(evaluator)
    for metric in cfg if isinstance(cfg, list) else [cfg]:
        if metric.get('out_file_path'):
            stem, suffix = osp.splitext(metric['out_file_path'])
            metric['out_file_path'] = f'{stem}_{name}{suffix}'
    return cfg
