"""REBUILD: until the index uses ``window_embeddings``."""


def embed_windows(inferencer, video, window):
    import torch.nn.functional as F
    found = inferencer.window_embeddings(video, window, window)
    return (F.normalize(found.embeddings.float(), dim=-1).cpu().numpy(),
            found.spans)
