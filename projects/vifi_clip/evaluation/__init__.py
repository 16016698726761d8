"""Metrics that MMAction2 lacks."""
from .acc_metric import VideoAccMetric
from .predictions_file import PredictionsFile
from .set_summary import summarise_sets
