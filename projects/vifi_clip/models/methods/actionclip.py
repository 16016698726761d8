"""ActionCLIP (arXiv 2109.08472): its loss, and the temporal modules that its
code offers beside Transf, which is :class:`TemporalTransformer`.

Letters: N views, T frames, D embedding, B pairs of the batch.
"""
import torch
import torch.nn.functional as F
from mmaction.registry import MODELS
from torch import Tensor, nn

from ..contrastive_loss import CLIPContrastiveLoss

_SHARPNESS = 10  # of the targets: softmax(10) over pairs of one label


@MODELS.register_module()
class KLContrastiveLoss(CLIPContrastiveLoss):
    """The mean of the divergences KL(target || prediction) of videos over
    texts and of texts over videos, where the target of a row is the softmax
    of 10 for pairs of one label and 0 for others."""

    def compare(self, logits: Tensor, same: Tensor) -> Tensor:
        """Return the loss of logits [B, B], as its base does."""
        target = (_SHARPNESS * same).softmax(dim=1)  # symmetric, as ``same``
        by_video, by_text = (
            F.kl_div(x.log_softmax(dim=1), target, reduction='batchmean')
            for x in (logits, logits.T))
        return (by_video + by_text) / 2


@MODELS.register_module()
class TemporalLSTM(nn.Module):
    """One LSTM layer over time, and the input added to its output; [N, T, D]
    to the same. Weights start as PyTorch's."""

    def __init__(self, embed_dim: int) -> None:
        super().__init__()
        self.lstm = nn.LSTM(embed_dim, embed_dim, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        """Let each frame see those before it."""
        # Autocast knows no LSTM on CPU.
        with torch.autocast('cpu', enabled=False):
            return x + self.lstm(x.float())[0]


@MODELS.register_module()
class TemporalConv(nn.Module):
    """A convolution of each channel over 3 frames, and the input added to its
    output; [N, T, D] to the same. It starts as a shift: a quarter of the
    channels from the frame before, a quarter from the one behind.

    Args:
        embed_dim (int): D.
        reinterpret (bool): Read the memory of [T, D] as [D, T] first, as the
            released code does, which its weights were trained with. Defaults
            to False.
    """

    def __init__(self, embed_dim: int, reinterpret: bool = False) -> None:
        super().__init__()
        self.reinterpret = reinterpret
        self.conv = nn.Conv1d(embed_dim, embed_dim, 3, padding=1,
                              groups=embed_dim, bias=False)
        quarter = embed_dim // 4
        taps = torch.ones(embed_dim, dtype=torch.long)
        taps[:quarter], taps[embed_dim - quarter:] = 0, 2
        with torch.no_grad():
            self.conv.weight.copy_(F.one_hot(taps, 3)[:, None])

    def forward(self, x: Tensor) -> Tensor:
        """Let each frame see its neighbours."""
        y = x.reshape(x.shape[0], x.shape[2], -1) if (
            self.reinterpret) else x.transpose(1, 2)
        # [N, T, D] -> [N, D, T]
        return x + self.conv(y).transpose(1, 2)


@MODELS.register_module()
class TemporalClassToken(nn.Module):
    """PyTorch's transformer encoder over a learnt token and the frames, with
    positions; [N, T, D] to what becomes of the token, [N, 1, D].

    Args:
        embed_dim (int): D.
        num_frames (int): T, which has to be the head's.
        depth, num_heads (int): Default to 6 and 8.
    """

    def __init__(self, embed_dim: int, num_frames: int, depth: int = 6,
                 num_heads: int = 8) -> None:
        super().__init__()
        self.frame_counts = num_frames, num_frames  # the least and the most
        self.token = nn.Parameter(torch.empty(1, 1, embed_dim))
        self.positions = nn.Parameter(
            torch.empty(1, num_frames + 1, embed_dim))
        self.encoder = nn.TransformerEncoder(
            nn.TransformerEncoderLayer(embed_dim, num_heads,
                                       batch_first=True),
            depth, norm=nn.LayerNorm(embed_dim), enable_nested_tensor=False)
        linear = [m for m in self.encoder.modules()
                  if isinstance(m, nn.Linear)]
        for weight in self.token, self.positions, *(m.weight for m in linear):
            nn.init.trunc_normal_(weight, std=0.02, a=-0.04, b=0.04)
        for module in linear:
            nn.init.zeros_(module.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Gather the frames in the token; ValueError for another T."""
        if x.shape[1] + 1 != self.positions.shape[1]:
            raise ValueError(f'{x.shape[1]} frames, but '
                             f'num_frames={self.positions.shape[1] - 1}')
        # Not len(x), which would fix the batch size of an exported graph.
        x = torch.cat([self.token.expand(x.shape[0], -1, -1), x], dim=1)
        return self.encoder(x + self.positions)[:, :1]
