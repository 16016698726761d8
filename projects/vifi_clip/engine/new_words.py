"""A start for words that bundled weights have no embedding of."""
import torch
from mmaction.registry import HOOKS
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

from .fsdp2 import plain, shard
from .hooks import text_classifier_of


@HOOKS.register_module()
class NewWordsHook(Hook):
    """Gives the words of the classes that a training has, but the weights it
    starts from do not know, random embeddings.

    Bundled weights have zeros for such words, so that "arm wrestling" and
    "playing guitar" would be one class, also after training. All other
    unknown words stay zero, and are warned of where the model is used.
    """

    def before_train(self, runner: Runner) -> None:
        """Fill the rows; behind the loading of weights."""
        classifier = text_classifier_of(runner.model)
        table = getattr(getattr(classifier, 'text', None),
                        'token_embedding', None)
        if not isinstance(table, nn.Embedding):
            return
        whole = weight = table.weight.data
        if isinstance(weight, DTensor):  # of FSDP2: each fills its own shard
            whole = plain(weight, False)
        count = fill_empty_rows(whole, classifier.tokens.unique())
        if count:
            if whole is not weight:
                weight.copy_(shard(whole, weight))
            runner.logger.warning(
                f'{count} words, or pieces of words, of the classes are new '
                'to these weights, and start from random embeddings'
                + ('' if table.weight.requires_grad else
                   ', and keep them: embeddings of words do not train here'))


@torch.no_grad()
def fill_empty_rows(weight: Tensor, rows: Tensor) -> int:
    """Fill those of the rows [R] of a weight [V, W] that are zero with normal
    noise of the spread of the others, the same on each process; return how
    many they were."""
    known = weight[weight.any(-1)]
    rows = rows.to(weight.device)
    empty = rows[~weight[rows].any(-1)]
    if len(empty) and len(known):
        noise = torch.randn(len(empty), weight.shape[1],
                            generator=torch.Generator().manual_seed(0))
        weight[empty] = (noise * known.std().cpu()).to(weight)
    return len(empty) if len(known) else 0
