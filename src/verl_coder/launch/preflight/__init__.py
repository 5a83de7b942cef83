"""Everything that can be wrong with a run, found before Ray starts, each in one line."""
