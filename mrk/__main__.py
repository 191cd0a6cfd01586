"""`python -m mrk`, the same as `mrk`."""

from mrk.cli import main

if __name__ == "__main__":
    main(prog_name="mrk")
