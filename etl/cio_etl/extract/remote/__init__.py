"""Fetches files of object stores and of the web to this machine.

storage.py  addresses, keys and errors of object stores
fetch.py    lists and fetches objects, each in one version, and shows them under their own names
web.py      files of the web
"""
