"""Closed forms of the cost of testing and training.

FLOPs count a multiplication and an addition as two (the paper's 281 GFLOPs
for 16 frames of ViT-B/16 count them as one). Letters: L tokens, W a tower's
width, r its MLP ratio, n layers, D the embedding.
"""
from dataclasses import dataclass, replace
from typing import Dict

TUNES = ('both', 'image', 'text', 'prompts', 'none')
STRATEGIES = ('ddp', 'fsdp')
_ADAM = 2  # moments of each trained parameter


@dataclass(frozen=True)
class Tower:
    """A transformer tower.

    Attributes:
        width, layers, tokens (int): W, n, L.
        embed_dim (int): D.
        mlp_ratio (float): r.
        patch_inputs (int): Numbers of a patch, 3 x P x P; 0 for text.
        table (int): Rows of token embeddings; 0 for images.
        one_token_last (bool): The last block's queries and MLP are computed
            of the one token that is read, as ours are.
    """
    width: int
    layers: int
    tokens: int
    embed_dim: int
    mlp_ratio: float = 4.0
    patch_inputs: int = 0
    table: int = 0
    one_token_last: bool = True

    @property
    def linear_flops(self) -> float:
        """Products of tokens with weights, of one sequence forward."""
        width, tokens, ratio = self.width, self.tokens, self.mlp_ratio
        layer = tokens * width**2 * (8 + 4 * ratio)
        total = self.layers * layer
        if self.one_token_last:
            # queries, output projection and MLP of all tokens but one
            total -= (tokens - 1) * width**2 * (4 + 4 * ratio)
        return total + 2 * width * self.embed_dim

    @property
    def patch_flops(self) -> float:
        """Pixels to tokens, of one image."""
        return 2 * (self.tokens - 1) * self.patch_inputs * self.width

    @property
    def attention_flops(self) -> float:
        """Products of tokens with tokens, of one sequence forward."""
        layer = 4 * self.tokens**2 * self.width
        rest = layer / self.tokens if self.one_token_last else layer
        return (self.layers - 1) * layer + rest

    @property
    def flops(self) -> float:
        """Of one sequence forward."""
        return self.patch_flops + self.linear_flops + self.attention_flops

    @property
    def parameters(self) -> int:
        """Weights that train; token embeddings do not."""
        layer = self.width**2 * (4 + 2 * self.mlp_ratio) + self.width * (
            9 + self.mlp_ratio)
        # norms; of images also the class token
        vectors = 5 if self.patch_inputs else 2
        rest = self.width * (self.patch_inputs + self.tokens + vectors +
                             self.embed_dim)
        return int(self.layers * layer + rest)

    def kept(self, checkpointing: bool = False) -> float:
        """Numbers kept of one sequence for the backward pass: the input and
        output of each norm, queries, keys and values, the attention's output
        and, twice, the MLP's hidden layer."""
        token = self.width * (8 + 2 * self.mlp_ratio)
        if checkpointing:  # each block's input, and one block at a time
            return self.tokens * (self.layers * self.width + token)
        return self.tokens * self.layers * token


IMAGE_B16 = Tower(768, 12, 197, 512, patch_inputs=3 * 16 * 16)
TEXT_B16 = Tower(512, 12, 77, 512, table=49408)


@dataclass(frozen=True)
class Work:
    """A step: one micro-batch of one process, forward or with backward.

    Attributes:
        frames, batch, classes (int): Of one micro-batch.
        tune (str): What trains; 'none' is a test.
        tokens (int): Length that the class texts are encoded to.
        accumulation (int): Micro-batches of an optimizer step.
        text_once (bool): The classes are encoded once per optimizer step,
            not per micro-batch.
        cached (bool): A text side that does not train is encoded beforehand.
        checkpointing (bool): Gradient checkpointing in both towers.
        class_chunk (int): Classes whose activations are held at a time; 0:
            all.
        bytes (int): Of a number in activations, 4, or 2 under bf16 autocast.
        processes (int): Each with a micro-batch.
        strategy (str): 'ddp' or 'fsdp'.
        image, text (Tower): Their shapes.

    Raises:
        ValueError: Unknown ``tune`` or ``strategy``, or a count below 1.
    """
    frames: int = 16
    batch: int = 1
    classes: int = 400
    tune: str = 'none'
    tokens: int = 77
    accumulation: int = 1
    text_once: bool = False
    cached: bool = True
    checkpointing: bool = False
    class_chunk: int = 0
    bytes: int = 4
    processes: int = 1
    strategy: str = 'ddp'
    image: Tower = IMAGE_B16
    text: Tower = TEXT_B16

    def __post_init__(self) -> None:
        if self.tune not in TUNES:
            raise ValueError(f'tune must be one of {TUNES}, got {self.tune!r}')
        if self.strategy not in STRATEGIES:
            raise ValueError(f'strategy must be one of {STRATEGIES}, got '
                             f'{self.strategy!r}')
        for name in ('frames', 'batch', 'classes', 'tokens', 'accumulation',
                     'processes'):
            if getattr(self, name) < 1:
                raise ValueError(f'{name} must be at least 1, got '
                                 f'{getattr(self, name)}')

    @property
    def text_tower(self) -> Tower:
        """The text tower at the length that is encoded."""
        return replace(self.text, tokens=self.tokens)

    @property
    def image_trains(self) -> bool:
        """Whether gradients pass through the image tower."""
        return self.tune in ('both', 'image', 'prompts')

    @property
    def text_trains(self) -> bool:
        """Whether gradients pass through the text tower."""
        return self.tune in ('both', 'text', 'prompts')


def tower_flops(tower: Tower, trains: bool, prompts: bool,
                checkpointing: bool) -> float:
    """Of one sequence, forward and, where it trains, backward: a product's
    two gradients cost as much as itself each; frozen weights and pixels need
    none."""
    if not trains:
        return tower.flops
    weights = tower.linear_flops if prompts else (
        2 * tower.linear_flops + tower.patch_flops)
    again = tower.flops if checkpointing else 0
    return tower.flops + again + weights + 2 * tower.attention_flops


def flops(work: Work) -> Dict[str, float]:
    """FLOPs of a micro-batch on one process, by part."""
    prompts = work.tune == 'prompts'
    image = work.batch * work.frames * tower_flops(
        work.image, work.image_trains, prompts, work.checkpointing)
    text = work.classes * tower_flops(work.text_tower, work.text_trains,
                                      prompts, work.checkpointing)
    if not work.text_trains and work.cached:
        text = 0.0
    elif work.text_trains and work.text_once:
        text /= work.accumulation
    passes = 1 if work.tune == 'none' else 3
    head = passes * 2 * work.batch * work.classes * work.image.embed_dim
    return dict(image=image, text=text, head=float(head))


def trained_parameters(work: Work) -> int:
    """Parameters with gradient and optimizer state; prompts count as 0."""
    image = work.image.parameters if work.tune in ('both', 'image') else 0
    text = work.text.parameters if work.tune in ('both', 'text') else 0
    return image + text


def memory(work: Work) -> Dict[str, float]:
    """Bytes on one process at a training step's peak, by part."""
    parameters = (work.image.parameters + work.text.parameters +
                  work.text.table * work.text.width)
    trained = trained_parameters(work)
    shards = work.processes if work.strategy == 'fsdp' else 1
    kept = 0.0
    if work.image_trains:
        kept += work.batch * work.frames * work.image.kept(work.checkpointing)
    if work.text_trains:
        held = min(work.class_chunk or work.classes, work.classes)
        kept += held * work.text_tower.kept(work.checkpointing)
    buckets = 1 if work.strategy == 'ddp' and work.processes > 1 else 0
    return dict(
        weights=4 * parameters / shards,
        gradients=4 * trained * (1 + buckets) / shards,
        optimizer=4 * _ADAM * trained / shards,
        activations=kept * work.bytes)


def traffic(work: Work) -> float:
    """Bytes that a process sends for an optimizer step.

    DDP adds up gradients once a step, in two rounds; FSDP gathers weights
    for the forward and for the backward, and scatters gradients, at each
    micro-batch.
    """
    share = (work.processes - 1) / work.processes
    trained = 4 * trained_parameters(work)
    if work.strategy == 'ddp':
        return 2 * share * trained
    parameters = 4 * (work.image.parameters + work.text.parameters +
                      work.text.table * work.text.width)
    return share * work.accumulation * (2 * parameters + trained)


@dataclass(frozen=True)
class Machine:
    """What a process runs on.

    Attributes:
        flops (float): FLOP/s that its matrix products reach in practice.
        bandwidth (float): Bytes/s to the other processes.
    """
    flops: float
    bandwidth: float = float('inf')


def seconds(work: Work, machine: Machine) -> float:
    """Time of an optimizer step (of a test: of a micro-batch), with nothing
    of the traffic hidden behind the computation."""
    steps = 1 if work.tune == 'none' else work.accumulation
    sending = 0.0 if work.tune == 'none' else traffic(work)
    return (steps * sum(flops(work).values()) / machine.flops +
            sending / machine.bandwidth)
