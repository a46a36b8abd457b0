"""Tests, in the folders of the package; what several of them use lies here beside them."""
