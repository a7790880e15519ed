"""``python -m diffanim`` is the command line."""

from diffanim.cli.main import main

if __name__ == "__main__":
    main()
