"""What the trainer says of an update beside the columns of its batch, and the worker's engine reads."""

GRADIENT_FIELD = "gradient_fields"
"""Names, with a comma between them, of the columns that a row's loss is a multiple of; empty, or not there: unknown."""

COMPUTED_SHARE_FIELD = "computed_token_share"
"""Share of a mini-batch's tokens that are in rows which the engine computes; not there: all of them."""
