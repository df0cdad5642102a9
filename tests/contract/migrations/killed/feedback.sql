BEGIN TRANSACTION;
CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL,
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "alembic_version" VALUES('0001_jobs');
CREATE TABLE job_events (
	job_id VARCHAR NOT NULL,
	sequence INTEGER NOT NULL,
	time DATETIME NOT NULL,
	type VARCHAR NOT NULL,
	payload JSON NOT NULL,
	PRIMARY KEY (job_id, sequence),
	FOREIGN KEY(job_id) REFERENCES jobs (job_id)
);
INSERT INTO "job_events" VALUES('loop-8affa2c448a3852bcd41',1,'2026-11-30 05:06:46.918970','state','{"state":"QUEUED"}');
INSERT INTO "job_events" VALUES('loop-8affa2c448a3852bcd41',2,'2026-11-30 05:06:46.956161','state','{"state":"RUNNING","attempt":1,"epoch":1}');
INSERT INTO "job_events" VALUES('loop-8affa2c448a3852bcd41',3,'2026-11-30 05:06:55.437819','step','{"round":0,"step":"test","state":"started","message":"tiny@1 on roo_xml/small@1: test run run-a79383dcea864113","ids":{"test_run_id":"run-a79383dcea864113"}}');
INSERT INTO "job_events" VALUES('loop-8affa2c448a3852bcd41',4,'2026-11-30 05:07:06.789899','step','{"round":0,"step":"evaluate","state":"started","message":"evaluation eval-58d62d4042ad4b98","ids":{"evaluation_id":"eval-58d62d4042ad4b98"}}');
INSERT INTO "job_events" VALUES('loop-8affa2c448a3852bcd41',5,'2026-11-30 05:07:14.181137','progress','{"phase":"test","done":0,"total":14,"unit":"steps","message":"Round 0, test \u00b7 19 s"}');
INSERT INTO "job_events" VALUES('loop-8affa2c448a3852bcd41',6,'2026-11-30 05:07:18.345064','progress','{"phase":"test","done":0,"total":14,"unit":"steps","message":"Round 0, test \u00b7 21 s"}');
INSERT INTO "job_events" VALUES('loop-8affa2c448a3852bcd41',7,'2026-11-30 05:07:20.673776','progress','{"phase":"test","done":0,"total":14,"unit":"steps","message":"Round 0, test \u00b7 25 s"}');
CREATE TABLE jobs (
	ordinal INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
	job_id VARCHAR NOT NULL,
	kind VARCHAR NOT NULL,
	state VARCHAR NOT NULL,
	request_id VARCHAR NOT NULL,
	spec JSON NOT NULL,
	progress JSON NOT NULL,
	result JSON,
	error JSON,
	saved JSON,
	attempt INTEGER NOT NULL,
	epoch INTEGER NOT NULL,
	owner VARCHAR,
	lease_until FLOAT,
	lease_expire_time DATETIME,
	create_time DATETIME NOT NULL,
	update_time DATETIME NOT NULL,
	start_time DATETIME,
	end_time DATETIME,
	last_sequence INTEGER NOT NULL,
	CONSTRAINT uq_jobs_kind_request_id UNIQUE (kind, request_id),
	UNIQUE (job_id)
);
INSERT INTO "jobs" VALUES(1,'loop-8affa2c448a3852bcd41','loop','RUNNING','the-loop','{"spec":{"model_version_id":"tiny@1","test_suite_version_id":"roo_xml/small@1","goals":[{"metric":"conforming_rate","minimum":0.9}],"prompt_size":"compact","budget":{"max_rounds":2,"max_minutes":0.0},"seed":0,"training":{},"num_examples":400,"num_probe_cases":39,"max_new_tokens":192},"inputs":{"model_version_id":"tiny@1","test_suite_version_id":"roo_xml/small@1","profile_id":"roo_xml"}}','{"phase":"test","done":0,"total":14,"unit":"steps","message":"Round 0, test \u00b7 25 s"}',NULL,NULL,'{"rounds":[{"number":0,"model_version_id":"tiny@1","test_run_id":"run-a79383dcea864113","evaluation_id":"eval-58d62d4042ad4b98","rates":null,"probe_test_suite_version_id":"","probe_test_run_id":"","probe_evaluation_id":"","dataset_version_id":"","training_job_id":""}]}',1,1,'feedback@host:22768',38621.761229677,'2026-11-30 05:07:40.581538','2026-11-30 05:06:46.918970','2026-11-30 05:07:20.673776','2026-11-30 05:06:46.956161',NULL,7);
CREATE INDEX ix_jobs_kind_state ON jobs (kind, state);
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('jobs',1);
COMMIT;
