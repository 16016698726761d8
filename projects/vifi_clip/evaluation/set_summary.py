"""From the metrics of several test sets to what the paper reports."""
import statistics
from typing import Dict, List, Optional, Sequence

Metrics = Dict[str, float]


def summarise_sets(metrics: Dict[str, Metrics],
                   groups: Dict[str, List[str]],
                   harmonic_mean: Optional[Sequence[str]] = None) -> Metrics:
    """Put the metrics of several sets into one dict.

    Args:
        metrics (dict[str, dict[str, float]]): Metrics by name of set.
        groups (dict[str, list[str]]): Names of sets that are repetitions of
            one measurement (the three splits of HMDB-51), by name of group.
            Each metric's mean and sample standard deviation (n - 1) over the
            group are added as ``<group>/<metric>_mean`` and ``..._std``.
        harmonic_mean (Sequence[str], optional): Two sets, base and novel,
            whose harmonic mean 2bn / (b + n) is added as ``HM/<metric>``
            (ViFi-CLIP Table 2). Defaults to None.

    Returns:
        dict[str, float]: ``<set>/<metric>`` of every set, then the above.
    """
    joined = {f'{name}/{key}': value for name, values in metrics.items()
              for key, value in values.items()}
    for group, names in groups.items():
        for key in _shared_keys(metrics, names):
            values = [metrics[name][key] for name in names]
            joined[f'{group}/{key}_mean'] = statistics.fmean(values)
            joined[f'{group}/{key}_std'] = statistics.stdev(values)
    if harmonic_mean:
        base, novel = (metrics[name] for name in harmonic_mean)
        for key in _shared_keys(metrics, harmonic_mean):
            joined[f'HM/{key}'] = harmonic_mean_of(base[key], novel[key])
    return joined


def harmonic_mean_of(base: float, novel: float) -> float:
    """Return 2bn / (b + n) (ViFi-CLIP Table 2), 0 where both are."""
    return 2 * base * novel / (base + novel) if base + novel else 0.


def _shared_keys(metrics: Dict[str, Metrics], names: Sequence[str]) -> list:
    """Metrics that every set has; a count of bad videos may be in some."""
    first, *rest = (metrics[name] for name in names)
    return [key for key in first
            if key != 'num_bad' and all(key in other for other in rest)]
