"""Lists defects of one line, each with the tests that must fail when the program has it.

A defect replaces `old`, which occurs exactly once in the file, by `new`. See mutants.py.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Mutant:
    """One defect."""

    name: str  # what the program then does
    file: str  # below etl/cio_etl
    old: str
    new: str
    tests: str  # arguments of pytest, as a shell reads them: files, and -k


HOSTILE, LATE = "tests/load/test_hostile_answers.py", "tests/load/test_late_answers.py"
CONNECTION, LANE, LANES = "tests/load/test_connection.py", "tests/load/test_lane.py", "tests/load/test_lanes.py"
PACK, ENCODE = "tests/load/test_pack.py", "tests/transform/test_encode.py"
STATE, OPEN, SERVER = "tests/state/test_state.py", "tests/state/test_open.py", "tests/state/test_server.py"

SYNC, DECIDE = "tests/run/test_sync.py", "tests/ledger/test_decide.py"

MUTANTS = (
    # ---- the network
    Mutant(
        "an answer may be of any length",
        "load/answer_stream.py",
        "if self._answer_bytes > MAX_ANSWER_BYTES:",
        "if False:",
        f"{HOSTILE} -k 'length and MB'",
    ),
    Mutant(
        "the cap counts all answers of a connection",
        "load/answer_stream.py",
        "self._body_bytes, self._answer_bytes = None, 0",
        "self._body_bytes = None",
        f"{CONNECTION} -k cap",
    ),
    Mutant(
        "an early answer is believed",
        "load/answer_stream.py",
        "self.is_early = self.is_early or self.has_unasked()",
        "pass",
        f"{HOSTILE} -k before_the_whole_request",
    ),
    Mutant(
        "the parser gets whatever has come",
        "load/answer_stream.py",
        'end = self._received.find(b"\\n", self._start) + 1 or len(self._received)',
        "end = len(self._received)",
        f"{CONNECTION} -k second_answer_in_the_same",
    ),
    Mutant(
        "a refused batch's connection is used again",
        "load/connection.py",
        "if self._single_use or not isinstance(verdict, Accepted):",
        "if self._single_use:",
        f"{LATE} -k late_acceptance",
    ),
    Mutant(
        "the deadline's cut ends a body",
        "load/connection.py",
        "if self._overdue and isinstance(verdict, Accepted):",
        "if False:",
        f"{HOSTILE} -k drip",
    ),
    Mutant(
        "an idle connection is kept for an hour",
        "load/connection.py",
        "KEEP_ALIVE_S = 55.0",
        "KEEP_ALIVE_S = 3_600.0",
        f"{CONNECTION} -k idle",
    ),
    Mutant(
        "after a broken answer nothing was done",
        "load/connection.py",
        "else Retry(words, ambiguous=True)",
        "else Retry(words)",
        f"{HOSTILE} -k endless",
    ),
    Mutant(
        "a length beside chunks is taken",
        "load/connection.py",
        'framed_twice = "transfer-encoding" in headers and "content-length" in headers',
        "framed_twice = False",
        f"{HOSTILE} -k 'length and chunks'",
    ),
    Mutant(
        "gzip is taken as it comes",
        "load/connection.py",
        'in ("", "identity")',
        'in ("", "identity", "gzip")',
        f"{HOSTILE} -k gzip",
    ),
    Mutant(
        "HTTP/3.0 is taken for HTTP/1",
        "load/connection.py",
        '.startswith(b"HTTP/1.")',
        '.startswith(b"HTTP/")',
        f"{HOSTILE} -k version",
    ),
    Mutant(
        "a second answer changes nothing",
        "load/connection.py",
        "self._single_use = True",
        "self._single_use = False",
        f"{HOSTILE} -k answers_twice",
    ),
    Mutant(
        "two answers on a used connection are believed",
        "load/connection.py",
        "(is_reused and stream.has_unasked())",
        "False",
        f"{HOSTILE} -k used_connection",
    ),
    Mutant(
        "nobody asks whether lanes may still send",
        "load/connection.py",
        "            self._check()",
        "            pass",
        f"{CONNECTION} -k last_moment",
    ),
    # ---- what an answer means
    Mutant(
        "a 500 accepted nothing",
        "apis/answers.py",
        "TURNED_AWAY = frozenset({425, 429, 503})",
        "TURNED_AWAY = frozenset({425, 429, 500, 503})",
        "tests/apis",
    ),
    Mutant(
        "the last of two keys holds",
        "apis/answers.py",
        "object_pairs_hook=_without_duplicates, ",
        "",
        f"{HOSTILE} -k duplicate",
    ),
    Mutant("NaN is JSON", "apis/answers.py", ", parse_constant=_no_constant", "", f"{HOSTILE} -k NaN"),
    Mutant(
        "a Retry-After may be of years",
        "apis/answers.py",
        "return min(float(value), MAX_AFTER_S)",
        "return float(value)",
        f"{HOSTILE} -k retry_after",
    ),
    Mutant(
        "an error without an index is of item 0",
        "apis/track/endpoints.py",
        "0 if items == 1 else None",
        "0",
        f"{HOSTILE} -k 'without and index'",
    ),
    Mutant(
        "an index may be negative",
        "apis/track/endpoints.py",
        "not 0 <= index < items",
        "not index < items",
        f"{HOSTILE} -k index",
    ),
    Mutant(
        "true is an index",
        "apis/track/endpoints.py",
        "type(index) is not int",
        "not isinstance(index, int)",
        f"{HOSTILE} -k true",
    ),
    Mutant(
        "a 207 without errors accepts all",
        "apis/track/endpoints.py",
        "(status == 207 and not errors) or ",
        "",
        f"{HOSTILE} -k 207",
    ),
    Mutant(
        "an error beside 200 is ignored",
        "apis/track/endpoints.py",
        ' or "error" in content:',
        ":",
        f"{HOSTILE} -k error",
    ),
    Mutant(
        "the second error of an item is the reject",
        "apis/track/endpoints.py",
        "by_item.setdefault(index, ItemError(",
        "by_item.__setitem__(index, ItemError(",
        "tests/apis/test_track_answers.py",
    ),
    Mutant(
        "errors of Pipelines are ignored",
        "apis/pipelines/endpoints.py",
        "status == 207 or reports_errors(content)",
        "status == 207",
        "tests/apis/test_endpoints.py",
    ),
    Mutant(
        "a message in a 200 of v1 is ignored",
        "apis/track/endpoints.py",
        "if status == 207 or reports_errors(content):",
        "if status == 207:",
        "tests/apis/test_endpoints.py",
    ),
    # ---- lanes
    Mutant(
        "an announcement may fall back",
        "load/lane.py",
        "sending_through=max(batch.through, before)",
        "sending_through=batch.through",
        f"{LANE} -k falls_back",
    ),
    Mutant(
        "an acknowledgement takes announcements back",
        "load/lane.py",
        "sending_through=max(batch.through, progress.sending_through)",
        "sending_through=batch.through",
        f"{LANE} -k falls_back",
    ),
    Mutant(
        "a batch whose answer was lost is taken back",
        "load/lane.py",
        "(isinstance(verdict, Retry) and not verdict.ambiguous)",
        "isinstance(verdict, Retry)",
        f"{LANE} -k takes_back",
    ),
    Mutant(
        "items refused by a 207 count as accepted",
        "load/lane.py",
        "delivery.accepted += len(part) - len(errors)",
        "delivery.accepted += len(part)",
        f"{LANE} -k refused_by_a_207",
    ),
    Mutant("other reasons stop a run, too", "load/lane.py", " and len(reasons) == 1", "", f"{LANE} -k other_reasons"),
    Mutant(
        "the second half goes first",
        "load/lane.py",
        "parts += [part[middle:], part[:middle]]",
        "parts += [part[:middle], part[middle:]]",
        f"{LANE} -k halving",
    ),
    Mutant(
        "halves of an unknown outcome are in no doubt",
        "load/lane.py",
        "if ambiguous:",
        "if False:",
        f"{LANE} -k ambiguous_answer",
    ),
    Mutant(
        "a lost answer leaves no doubt",
        "load/lane.py",
        "if verdict.ambiguous:",
        "if False:",
        f"{LANE} -k answer_was_lost",
    ),
    Mutant(
        "a merge is sent again after a lost answer",
        "load/lane.py",
        "and verdict.ambiguous and not self._settings.repeatable",
        "and False",
        f"{LANE} -k cannot_be_repeated",
    ),
    Mutant(
        "the last row that a killed run announced is in no doubt",
        "load/lane.py",
        'self._sent_before, side="right"',
        'self._sent_before, side="left"',
        f"{LANES} -k killed_run",
    ),
    Mutant(
        "what a killed run announced is in no doubt",
        "load/lane.py",
        "max(sent_before, int(np.count_nonzero(delivery.in_doubt)))",
        "int(np.count_nonzero(delivery.in_doubt))",
        f"{LANES} -k killed_run",
    ),
    Mutant(
        "a reject of a part has a row of the batch",
        "load/lane.py",
        "batch.positions[part[error.index]]",
        "batch.positions[error.index]",
        f"{LANE} -k names_items",
    ),
    Mutant(
        "a body larger than the limit never waits",
        "load/lanes.py",
        "return self._waiting == 0 or self._waiting + size <= self._limit",
        "return self._waiting + size <= self._limit",
        f"{LANES} -k waiting_bytes",
    ),
    Mutant(
        "the budget of a batch has no end",
        "load/retry.py",
        "return None if self._now() + seconds > self._deadline else seconds",
        "return seconds if self._now() < 1e7 else None",
        "tests/load/test_retry.py",
    ),
    Mutant(
        "Retry-After is not waited for",
        "load/retry.py",
        "after_s + spread_s if after_s else 0.0",
        "0.0",
        "tests/load/test_retry.py",
    ),
    Mutant(
        "an old success ends an outage",
        "load/rate/circuit.py",
        "if started >= self.open_since else self",
        "if started >= 0.0 else self",
        "tests/load/rate/test_circuit.py",
    ),
    # ---- packing
    Mutant(
        "a body exceeds the limit by a byte",
        "load/pack.py",
        "len(envelope.open) + len(envelope.close) - 1",
        "len(envelope.open) + len(envelope.close) - 2",
        PACK,
    ),
    Mutant(
        "an item that just fits does not", "load/pack.py", 'free_bytes, side="right"', 'free_bytes, side="left"', PACK
    ),
    Mutant(
        "the last settled row is sent again",
        "load/pack.py",
        ".filter(pl.Series(position > self._acked[lane]))",
        ".filter(pl.Series(position >= self._acked[lane]))",
        PACK,
    ),
    Mutant(
        "rejected rows are skipped, too",
        "load/pack.py",
        "batch.skipped += not_sent - int(last_reject - first_reject)",
        "batch.skipped += not_sent",
        PACK,
    ),
    Mutant(
        "a late 413 makes bodies larger",
        "load/pack.py",
        "min(self._max_batch_bytes, body_bytes // 2)",
        "body_bytes // 2",
        PACK,
    ),
    # ---- the state
    Mutant(
        "a commit returns before the disk has it",
        "state/connect.py",
        "synchronous = FULL",
        "synchronous = NORMAL",
        f"{OPEN} -k waits_for_the_disk",
    ),
    Mutant(
        "a lost lane is committed without a word",
        "state/commit.py",
        "if updated != len(rows):",
        "if False:",
        f"{SERVER} -k earlier_start",
    ),
    Mutant(
        "a handle that failed is used again",
        "state/commit.py",
        "if self._failed is not None:",
        "if False:",
        f"{STATE} -k failed_commit",
    ),
    Mutant(
        "a replay's own rejects stay open",
        "state/commit.py",
        '"closed_by": None if self._replayed is None else run',
        '"closed_by": None',
        f"{STATE} -k replayed",
    ),
    Mutant(
        "a sandbox replay closes rejects",
        "state/commit.py",
        "self._replayed is not None and self._replayed.closes",
        "self._replayed is not None",
        f"{STATE} -k sandbox_replay",
    ),
    Mutant(
        "a replaced database is written",
        "state/commit.py",
        "        self._check_database()\n",
        "",
        f"{OPEN} -k replaced",
    ),
    Mutant(
        "a restarted step uses an epoch again",
        "state/store.py",
        '"epoch": 0 if epoch is None else epoch + 1',
        '"epoch": 0',
        f"{STATE} {SERVER} -k restarted_step",
    ),
    Mutant(
        "a claim keeps the epoch",
        "state/leases.py",
        "epoch=lane.epoch + 1, until=self.until",
        "epoch=lane.epoch, until=self.until",
        f"{STATE} {SERVER} -k claim",
    ),
    Mutant(
        "a failed run cannot be resumed",
        "state/store.py",
        'RESUMABLE = ("running", "stopped", "failed")',
        'RESUMABLE = ("running", "stopped")',
        f"{STATE} -k resumed",
    ),
    Mutant(
        "a step's time is that of its last process",
        "state/store.py",
        "seconds=tables.step.c.seconds + seconds",
        "seconds=seconds",
        f"{STATE} -k seconds",
    ),
    Mutant(
        "skipped rows are not settled",
        "state/store.py",
        "lane.accepted + lane.rejected + lane.skipped",
        "lane.accepted + lane.rejected",
        "tests/run/test_status_note.py -k due",
    ),
    Mutant(
        "a finished step moves the watermark again",
        "state/store.py",
        "if finished and bookmark is not None and result.rowcount:",
        "if finished and bookmark is not None:",
        f"{STATE} -k bookmark",
    ),
    # ---- items
    Mutant(
        "quotes are looked for in 256 kB",
        "transform/encode.py",
        "range(0, data.size, _BLOCK_BYTES)",
        "range(0, 1, _BLOCK_BYTES)",
        f"{ENCODE} -k large_frame",
    ),
    Mutant(
        "a control character is no reason to escape",
        "transform/encode.py",
        '(block < ord(" "))',
        "(block < 10)",
        f"{ENCODE} -k python",
    ),
    Mutant(
        "a constant may be NaN", "transform/encode.py", "allow_nan=False", "allow_nan=True", f"{ENCODE} -k constant"
    ),
    Mutant(
        "a name is not escaped",
        "transform/encode.py",
        'texts = {name: [f"{literal(name)}:"',
        "texts = {name: [f'\"{name}\":'",
        f"{ENCODE} -k name",
    ),
    Mutant(
        "a null is left out of all rows or none",
        "transform/encode.py",
        "return values[column].null_count() > 0",
        "return False",
        f"{ENCODE} -k null",
    ),
    Mutant(
        "nulls are cleared where they are omitted",
        "transform/encode.py",
        'if nulls == "clear" else ""',
        'if nulls == "omit" else ""',
        f"{ENCODE} -k null",
    ),
    Mutant(
        "a null decimal is no text",
        "transform/encode.py",
        'value.cast(pl.String).fill_null("null")',
        "value.cast(pl.String)",
        f"{ENCODE} -k decimal",
    ),
    Mutant(
        "a missing value is not finite",
        "transform/encode.py",
        ".not_().fill_null(False)",
        ".not_().fill_null(True)",
        ENCODE,
    ),
    # ---- the ledger
    Mutant(
        "ledger: parts are compared by the hash of the first one",
        "transform/parts.py",
        "ids.text_hash(self._text(name, values), salt)",
        "ids.text_hash(self._text(next(iter(self.of)), values), salt)",
        f"{SYNC} -k only_changed_attributes",
    ),
    Mutant(
        "ledger: hashes have no salt",
        "transform/parts.py",
        "ids.text_hash(self._text(name, values), salt)",
        "ids.text_hash(self._text(name, values), 0)",
        f"{SYNC} -k other_hashes",
    ),
    Mutant(
        "ledger: a relationship with nobody is a change",
        "transform/parts.py",
        'and not name.endswith("]")  # a',
        "and True  # a",
        f"{SYNC} -k loses_its_relationship",
    ),
    Mutant(
        "ledger: refused content has no names",
        "transform/ids.py",
        'pl.lit(f"{len(name)}:{name} ") +',
        'pl.lit("") +',
        f"{SYNC} -k in_another_attribute",
    ),
    Mutant(
        "ledger: only the last refused row is remembered",
        "ledger/decide.py",
        ".list.tail(REFUSED_AT_MOST)",
        ".list.tail(1)",
        f"{SYNC} -k several_refused_rows",
    ),
    Mutant(
        "ledger: what was refused is forgotten",
        "ledger/decide.py",
        "pl.when(is_refused).then(still_refused)",
        "pl.when(is_refused).then(none)",
        f"{SYNC} -k not_sent_again_until_it_changes",
    ),
    Mutant(
        "ledger: a known person may be created",
        "ledger/decide.py",
        'pl.col("is_known").alias("update")',
        'pl.lit(False).alias("update")',
        f"{SYNC} -k only_changed_attributes",
    ),
    Mutant(
        "ledger: each row of a person is sent",
        "ledger/decide.py",
        "if name in ties else is_last(where)",
        "if name in ties else where",
        f"{SYNC} -k two_rows_of_a_person",
    ),
    Mutant(
        "ledger: only the last relationship of several rows is sent",
        "ledger/decide.py",
        'is_last(where, f"part.{name}") if',
        "is_last(where) if",
        f"{SYNC} -k relationships_of_all_rows",
    ),
    Mutant(
        "ledger: some relationships count for all",
        "ledger/decide.py",
        "if not is_tie(name):",
        "if True:",
        f"{SYNC} -k some_were_refused",
    ),
    Mutant(
        "ledger: an unknown end leaves the hash",
        "ledger/decide.py",
        "no_answer = part.filter(unknown).is_not_null().any()",
        "no_answer = pl.lit(False)",
        f"{SYNC} -k under_way",
    ),
    Mutant(
        "ledger: an unknown end counts as accepted",
        "run/sync.py",
        '.then(pl.lit("unknown"))',
        '.then(pl.lit("accepted"))',
        f"{SYNC} -k under_way",
    ),
    Mutant(
        "ledger: rows count as settled when they are announced",
        "run/sync.py",
        "position <= acked[lane]",
        "position <= sending[lane]",
        f"{SYNC} -k under_way",
    ),
    Mutant(
        "ledger: what an abandoned run has sent is forgotten",
        "run/resume.py",
        "    fold_abandoned(store, job, run)\n",
        "    pass\n",
        f"{SYNC} -k abandoned_run_had_sent",
    ),
    Mutant(
        "ledger: a new ledger removes the old one at once",
        "run/sync.py",
        "if before.number:",
        "if True:",
        f"{SYNC} -k by_mistake",
    ),
    Mutant(
        "ledger: a subject of a rejected row is gone",
        "ledger/delta.py",
        'seen.add(frame.filter(has_subject & ~pl.col("is_sent"))',
        'seen.add(frame.filter(has_subject & pl.col("is_sent"))',
        f"{DECIDE} -k rejected_rows",
    ),
    Mutant(
        "ledger: masks have their bits one place too high",
        "ledger/delta.py",
        '*(f"{SENT}{name}" for name in parts)]):',
        '*(f"{SENT}{name}" for name in parts)], 1):',
        f"{SYNC} -k only_changed_attributes",
    ),
    Mutant(
        "ledger: merged files keep the older row",
        "ledger/files.py",
        'every.unique(SUBJECT, keep="last").filter',
        'every.unique(SUBJECT, keep="first").filter',
        f"{SYNC} -k ledger_that_is_merged",
    ),
    Mutant(
        "ledger: an addition is older than the base",
        "ledger/files.py",
        'every.unique(SUBJECT, keep="last", maintain',
        'every.unique(SUBJECT, keep="first", maintain',
        f"{SYNC} -k 'values or order_by or ledger_that_is_merged or two_rows'",
    ),
)
