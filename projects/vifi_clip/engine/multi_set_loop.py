"""One model tested on several sets, each with a class list of its own."""
import copy
import os.path as osp
from typing import Dict, List, Optional, Sequence

from mmaction.registry import LOOPS
from mmengine.evaluator import Evaluator
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner, TestLoop, ValLoop
from torch.utils.data import DataLoader

from ..evaluation.set_summary import summarise_sets

# What a set says about itself; the rest goes to its dataset.
_OWN = ('name', 'group')


class _MultiSet:
    """The part that validation and test have in common.

    Args:
        runner (Runner): The runner.
        dataloader (dict): What all sets share: batch size, pipeline, ...
        evaluator (dict | list): Metrics; every set gets its own.
        sets (Sequence[dict]): For each set ``name``, and whatever its dataset
            has of its own (``ann_file``, ``class_file``, ``data_prefix``).
            Sets with the same ``group`` are repetitions, whose mean and
            standard deviation are reported.
        harmonic_mean (Sequence[str], optional): Names of the base and the
            novel set.
        kwargs: Of MMEngine's loop.

    Raises:
        ValueError: Repeated or unknown names, a set without class list, or
            a model without a class list to exchange.
    """

    mode = ''  # 'val' or 'test', as in the names of hooks

    def __init__(self,
                 runner: Runner,
                 dataloader: dict,
                 evaluator,
                 sets: Sequence[dict],
                 harmonic_mean: Optional[Sequence[str]] = None,
                 **kwargs) -> None:
        _check_sets(sets, harmonic_mean)
        self.names = [one['name'] for one in sets]
        self.groups = _groups(sets)
        self.harmonic_mean = harmonic_mean
        # All of them now: a missing list or video shows before a long test.
        self.dataloaders: List[DataLoader] = [
            runner.build_dataloader(
                _with_set(dataloader, one), seed=runner.seed) for one in sets
        ]
        self.evaluators: List[Evaluator] = [
            runner.build_evaluator(_named(evaluator, name))
            for name in self.names
        ]
        for name, loader in zip(self.names, self.dataloaders):
            if not getattr(loader.dataset, 'class_names', None):
                raise ValueError(f'Set {name!r} has no class_file; each set '
                                 'is scored among its own classes.')
        super().__init__(runner, self.dataloaders[0], self.evaluators[0],
                         **kwargs)

    def run(self) -> Dict[str, float]:
        """Run all sets.

        Returns:
            dict[str, float]: See
            :func:`projects.vifi_clip.evaluation.summarise_sets`.
        """
        classifier = _classifier(self.runner.model)
        before = list(classifier.class_names)
        try:
            metrics = self._run(classifier)
        finally:  # training goes on with its own
            if classifier.class_names != before:
                classifier.set_classes(before)
        return metrics

    def _run(self, classifier) -> Dict[str, float]:
        found: Dict[str, Dict[str, float]] = {}
        for name, self.dataloader, self.evaluator in zip(
                self.names, self.dataloaders, self.evaluators):
            dataset = self.dataloader.dataset
            classifier.set_classes(dataset.class_names, source=f'set {name!r}')
            if not found:
                self.runner.call_hook(f'before_{self.mode}')
                self.runner.call_hook(f'before_{self.mode}_epoch')
                self.runner.model.eval()
            self.runner.logger.info(f'Set {name}: {len(dataset)} videos, '
                                    f'{len(dataset.class_names)} classes')
            self.evaluator.dataset_meta = dataset.metainfo
            for idx, data_batch in enumerate(self.dataloader):
                self.run_iter(idx, data_batch)
            found[name] = self.evaluator.evaluate(len(dataset))
        metrics = summarise_sets(found, self.groups, self.harmonic_mean)
        self.runner.call_hook(f'after_{self.mode}_epoch', metrics=metrics)
        self.runner.call_hook(f'after_{self.mode}')
        return metrics


@LOOPS.register_module()
class MultiSetValLoop(_MultiSet, ValLoop):
    """Validation on several sets; see :class:`_MultiSet`."""

    mode = 'val'


@LOOPS.register_module()
class MultiSetTestLoop(_MultiSet, TestLoop):
    """Test on several sets; see :class:`_MultiSet`."""

    mode = 'test'


def _check_sets(sets: Sequence[dict], harmonic_mean) -> None:
    names = [one.get('name') for one in sets]
    if not names or not all(names) or len(set(names)) < len(names):
        raise ValueError('sets needs at least one set, and each a name of '
                         f'its own; got {names}.')
    if harmonic_mean is not None and (
            len(harmonic_mean) != 2 or len(set(harmonic_mean)) != 2
            or set(harmonic_mean) - set(names)):
        raise ValueError(f'harmonic_mean={list(harmonic_mean)} must be two '
                         f'of the sets {names}.')
    if 'HM' in {*names, *(one.get('group') for one in sets)}:
        raise ValueError("'HM' is the harmonic mean; name the set or group "
                         'otherwise.')
    if any('/' in name for name in names):
        raise ValueError(f'names of sets, here {names}, become names of '
                         'files and metrics: no "/" in them.')
    taken = set(names) & {one.get('group') for one in sets}
    if taken:
        raise ValueError(f'{sorted(taken)} name both a set and a group; '
                         'rename one.')


def _groups(sets: Sequence[dict]) -> Dict[str, List[str]]:
    """Names of sets by group; a group of one has no spread."""
    groups: Dict[str, List[str]] = {}
    for one in sets:
        if one.get('group'):
            groups.setdefault(one['group'], []).append(one['name'])
    return {group: names for group, names in groups.items() if len(names) > 1}


def _with_set(dataloader: dict, one: dict) -> dict:
    cfg = copy.deepcopy(dataloader)
    cfg['dataset'].update(
        {key: value for key, value in one.items() if key not in _OWN})
    # The workers of each set would stay until the end.
    cfg['persistent_workers'] = False
    return cfg


def _named(evaluator, name: str):
    """A set's own metrics; dumped predictions go to a file of its own."""
    cfg = copy.deepcopy(evaluator)
    for metric in cfg if isinstance(cfg, list) else [cfg]:
        if metric.get('out_file_path'):
            stem, suffix = osp.splitext(metric['out_file_path'])
            metric['out_file_path'] = f'{stem}_{name}{suffix}'
    return cfg


def _classifier(model):
    model = model.module if is_model_wrapper(model) else model
    head = getattr(model, 'cls_head', None)
    classifier = getattr(head, 'text_classifier', None)
    if classifier is None:
        raise ValueError('Testing on sets with different classes needs a '
                         f'model with a text_classifier; {type(model)} has '
                         'none.')
    return classifier
