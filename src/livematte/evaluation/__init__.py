"""Predicted against true alpha, in files: what `livematte evaluate` runs."""

from livematte.evaluation.run import Evaluation, EvaluationOptions, evaluate

__all__ = ["Evaluation", "EvaluationOptions", "evaluate"]
