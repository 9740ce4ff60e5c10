# my_temporal.py
import torch

from backbone.common.rows import repeat_rows
from backbone.fusion.temporal import TemporalMode, register_temporal


@register_temporal
class Half(TemporalMode):
    """Each block sees the mean of this frame's features and the last one's."""

    name = "half"  # FusionBackbone(cnn, temporal="half")

    def convolve(self, name, block, x, chunk):
        x = x.unflatten(0, (-1, chunk.frames))
        past = None if chunk.past is None else repeat_rows(chunk.past[name], len(x))
        before = torch.zeros_like(x[:, :1]) if past is None else past[:, None]
        chunk.kept[name] = x[:, -1]
        return block.convolve(((x + torch.cat([before, x[:, :-1]], 1)) / 2).flatten(0, 1))
