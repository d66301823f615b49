"""`python -m autokd` is the command `autokd`."""

from autokd.cli import main

if __name__ == "__main__":  # worker processes may import this file once more
    main()
