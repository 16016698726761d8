from .acc_metric import VideoAccMetric
from .set_summary import summarise_sets

__all__ = ['VideoAccMetric', 'summarise_sets']
