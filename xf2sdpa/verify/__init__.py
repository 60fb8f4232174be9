"""Run old and new side by side and compare: the room that may import torch."""
