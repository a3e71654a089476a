"""The ``singlab`` command. Written so that an old Python reads it too, and says what to do."""

import sys


def main():
    """Check the Python, then run the command line."""
    if sys.version_info < (3, 11):
        sys.exit(
            "singlab needs Python 3.11 or newer; this is Python %d.%d. Install a newer one and start singlab with it."
            % sys.version_info[:2]
        )
    from singlab.cli import run

    run()


if __name__ == "__main__":
    main()
