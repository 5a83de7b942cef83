"""Static pages about runs and evaluations: curves, settings, tables, and a browser of every trajectory."""
