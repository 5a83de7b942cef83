"""Outside Ray: from a recipe to a run that is started, watched and summed up."""
