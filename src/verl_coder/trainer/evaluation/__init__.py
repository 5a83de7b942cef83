"""Evaluation while training: the held-out problems answered, and what the answers come to."""
