"""Pictures instead of clips: reading, cutting out and writing stills, one or a folder full."""
