"""One file for the whole: data, teacher, SFT, training, evaluation, report, each skipped where nothing has changed."""
