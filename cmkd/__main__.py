"""``python -m cmkd`` is the command ``cmkd``."""

from cmkd.cli import main

if __name__ == "__main__":
    main()
