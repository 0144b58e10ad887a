"""`python -m livematte`: the same as the `livematte` command."""

from livematte.cli import main

if __name__ == "__main__":
    main()
