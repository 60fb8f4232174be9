"""Device time, memory and kernels of a call, and where they were measured: for verify and bench."""
