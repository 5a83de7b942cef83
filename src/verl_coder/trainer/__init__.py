"""The training run: recipe -> checks -> verl's V1 trainer -> metrics, checkpoints, summary."""
