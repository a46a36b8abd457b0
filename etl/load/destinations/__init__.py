"""What an API is asked and what its answers mean: one file of pure functions each. They send nothing."""
