"""Where matted frames go: video files, image sequences, pipes, nowhere."""
