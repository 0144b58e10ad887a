"""From a network's estimate to a clean matte: upsampling, smoothing in time, foreground colours."""
