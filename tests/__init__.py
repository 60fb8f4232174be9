"""The tests of xf2sdpa; the tree mirrors the package."""
