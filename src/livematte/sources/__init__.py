"""Where pictures come from: files, image sequences, pipes, URLs, formulas."""
