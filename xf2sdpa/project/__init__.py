"""What only the whole project tells: who imports whom, what is handed on, where a program starts."""
