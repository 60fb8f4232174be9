"""Running a program with its old calls, and the new ones beside them on copies. Imports nothing by itself."""
