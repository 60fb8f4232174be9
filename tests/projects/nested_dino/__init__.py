"""A transformer trained on lists of images of different sizes, packed into one long sequence."""
