"""Agent loops beside verl's own: one per file, named in `config/agent_loops.yaml`."""
