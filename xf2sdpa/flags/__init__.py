"""H200 backend flags in entry points: what there is to set, the block that sets it, what the user sets already."""
