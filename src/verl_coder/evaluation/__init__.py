"""Evaluation of any model: samples through the training's own loops and grader, pass@k, comparison."""
