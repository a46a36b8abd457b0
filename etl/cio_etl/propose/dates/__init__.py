"""Date columns: how they are written, and what a person must decide before they can be read. For `inspect` and `init`.

evidence.py   what a column shows, in one pass over all of its rows
formats.py    in which strptime formats it writes dates, and whether the day or the month comes first
offsets.py    which zone changes its clocks as the offsets of a column do
sentinels.py  dates that stand for none: 0000-00-00, 9999-12-31
decide.py     the evidence, and what a person stated, as functions of `apply`; or as a question
measure.py    what those functions make of every row: first and last time, what is unreadable, never was, or was twice
inspection.py the three of them over a snapshot
show.py       on a terminal, and as JSON

No value is reported: only places, counts and the first and last time. `--reveal` shows examples.
"""
