"""What a run tells the world: metrics on disk first, then TensorBoard and W&B, which can fail without harm."""
