"""One update from three sources: GRPO, a teacher's traces, the model's own best rollouts."""
