"""A 0.9 M-parameter model and a family of problems on which reinforcement learning shows within minutes."""
