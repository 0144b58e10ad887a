"""`livematte demo`: a clip for people who have none at hand, and what the ordinary conversion makes of it."""
