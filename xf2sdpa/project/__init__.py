"""Facts about a project as a whole: which file imports which, names taken from other files, entry points."""
