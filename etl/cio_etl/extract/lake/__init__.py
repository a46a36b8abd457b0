"""Tables of a lake: one version of one, its data files streamed one after another.

tables.py   what both formats share
delta.py    the files of a Delta table's version
iceberg.py  those of an Iceberg table's snapshot
"""
