"""`xf2sdpa` and `python -m xf2sdpa`."""

from __future__ import annotations


def main() -> None:
    """Run the command line."""
    from xf2sdpa.cli import cli  # noqa: PLC0415 - click, and only when something is run

    cli(prog_name="xf2sdpa")


if __name__ == "__main__":
    main()
