"""What both sides of a run share: its settings, its folder, its checkpoints, its notices. No verl, no Ray."""
