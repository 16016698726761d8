"""``--engine ray``: work on very many videos, on the machines of a cluster.

Ray Data hands blocks of jobs to workers, and those of a worker that dies to
another. The process of the command alone takes results and writes them, so
that what is done, and how to go on later, is each command's own.
"""
import logging
import os
import pickle
import socket
from functools import partial
from typing import Any, Callable, Dict, Iterable, Iterator, Sequence, Tuple

from projects.vifi_clip.errors import UserError, need

from .options import EngineOptions

_BLOCK = 16  # jobs that are lost with a worker, at most
_RETRIES = 3  # of a block whose worker died: one of its jobs may be why
_PATIENCE = 10  # seconds


def numbered(work: Callable[..., Iterable], jobs: Sequence,
             options: EngineOptions, model: Any = None, device: str = 'auto'
             ) -> Iterator[Tuple[int, Any]]:
    """Do jobs, and yield the number of each with its result.

    Args:
        work: Called with the model, if there is one, and a list of jobs,
            it yields a result for each, in order. It must be importable.
        jobs (Sequence): With Ray, in any order, each once.
        options (EngineOptions): Here, or on a cluster.
        model (ViFiCLIPInferencer, optional): With Ray, each worker gets a
            copy, on a GPU if the cluster has some.
        device (str): 'cpu' leaves the GPUs of a cluster alone.

    Raises:
        UserError: Ray is not installed, or there is no such cluster; what
            ``work`` raises as one; a worker died again and again.
    """
    given = () if model is None else (model, )
    if not jobs:
        return
    if options.engine == 'local':
        yield from enumerate(work(*given, list(jobs)))
        return
    # Read at import. Ray would tell its makers of each cluster.
    os.environ.setdefault('RAY_USAGE_STATS_ENABLED', '0')
    os.environ.setdefault('RAY_BACKEND_LOG_LEVEL', 'fatal')
    ray = need('ray', 'ray')
    need('ray.data', 'ray')
    _connect(ray, options.ray_address)
    try:
        yield from _results(ray, partial(work, *given), jobs, options,
                            model, device)
    except ray.exceptions.RayError as error:
        if isinstance(error, (ray.exceptions.RayTaskError,
                              ray.exceptions.UserCodeException)):
            raise  # a fault of ours
        raise UserError(
            f'Ray gave up ({_line(error)}); the same command resumes from '
            'here. A worker that dies again and again may lack memory: give '
            'fewer --ray-workers') from error
    finally:
        ray.shutdown()


def by_method(model: Any, jobs: Sequence, name: str, **settings: Any
              ) -> Iterable:
    """Do jobs by the method of a model, such as 'embed'."""
    return getattr(model, name)(jobs, **settings)


def _connect(ray: Any, address: Any) -> None:
    """Join a cluster, or start one on this machine."""
    address = address or os.environ.get('RAY_ADDRESS')
    try:
        if address and address != 'auto':
            # Ray itself would wait for minutes.
            host, _, port = address.rpartition(':')
            socket.create_connection((host, int(port)), _PATIENCE).close()
        ray.init(address, log_to_driver=False, logging_level=logging.ERROR)
    except Exception as error:  # of Ray, of any kind
        where = (f'joined at {address}' if address else
                 'started on this machine')
        raise UserError(
            f'no Ray cluster can be {where}: {_line(error)}; --ray-address '
            "takes the HOST:PORT that `ray start --head` printed, or 'auto' "
            'on a machine of the cluster') from error
    ray.data.DataContext.get_current().enable_progress_bars = False
    logging.getLogger('ray.data').setLevel(logging.ERROR)


def _results(ray: Any, work: Callable, jobs: Sequence, options: EngineOptions,
             model: Any, device: str) -> Iterator[Tuple[int, Any]]:
    workers, share = _share(ray, options.ray_workers, model is not None,
                            device)
    # Held to the end: a new worker in place of another needs it.
    shared = ray.put((work, model))
    place = 'cuda' if share.get('num_gpus') else 'cpu'
    block = min(_BLOCK, max(1, len(jobs) // (4 * workers)))
    rows = ray.data.from_items(
        [dict(number=i, value=pickle.dumps(job))
         for i, job in enumerate(jobs)],
        override_num_blocks=-(-len(jobs) // block)).map_batches(
            _Worker, fn_constructor_args=(shared, place, os.getcwd()),
            batch_size=None, batch_format='pyarrow', concurrency=workers,
            ray_remote_args_fn=lambda: dict(
                max_restarts=-1, max_task_retries=_RETRIES), **share)
    for row in rows.iter_rows():
        result = pickle.loads(row['value'])
        if row['number'] < 0:
            raise result
        yield row['number'], result


def _share(ray: Any, workers: Any, has_model: bool, device: str
           ) -> Tuple[int, Dict[str, float]]:
    """Return the number of workers, and what each takes of its machine: a GPU
    and some CPUs; as many fit as there are."""
    nodes = [node['Resources'] for node in ray.nodes()
             if node['Alive'] and node['Resources'].get('CPU')]
    if not nodes:
        raise UserError('no machine of the Ray cluster has CPUs to offer')
    cpus = [node['CPU'] for node in nodes]
    gpus = sum(node.get('GPU', 0) for node in nodes)
    if not has_model or device == 'cpu':
        gpus = 0
    workers = workers or int(gpus or (len(nodes) if has_model else sum(cpus)))
    share = min(cpus) / -(-workers // len(nodes))
    kinds = dict(num_cpus=int(share) if share > 1 else share)
    if gpus:
        kinds['num_gpus'] = 1 / -(-workers // gpus)
    return workers, kinds


class _Worker:
    """A process of a cluster, which does blocks of jobs."""

    def __init__(self, reference: Any, device: str, folder: str) -> None:
        import ray
        self._work, model = ray.get(reference)
        self._folder = folder
        if model is not None:
            model.model.to(device)

    def __call__(self, block: Any) -> Any:
        import pyarrow
        numbers = block['number'].to_pylist()
        jobs = list(map(pickle.loads, block['value'].to_pylist()))
        try:
            os.chdir(self._folder)  # which paths are relative to
            values = list(self._work(jobs))
        except (UserError, OSError, ValueError) as error:
            numbers, values = [-1], [error]
        return pyarrow.table(dict(
            number=numbers, value=list(map(pickle.dumps, values))))


def _line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[-1][:300] if lines else type(error).__name__
