"""`python -m cropring` is the command `cropring`."""

from ._cli import main

main()
