-- The state as version 0.1.0 made it, with a run that was interrupted.
CREATE TABLE run ( run_id VARCHAR(120) NOT NULL, job VARCHAR(80) NOT NULL, job_file TEXT NOT NULL, status VARCHAR(20) NOT NULL, started_at VARCHAR(40) NOT NULL, finished_at VARCHAR(40), exit_code INTEGER, reason TEXT, lanes INTEGER NOT NULL, lane_hash VARCHAR(20) NOT NULL, row_limit BIGINT, destination VARCHAR(200) NOT NULL, PRIMARY KEY (run_id) );
CREATE INDEX ix_run_job ON run (job);
CREATE TABLE step ( run_id VARCHAR(120) NOT NULL, number INTEGER NOT NULL, name VARCHAR(160) NOT NULL, status VARCHAR(20) NOT NULL, fingerprint VARCHAR(80), files TEXT, mapping TEXT NOT NULL, rows BIGINT, rows_read BIGINT NOT NULL, seconds FLOAT NOT NULL, rejects TEXT NOT NULL, PRIMARY KEY (run_id, number), FOREIGN KEY(run_id) REFERENCES run (run_id) ON DELETE CASCADE );
CREATE TABLE lane ( run_id VARCHAR(120) NOT NULL, step INTEGER NOT NULL, lane INTEGER NOT NULL, acked_through BIGINT NOT NULL, sending_through BIGINT NOT NULL, accepted BIGINT NOT NULL, rejected BIGINT NOT NULL, skipped BIGINT NOT NULL, possibly_sent_twice BIGINT NOT NULL, batches BIGINT NOT NULL, requests BIGINT NOT NULL, retries BIGINT NOT NULL, bytes_sent BIGINT NOT NULL, PRIMARY KEY (run_id, step, lane), FOREIGN KEY(run_id, step) REFERENCES step (run_id, number) ON DELETE CASCADE );
CREATE TABLE reject ( reject_id INTEGER NOT NULL, run_id VARCHAR(120) NOT NULL, step INTEGER NOT NULL, position BIGINT NOT NULL, reason VARCHAR(80) NOT NULL, field VARCHAR(200), message TEXT NOT NULL, PRIMARY KEY (reject_id), FOREIGN KEY(run_id, step) REFERENCES step (run_id, number) ON DELETE CASCADE );
CREATE INDEX reject_by_step ON reject (run_id, step, reason, field);
INSERT INTO run VALUES ('nightly-1', 'nightly', 'jobs/nightly.yaml', 'running', '2026-11-20T00:00:00+00:00', NULL, NULL, NULL, 2, 'xxhash64', NULL, 'https://track.customer.io');
INSERT INTO step VALUES ('nightly-1', 0, 'people', 'running', 'print', '[["a.csv", 10, "00", 3]]', '{}', 3, 0, 0.5, '[]');
INSERT INTO lane VALUES ('nightly-1', 0, 0, 1, 2, 2, 0, 0, 0, 1, 1, 0, 640);
INSERT INTO lane VALUES ('nightly-1', 0, 1, -1, 0, 0, 0, 0, 0, 0, 0, 0, 0);
PRAGMA user_version = 1;
