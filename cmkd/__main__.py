"""``python -m cmkd`` is the command ``cmkd``."""

from cmkd.main import main

if __name__ == "__main__":
    main()
