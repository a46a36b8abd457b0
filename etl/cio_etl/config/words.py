"""What does each key of a job or a mapping mean? In the words of the README's tables, which editors show, too."""

from __future__ import annotations

WORDS: dict[str, dict[str, str]] = {  # of a section, by the name of its model; of a key
    "JobYaml": {
        "name": "names the job's runs and its lock: letters, digits, `-` and `_`, at most 100",
        "destination": "where rows go",
        "steps": ("a list; a step starts when the one before has finished, so people come before their events"),
        "max_rejects": (
            "of each step: a share of its rows, as `1%` (rounded up), or a number of rows. One more and the run stops "
            "with exit code 4"
        ),
        "state": (
            "a folder on a local disk, which several jobs may share; or where several machines keep it, as "
            "`{database: ${ETL_STATE_URL}, folder: /mnt/etl}`. See Several machines"
        ),
        "schedule": (
            'when Airflow runs it: a cron line, as `"0 3 * * *"`, `@daily` and the like, or `{assets: [a URI, …]}`, '
            "after each update of these assets. Nothing else reads it. See Airflow"
        ),
        "keep_snapshots": (
            "`true`: rows that were staged stay in the state folder when the run has finished, so that `rejects` can "
            "show them"
        ),
        "rejects": (
            "what is kept of a rejected row: `keys`, where it is and why; or `rows`, its source's columns too, so that "
            "it can be mended when the source has changed. See Mend and replay"
        ),
        "ping": (
            "a reference, as `${HEALTHCHECK_URL}`: a monitor's address, which is told when a run begins and how it "
            "ends. See Nightly"
        ),
        "expect_every": (
            "how often a run should finish, as `1 day` or `26 hours`; `status` says when the last one is older, and "
            "exits with 3"
        ),
    },
    "StateYaml": {
        "database": (
            "the address of a PostgreSQL database, which all machines reach: a reference, as `${ETL_STATE_URL}`"
        ),
        "folder": (
            "of reports, of copies of what is no file, and of kept rows; with a `database`, one that all machines see"
        ),
        "lease": "how long a worker may be silent before others take its lanes over: from `2s` to `1h`",
    },
    "DestinationYaml": {
        "api": (
            "`track`: the Track API v2, `/batch`; `pipelines`: the Pipelines API, `/v1/batch`, in strict mode; see "
            "Which API"
        ),
        "region": ("`us`, `eu`, or `auto`, which asks to which one the credentials belong (of the Track API)"),
        "site_id": "of the Track API, a reference, as `${CUSTOMERIO_SITE_ID}`",
        "api_key": "of the Track API, a reference, as `${CUSTOMERIO_API_KEY}`",
        "write_key": "of the Pipelines API, a reference, as `${CUSTOMERIO_WRITE_KEY}`",
        "requests_per_second": (
            "a ceiling over all lanes, and over all runs that share the state, above 0 and up to 1000; `unlimited` "
            "with a `base_url` on this machine only. Below it the pace finds what Customer.io takes; see Decisions"
        ),
        "lanes": (
            "1 to 256: batches under way at once, at most. More lanes send more at once, and more rows may be sent "
            "twice after a kill"
        ),
        "max_batch_bytes": "32,100 to 500,000: the size of a request's body, at most",
        "base_url": (
            "one of Customer.io's hosts of this API, or this machine, as `http://127.0.0.1:8080`. Keys are sent "
            "nowhere else"
        ),
        "ca_file": "certificates of a private authority, PEM",
    },
    "StepYaml": {
        "name": "for reports and `--step`",
        "source": "where rows come from",
        "mapping": (
            "a mapping file, or a list of them. A list is as many steps, one after the other, each over the whole "
            "source; they are named `step/mapping`"
        ),
    },
    "SourceYaml": {
        "csv": (
            "a path, a pattern such as `exports/*.csv`, or a list of them; read in the order of their names, gzip and "
            "zstd unpacked"
        ),
        "parquet": "likewise; all files have the same columns",
        "ndjson": "likewise: one JSON object a line",
        "excel": "likewise: `.xlsx`, `.xls`, `.ods`",
        "avro": "likewise",
        "delta": "the folder of a Delta table",
        "iceberg": "the folder of an Iceberg table, or one of its `metadata.json` files",
        "sql": "a database's address, as `${WAREHOUSE_URL}`; see Databases",
        "dialect": (
            "of CSV: settings by the name of the tool that wrote it; see Other files. What is written beside it "
            "counts more"
        ),
        "separator": 'one ASCII character, as `";"` or `"\\t"`',
        "encoding": "as `latin-1`, `cp1252` or `utf-16`",
        "quote": "one ASCII character; `null`: quotes mean nothing",
        "escape": ('one ASCII character that takes the next one\'s meaning, as `"\\\\"` in what MySQL and Hive write'),
        "null_values": ("texts that stand for null, quoted or not. With `[]` an empty field is an empty text"),
        "columns": "names, for CSV files without a header line",
        "sheet": "of Excel, by its name",
        "hive": "`true`: folders named `key=value` are columns of text",
        "version": "of a Delta table, from 0",
        "snapshot": "of an Iceberg table, from 0",
        "storage": "how an object store is reached; see Object storage",
        "table": (
            "of a database: `orders`, `sales.orders`, or a list of its parts where one has a point in it. The columns "
            "that the mapping reads are read"
        ),
        "query": "of a database: one statement that only reads. `:name` is a parameter",
        "query_file": "a file that holds the query",
        "parameters": ("values for the query's parameters, as `{region: eu}`; always bound, never spliced in"),
        "watermark": "the column that tells what is new; see Only what is new",
        "key": "the columns that make a row this row, as `[id]`",
        "lag": (
            "how long before the mark to look again for rows that came late, as `15 minutes`, `2h`, `1 day`; a number "
            "for a watermark of numbers"
        ),
        "start": ("where the first run begins, as `2024-01-01`; a query with `:watermark` needs one"),
    },
    "MappingYaml": {
        "operation": "what Customer.io is asked to do: a row of the table below",
        "identifiers": (
            "who: exactly one of `id`, `email`, `phone`, `cio_id`; of an event also `anonymous_id`. The kind is "
            "written, never guessed from the value. Text, unless the last function is `{cast: integer}`"
        ),
        "event": ("an event's name: `{value: order_placed}`, or a column. Of a page or screen view, its name"),
        "timestamp": (
            'when it happened, in Unix seconds. An event without this key is dated "now". With `identify`, '
            "Customer.io drops a change that is older than the last one, without a word"
        ),
        "event_key": (
            "the columns that make an event this event, as `[order_id]`; its id is made from them. Of events only"
        ),
        "order_by": (
            "the columns that tell which of a person's rows is the newest, as `updated_at` or "
            "`[updated_at, version]`; see Rows of one key. Of `identify` and `identify_object`"
        ),
        "attributes": "names and values",
        "nulls": (
            "what becomes of a null: `omit` leaves the attribute at Customer.io as it is, `clear` sends null, which "
            "removes it there"
        ),
        "when": "a condition; rows for which it is not true are skipped",
        "allow_reserved": "reserved names that this mapping uses on purpose",
        "existing_only": "`true`: only people who are there already are changed",
        "topics": (
            "of the subscription centre, by their numbers: `{1: newsletter}`, a column of true and false. Other "
            "topics stay as they are"
        ),
        "object": "which object: `{type: 1, id: company_id}`, or `{cio_object_id: column}`",
        "relationships": (
            "a list of ties: `{object: {type: 1, id: company_id}}` of a person, `{person: {id: user_id}}` of an "
            "object, each perhaps with `attributes`. A null at the other end leaves the tie out"
        ),
        "device": "`token`, `platform` (ios or android), `last_used`, `attributes` (texts)",
        "primary": "of a merge, who stays: as `identifiers`, by `id`, `email` or `cio_id`",
        "secondary": "of a merge, who goes",
        "segment": "the number of a manual segment, as `7`",
        "retry_unknown": "`true`: a merge or deletion whose answer was lost is sent again",
        "examples": (
            "rows and what becomes of them: `payload`, `rejected: reason` or `skipped: true`. `cio-etl check` tries "
            "them"
        ),
    },
    "ObjectYaml": {
        "type": "the number of its type in Customer.io, as `1`, or a column that holds it",
        "id": "the id by which your systems know the object",
        "cio_object_id": "Customer.io's own identifier of the object",
    },
    "RelationshipYaml": {
        "object": "the object that the person is tied to",
        "person": "the person whom the object is tied to",
        "attributes": "names and values of the tie",
    },
    "DeviceYaml": {
        "token": "the token by which the device is sent to",
        "platform": "`ios` or `android`: a column, or `{value: ios}`",
        "last_used": "when it was last used, in Unix seconds",
        "attributes": "names and values of the device, texts",
    },
    "StorageYaml": {
        "endpoint": "the address of MinIO and other servers that speak S3",
        "region": "the store's region, where the environment does not say it",
        "profile": "a profile of the AWS configuration files; needs `cio-etl[aws]`",
        "anonymous": "`true`: a store that anybody may read, without keys",
        "access_key_id": "a reference, as `${AWS_ACCESS_KEY_ID}`; for `az://` the account's name",
        "secret_access_key": "a reference, as `${AWS_SECRET_ACCESS_KEY}`; for `az://` the account's key",
    },
    "IdentifiersYaml": {
        "id": ("the id by which your systems know the person; sent as text, so `00042` stays `00042`"),
        "email": "the person's e-mail address",
        "phone": "the person's number in E.164 form, as `+33123456789`",
        "cio_id": "Customer.io's own identifier of the person",
        "anonymous_id": "of events: an id of a visitor who is not known yet",
    },
    "ValueYaml": {
        "column": "the name of a column of the source",
        "columns": ('several columns, of which the first function of `apply` makes one value, as `{concat: " "}`'),
        "expr": "SQL over the columns of the row, as `gross - tax`; `apply` may follow",
        "apply": (
            "functions through which the column goes, from left to right: a name, `{name: argument}`, or a list of them"
        ),
        "value": ("a constant: text, a number, true, a list, an object; `{value: null}` removes the attribute"),
    },
    "ExampleYaml": {
        "row": ("a row of the source: every column that the mapping reads, with its value, null where there is none"),
        "payload": "what is sent for the row through `api: track`; of a segment, the identifier",
        "pipelines": "what is sent for the row through `api: pipelines`",
        "rejected": "the row is rejected, for this reason",
        "skipped": "`true`: the row is left out by `when`",
    },
}
