"""Class names to class embeddings through CLIP's text tower.

Letters: K classes, S sentences (K times the number of templates, or as many
as the descriptions have), D the embedding.
"""
from typing import Dict, List, Optional, Sequence, Union

import torch
import torch.nn.functional as F
from mmaction.registry import MODELS
from mmengine.dist import broadcast, get_rank, get_world_size
from mmengine.logging import print_log
from mmengine.model import BaseModule
from torch import Tensor

from ..architectures import Arch, build_tokenizer, get_arch_cfg
from ..datasets.class_descriptions import (find_descriptions,
                                           read_class_descriptions)
from ..datasets.class_list import check_class_names, read_class_list
from .blocks import DeepPrompts, check_prompt_cfg
from .class_embeddings import (ClassAccumulation, EmbeddingCache,
                               gather_classes, share_classes)
from .class_sentences import (Templates, applied_templates, check_templates,
                              class_sentences)
from .sentence_draw import sentences_at, with_fixed
from .text_tower import (encode_chunk, encode_tokens, is_causal,
                         tokenize)
from .towers import build_text_tower, load_pretrained


@MODELS.register_module()
class CLIPTextClassifier(BaseModule):
    """The text side of CLIP as the weights of a classifier, [K, D].

    ViFi-CLIP section 4: the class name in a prompt, embedded at its
    end-of-text token. No checkpoint holds what depends on the label set, so
    weights load under any.

    Args:
        arch (str | dict): OpenCLIP model name or architecture dict.
        pretrained (str, optional): As for :class:`CLIPVisionBackbone`.
        class_names (Sequence[str], optional): Index = label.
        class_file (str, optional): File of class names instead; see
            :func:`read_class_list`.
        templates (str | Sequence[str], optional): With ``{}`` (or
            ``{class}``) where the class goes, ``{description}`` where a
            sentence about it does, or both; several are averaged after
            normalisation and renormalised. Or a name of
            :data:`NAMED_TEMPLATES`. Defaults to None: ``'a photo of a
            {}.'``, or ``'{}.'`` behind learnt prompts.
        description_file (str | Sequence[str], optional): Files of
            :func:`read_class_descriptions`; a label set takes the first that
            describes all of it. In place of the templates if none has a
            place for them.
        random_template (bool | str): In training, a class is embedded by one
            of its sentences, drawn each time, and by all of them in tests.
            With 'shared', all classes, in all processes, by that of one
            template. Defaults to False: always by all.
        always_templates (Sequence[str]): Of the templates, those that are
            not drawn, but averaged with the one that is. Defaults to none.
        average (str): Of several templates, the mean of the 'embedding', or
            of the classes' 'prob' in tests: embeddings are [M, K, D] then,
            of M templates each; 'raw' is the mean of embeddings before they
            have length 1. Defaults to 'embedding'.
        normalize (bool): Embeddings have length 1. Defaults to True; False
            leaves them as the tower gives them, for a module that goes on
            from there, and takes their plain mean over templates.
        prompts (dict, optional): ``length``, ``depth`` and optionally
            ``init`` of deep text prompts; or a module with a ``type``, see
            :class:`ContextPrompts`. Defaults to None.
        frozen (bool): Nothing on this side trains. Defaults to False.
        tokenizer (str, optional): See :func:`build_tokenizer`.
        grad_checkpointing (bool): Defaults to False.
        max_graph_tokens (int, optional): Tokens whose activations may be
            kept for the backward pass (ViT-B/16: about 0.4 MB each; 400
            classes have some 5,000). More are encoded in pieces of a quarter
            of this, recomputed in the backward pass: bounded memory for a
            third more work. None: no bound. Defaults to 16384.
        shard_classes (bool, optional): Each process encodes a part of the
            classes and gathers the rest, with gradient. All processes must
            then call together, or they wait for ever. True does so without
            gradient, too. Defaults to None: only with gradient, for which
            DDP needs all of them anyway.

    Raises:
        ValueError: Bad class list, template, prompt setting or checkpoint.
    """

    def __init__(self, arch: Arch, pretrained: Optional[str] = None,
                 class_names: Optional[Sequence[str]] = None,
                 class_file: Optional[str] = None,
                 templates: Optional[Templates] = None,
                 description_file: Union[str, Sequence[str], None] = None,
                 random_template: Union[bool, str] = False,
                 always_templates: Sequence[str] = (),
                 average: str = 'embedding', normalize: bool = True,
                 prompts: Optional[dict] = None, frozen: bool = False,
                 tokenizer: Optional[str] = None,
                 grad_checkpointing: bool = False,
                 max_graph_tokens: Optional[int] = 16384,
                 shard_classes: Optional[bool] = None,
                 init_cfg: Optional[dict] = None) -> None:
        super().__init__(init_cfg=init_cfg)
        if (class_names is None) == (class_file is None):
            raise ValueError('Give either class_names or class_file.')
        if max_graph_tokens is not None and (
                type(max_graph_tokens) is not int or max_graph_tokens < 1):
            raise ValueError('max_graph_tokens must be None or a whole number '
                             f'of at least 1, got {max_graph_tokens!r}')
        if shard_classes not in (True, False, None):
            raise ValueError('shard_classes must be True, False or None, got '
                             f'{shard_classes!r}')
        if average not in ('embedding', 'prob', 'raw'):
            raise ValueError("average must be 'embedding', 'prob' or 'raw', "
                             f'got {average!r}')
        if random_template not in (True, False, 'shared'):
            raise ValueError("random_template must be True, False or 'shared'"
                             f', got {random_template!r}')
        self.random_template, self.average = random_template, average
        self.always_templates = list(always_templates)
        self.normalize = normalize
        names = read_class_list(class_file) if class_file else class_names
        self.embed_dim = get_arch_cfg(arch)['embed_dim']
        self.pretrained = pretrained
        self.frozen, self.grad_checkpointing = frozen, grad_checkpointing
        self.max_graph_tokens = max_graph_tokens
        self.shard_classes = shard_classes
        self.class_accumulation = ClassAccumulation()
        self.text = build_text_tower(arch)
        scale = load_pretrained(self.text, 'text', arch, pretrained)
        # CLIP's start value, for random weights: 1 / 0.07
        self.init_logit_scale = 2.6592600 if scale is None else scale
        self.tokenizer = build_tokenizer(arch, tokenizer)
        (self.prompts, self.context,
         self.context_behind) = self._build_prompts(prompts)
        self.templates = check_templates(
            templates, '{}.' if self.prompts else 'a photo of a {}.')
        files = ([description_file] if isinstance(description_file, str)
                 else description_file or [])
        self.descriptions = {file: read_class_descriptions(file, names)
                             for file in files} or None
        if frozen:
            self.requires_grad_(False)
        self.embedding_cache = EmbeddingCache()
        self.set_classes(names, source=class_file or 'class_names')

    # What runs sentences, [S, L] to [S, D].
    encode = staticmethod(encode_chunk)

    def init_weights(self) -> None:
        """Do nothing: the weights come with the tower."""
        self._is_init = True

    def _build_prompts(self, prompts: Optional[dict]):
        """The prompts, and the words before and behind each class that hold
        their places. As in the release, the tokens start from ``init`` when
        it has enough of them, and at random otherwise."""
        if prompts is None:
            return None, '', ''
        own = 'type' in prompts
        cfg = dict(prompts) if own else check_prompt_cfg(
            prompts, ('length', 'depth', 'init'))
        if not is_causal(self.text) or not hasattr(self.tokenizer, 'encode'):
            raise ValueError('prompts need a causal text tower with CLIP\'s '
                             'tokenizer: leave them out, or change arch.')
        if own:
            module = MODELS.build(dict(cfg, width=self.text.width))
            return module, 'X ' * module.before, ' X' * module.behind
        init = cfg.pop('init', None)
        module = DeepPrompts(
            **cfg, width=self.text.width, start=1,
            num_layers=len(self.text.transformer.resblocks))
        ids = self.tokenizer.encode(init) if init else []
        if len(ids) >= module.length:
            ids = torch.tensor(ids[:module.length])
            with torch.no_grad():
                module.tokens[0] = self.text.token_embedding(ids)
            return module, init + ' ', ''
        if init:
            print_log(f'prompts.init={init!r} has fewer than {module.length} '
                      'tokens: a random start instead', 'current')
        return module, 'X ' * module.length, ''

    @property
    def trains(self) -> bool:
        """Whether anything on this side does."""
        return any(p.requires_grad for p in self.parameters())

    @property
    def num_classes(self) -> int:
        """K, the size of the present label set."""
        return len(self.class_names)

    @property
    def filled_templates(self) -> List[str]:
        """The templates, or '{description}' where descriptions stand in their
        place."""
        return applied_templates(self.templates, self.descriptions is not None)

    def set_classes(self, names: Sequence[str],
                    descriptions: Optional[Dict[str, List[str]]] = None,
                    source: str = 'set_classes',
                    templates: Optional[Templates] = None) -> None:
        """Swap the label set of a live model.

        Args:
            names (Sequence[str]): Class names; underscores become spaces.
            descriptions (dict[str, list[str]], optional): Sentences for each
                class. Defaults to None: those of ``description_file``.
            source (str): Named in errors.
            templates (str | Sequence[str], optional): In place of the
                present ones, from now on.

        Raises:
            ValueError: A bad name, description, template or a prompt longer
                than the context. The old set stays.
        """
        names = check_class_names(names, source)
        templates = check_templates(templates, self.templates)
        files = {source: descriptions} if descriptions else self.descriptions
        sentences = self._tokens(
            names, templates, files and find_descriptions(files, names))
        # Gradients that wait belong to the old classes' sentences.
        self.class_accumulation.flush()
        for name, value in zip(('tokens', 'ends', 'owners', 'always'),
                               sentences):
            # Not in the state dict: checkpoints are free of the label set.
            self.register_buffer(name, value, persistent=False)
        self.class_names, self.templates = names, templates
        self.embedding_cache.clear()

    def _tokens(self, names: Sequence[str], templates: Sequence[str],
                descriptions: Optional[List[List[str]]]) -> tuple:
        """Of S sentences: tokens [S, L], ends [S], their classes [S], and
        1 for those that are never drawn [S]."""
        sentences = class_sentences(names, templates, descriptions,
                                    self.always_templates)
        owners = torch.tensor([s.label for s in sentences])
        if self.average == 'prob' and len(set(
                torch.bincount(owners).tolist())) > 1:
            raise ValueError("average='prob' needs equally many descriptions "
                             'of each class; leave it out')
        tokens, ends = tokenize(
            self.text, self.tokenizer,
            [self.context + s.text + self.context_behind for s in sentences],
            [names[s.label] for s in sentences])
        device = self.text.positional_embedding.device
        return tuple(x.to(device) for x in (
            tokens, ends, owners,
            torch.tensor([int(s.always) for s in sentences])))

    @torch.no_grad()
    def embed_texts(self, texts: Sequence[str],
                    templates: Optional[Templates] = None) -> Tensor:
        """Embeddings [M, D] of M other texts, each of length 1, by
        ``templates`` or those of the classes; the label set stays."""
        texts = check_class_names(texts, 'texts')
        templates = check_templates(templates, self.templates)
        return self._encode_sentences(
            *self._tokens(texts, templates, None)[:3], len(texts))

    def class_embeddings(self) -> Tensor:
        """One embedding of each class, [K, D]: the mean of its templates
        where ``average`` is 'prob' and each has its own."""
        classes = self()
        return classes if classes.ndim == 2 else F.normalize(
            classes.mean(0), dim=-1)

    def forward(self, labels: Optional[Tensor] = None) -> Tensor:
        """Class embeddings [K, D], each of length 1, or [M, D] of the classes
        ``labels`` [M]; with gradient only where the text side trains. [M, K,
        D] without gradient where ``average`` is 'prob'."""
        params = list(self.parameters())
        if torch.is_grad_enabled() and (self.trains or self._draws):
            if labels is not None:  # of this batch alone: not shared
                if self._draws:
                    chosen, rows = self._draw(labels).unique(
                        return_inverse=True)
                    return self._encode_drawn(chosen)[rows]
                subset, rows = labels.unique(return_inverse=True)
                return self._encode(subset)[rows]
            if not self.trains:
                return self._encode_all()  # of other sentences each time
            classes = self.class_accumulation.kept(params)
            if classes is None:
                classes = self._encode_all()
            return self.class_accumulation.connect(classes, params)
        classes = self.embedding_cache.get(params)
        if classes is None:
            with torch.inference_mode(False), torch.no_grad():
                classes = self._encode_all()
            self.embedding_cache.put(params, classes)
        return classes if labels is None else classes[..., labels, :]

    @property
    def _draws(self) -> bool:
        return (self.random_template and self.training
                and torch.is_grad_enabled())

    def _draw(self, labels: Tensor) -> Tensor:
        """Draw the index of a sentence for each of the classes [M]."""
        labels = labels.to(self.owners.device)
        shared = self.random_template == 'shared'
        chance = torch.rand(1 if shared else len(labels), device=labels.device)
        if shared:  # the processes encode parts of one set of classes
            broadcast(chance)
        return sentences_at(chance, labels, self.owners, self._fixed)

    @property
    def _fixed(self) -> Optional[Tensor]:
        return self.always if self.always_templates else None

    def _encode_drawn(self, drawn: Tensor) -> Tensor:
        """Sentences of indices [M], to [M, D]."""
        rows, places = with_fixed(drawn, self.owners, self._fixed)
        return self._encode_sentences(self.tokens[rows], self.ends[rows],
                                      places, len(drawn))

    def _encode_all(self) -> Tensor:
        """[K, D], encoded here or by all processes together."""
        shard, world_size = self.shard_classes, get_world_size()
        if shard is None:
            shard = torch.is_grad_enabled()
        # FSDP gathers weights at each call of a block, and all processes
        # must make the same calls.
        if not shard or world_size == 1 or any(
                hasattr(p, 'to_local') for p in self.parameters()):
            return self._encode()
        costs = torch.zeros(self.num_classes, dtype=torch.long).index_add_(
            0, self.owners.cpu(), self.ends.cpu() + 1)
        share, rows = share_classes(costs, get_rank(), world_size)
        return gather_classes(self._encode(share), rows)

    def _encode(self, subset: Optional[Tensor] = None) -> Tensor:
        """All classes, or those of ascending indices [M] without repeats."""
        if self._draws:
            return self._encode_drawn(self._draw(
                torch.arange(self.num_classes) if subset is None else subset))
        if subset is None:
            apart = self.average == 'prob' and not torch.is_grad_enabled()
            x = self._encode_sentences(
                self.tokens, self.ends, self.owners,
                len(self.tokens) if apart else self.num_classes)
            return x.unflatten(0, (self.num_classes, -1)).transpose(
                0, 1) if apart else x
            # [K*M, D] -> [M, K, D]
        subset = subset.to(self.owners.device)
        chosen = torch.isin(self.owners, subset)
        owners = torch.searchsorted(subset, self.owners[chosen])
        return self._encode_sentences(self.tokens[chosen], self.ends[chosen],
                                      owners, len(subset))

    def _encode_sentences(self, tokens: Tensor, ends: Tensor, owners: Tensor,
                          num_classes: int) -> Tensor:
        """Sentences [S, L] to their classes' embeddings [K, D]."""
        x = encode_tokens(self.text, tokens, ends, self.prompts,
                          self.grad_checkpointing, self.max_graph_tokens,
                          self.encode)
        x = x.float()
        # [S, D]
        if self.normalize and (self.average != 'raw' or len(x) == num_classes):
            x = F.normalize(x, dim=-1)
        if len(x) == num_classes:
            return x
        x = x.new_zeros(num_classes, x.shape[1]).index_add(0, owners, x)
        if not self.normalize:
            counts = torch.bincount(owners, minlength=num_classes)
            return x / counts[:, None]
        # The mean of unit vectors and their sum point the same way.
        return F.normalize(x, dim=-1)
        # [S, D] -> [K, D]

    def train(self, mode: bool = True) -> 'CLIPTextClassifier':
        """Set the mode; the next call checks kept embeddings in full."""
        super().train(mode)
        self.embedding_cache.suspect()
        if self.frozen:
            self.text.eval()
        return self
