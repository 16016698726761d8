# vifi_clip with all extras, for CPUs (default) or CUDA:
#
#   docker build -t vifi_clip .
#   docker build -t vifi_clip:cuda --build-arg DEVICE=cuda .
#   docker run --rm -v "$PWD:/work" vifi_clip predict my_video.mp4 --config small_world
#   docker run --rm --gpus all --shm-size 8g -v "$PWD:/work" vifi_clip:cuda train vifi_k400
#
# PyTorch's CUDA build brings its own CUDA libraries: the host needs a driver.
FROM python:3.11-slim-bookworm

ARG DEVICE=cpu
# What OpenCV's wheel, which is not headless, loads.
RUN apt-get update \
    && apt-get install -y --no-install-recommends libgl1 libglib2.0-0 \
    && rm -rf /var/lib/apt/lists/*

COPY . /opt/vifi_clip
WORKDIR /opt/vifi_clip
# The versions of constraints.txt; those of torch's CPU builds have a suffix.
RUN case "$DEVICE" in \
        cpu) export PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu; \
            suffix=+cpu ;; \
        cuda) suffix= ;; \
        *) echo "DEVICE=$DEVICE: choose cpu or cuda" >&2; exit 2 ;; \
    esac \
    && sed -E "s/^(torch|torchvision)==(.*)/\1==\2$suffix/" constraints.txt \
        > /tmp/constraints.txt \
    && pip install --no-cache-dir -c /tmp/constraints.txt ".[all]"

WORKDIR /work
ENTRYPOINT ["vifi-clip"]
CMD ["--help"]
