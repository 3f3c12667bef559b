"""Looking at models: pictures and measures beside the score."""
