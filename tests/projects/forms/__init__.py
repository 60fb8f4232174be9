"""Every form of guard, as small projects: the table behind `tests/run/test_guards.py`."""

from tests.projects.forms import company, flags, functions, lookups, switches

ALL = [*flags.FORMS, *lookups.FORMS, *company.FORMS, *functions.FORMS, *switches.FORMS]
