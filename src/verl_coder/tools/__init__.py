"""Tools that a model can call during a rollout: verl `BaseTool` classes, one per file."""
