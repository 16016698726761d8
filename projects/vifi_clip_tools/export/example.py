#!/usr/bin/env python
"""Classify a clip with classifier.onnx: numpy and onnxruntime, no torch.

    python example.py              # random frames, to see that it runs
    python example.py clip.npy     # uint8 RGB frames [T, height, width, 3]
    python example.py clip.mp4     # needs OpenCV: pip install opencv-python
    python example.py clip.mp4 classifier_int8.onnx

Where video_encoder.onnx and text_encoder.onnx lie beside it, the same answer
is made a second time, from their embeddings; so are those of new labels.
"""
import json
import os
import sys

import numpy as np
import onnxruntime

HERE = os.path.dirname(os.path.abspath(__file__))


def load(name):
    """A session and the metadata of its file."""
    session = onnxruntime.InferenceSession(
        os.path.join(HERE, name), providers=['CPUExecutionProvider'])
    meta = session.get_modelmeta().custom_metadata_map
    return session, {key: json.loads(value) for key, value in meta.items()}


def run(session, x):
    """The output of a file for its one input."""
    return session.run(None, {session.get_inputs()[0].name: x})[0]


def read_video(path, meta):
    """Frames of a video as the model's own pipeline samples them."""
    import cv2
    video, frames = cv2.VideoCapture(path), []
    while (frame := video.read()[1]) is not None:
        frames.append(frame[..., ::-1])  # OpenCV's BGR to RGB
    if not frames:
        sys.exit(f'error: {path} cannot be read')
    # The frame in the middle of each of T equal segments.
    total = meta['num_frames']
    chosen = [(2 * i + 1) * len(frames) // (2 * total) for i in range(total)]
    return np.stack([resize(frames[i], meta, cv2) for i in chosen])


def resize(frame, meta, cv2):
    """A frame of the model's size: shorter side scaled, then the centre."""
    short = meta['resize_short_side']
    if short:
        scale = short / min(frame.shape[:2])
        height, width = (int(n * scale + 0.5) for n in frame.shape[:2])
        frame = cv2.resize(frame, (width, height))
    height, width = meta['image_size']
    top = (frame.shape[0] - height) // 2
    left = (frame.shape[1] - width) // 2
    return frame[top:top + height, left:left + width]


def read_frames(path, meta):
    """Frames uint8 [T, H, W, 3] from a file, or random ones."""
    height, width = meta['image_size']
    if path is None:
        shape = meta['num_frames'], height, width, 3
        return np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    frames = (np.load(path) if path.endswith('.npy') else
              read_video(path, meta))
    if frames.dtype != np.uint8 or frames.shape[1:] != (height, width, 3):
        sys.exit(f'error: {path} holds {frames.dtype} {frames.shape}; the '
                 f'model takes uint8 [T, {height}, {width}, 3]')
    return frames


def to_input(frames, meta):
    """Frames [T, H, W, 3] to the files' input, a batch of one clip."""
    if meta['normalised_inside']:
        return frames[None]
    mean, std = (np.array(meta[key], np.float32)
                 for key in ('pixel_mean', 'pixel_std'))
    x = (frames.astype(np.float32) - mean) / std
    return x.transpose(0, 3, 1, 2)[None]


def from_embeddings(x, meta):
    """Probabilities from the two encoders, as the classifier makes them."""
    video, text = load('video_encoder.onnx')[0], load('text_encoder.onnx')[0]
    with open(os.path.join(HERE, 'classes.json'), encoding='utf-8') as file:
        classes = json.load(file)
    sentences = run(text, np.array(classes['tokens'], np.int64))
    embeddings = np.zeros((len(classes['class_names']), meta['embed_dim']))
    if meta['text']['average'] == 'prob':
        # [K*M, D] of K classes, M templates each, to [M, K, D]
        embeddings = sentences.reshape(len(embeddings), -1, meta['embed_dim']
                                       ).swapaxes(0, 1)
    else:  # the embedding of a class is the mean of its sentences'
        np.add.at(embeddings, classes['owners'], sentences)
        embeddings = embeddings[None]
    embeddings /= np.linalg.norm(embeddings, axis=-1, keepdims=True)
    logits = meta['logit_scale'] * embeddings @ run(video, x)[0]
    # [M, K]; the mean probability
    scores = np.exp(logits - logits.max(axis=1, keepdims=True))
    return (scores / scores.sum(axis=1, keepdims=True)).mean(axis=0)


def main():
    """Print the five best classes."""
    path = sys.argv[1] if len(sys.argv) > 1 else None
    session, meta = load(sys.argv[2] if len(sys.argv) > 2 else
                         'classifier.onnx')
    x = to_input(read_frames(path, meta), meta)
    scores = run(session, x)[0]
    for i in scores.argsort()[::-1][:5]:
        print(f'{100 * scores[i]:6.2f}%  {meta["class_names"][i]}')
    beside = ('video_encoder.onnx', 'text_encoder.onnx', 'classes.json')
    if all(os.path.exists(os.path.join(HERE, name)) for name in beside):
        difference = np.abs(from_embeddings(x, meta) - scores).max()
        print(f'from the embeddings: the same to {difference:.1e}')


if __name__ == '__main__':
    main()
