"""`python3 -m lab.clean`: removes what runs of the lab left behind that were killed hard.
Running labs are not touched."""

from . import core

if __name__ == "__main__":
    removed = core.remove_leftovers()
    print(f"{len(removed)} namespaces of dead runs removed")
