"""The page in the browser: live picture and controls, a place to drop photos and clips, and `/obs` for OBS Studio."""
