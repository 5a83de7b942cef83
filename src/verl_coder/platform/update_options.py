"""What the trainer says of an update beside the columns of its batch, and the worker's engine reads."""

GRADIENT_FIELD = "gradient_fields"
"""Names, with a comma between them, of the columns that a row's loss is a multiple of; empty, or not there: unknown."""
