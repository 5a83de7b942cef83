"""Inside Ray: verl's V1 trainers with ours on top."""
