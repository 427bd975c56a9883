"""The real destinations: installed by `install.py`, started and read back here."""
