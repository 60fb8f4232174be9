"""Rewrite xformers' memory_efficient_attention into torch's scaled_dot_product_attention."""

__version__ = "0.1.0"
