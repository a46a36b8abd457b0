"""Files that are elsewhere, as files of this machine.

storage.py  addresses, keys and errors of object stores
fetch.py    objects listed and fetched, each in one version, under their own names
web.py      files of the web
"""
