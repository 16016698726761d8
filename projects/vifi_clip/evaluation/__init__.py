from .acc_metric import VideoAccMetric

__all__ = ['VideoAccMetric']
