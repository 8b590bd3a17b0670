"""`python -m engineroom`."""

from engineroom.cli import main

if __name__ == "__main__":
    main()
