BEGIN TRANSACTION;
CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL,
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "alembic_version" VALUES('0002_metrics');
CREATE TABLE evaluations (
	ordinal INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
	evaluation_id VARCHAR NOT NULL,
	test_run_id VARCHAR NOT NULL,
	subject JSON NOT NULL,
	judge_digest VARCHAR NOT NULL,
	num_verdicts INTEGER NOT NULL, grader JSON, num_graded INTEGER DEFAULT '0' NOT NULL, totals JSON, metrics JSON,
	UNIQUE (evaluation_id)
);
INSERT INTO "evaluations" VALUES(1,'eval-5b48cb428e6944d8','run-1c6c7e280b3a4358','{"test_run_id":"run-1c6c7e280b3a4358","model_version_id":"","test_suite_version_id":"roo_xml/small@1","test_suite_digest":"sha256:6488c8db020659422503ba22c7abc8cb5f892da7049074e55b90ef7d7903fc57","profile_id":"roo_xml","profile_digest":"sha256:1acb780798b61735bd0f21f385a097e7b5be89badcb0c5e1ed4ad62c71b15bef","prompt_size":"compact","sampling":{"temperature":0.0,"top_p":1.0,"top_k":0,"max_new_tokens":48,"min_p":0.0},"num_repeats":1,"seed":0,"num_transcripts_total":4,"endpoint":{"base_url":"http://127.0.0.1:35609/v1","model":"fake-model","tool_mode":"","stop":[],"extra_body":"","num_ctx":0},"throughput":false}','sha256:1acb780798b61735bd0f21f385a097e7b5be89badcb0c5e1ed4ad62c71b15bef',2,NULL,0,'{"count":2,"conforming":0,"accepted":0,"well_formed":2,"num_turns":2,"num_prompt_tokens":22,"num_cached_tokens":0,"num_generated_tokens":6,"decode_seconds":0.026340747004724108,"causes":{"wrong_arguments":1,"wrong_tool":1},"layers":{"call_present":{"num_applicable":2,"num_passed":2,"score":2.0},"parses":{"num_applicable":2,"num_passed":2,"score":2.0},"one_and_last":{"num_applicable":2,"num_passed":2,"score":2.0},"known_tool":{"num_applicable":2,"num_passed":2,"score":2.0},"offered":{"num_applicable":2,"num_passed":2,"score":2.0},"required_parameters":{"num_applicable":2,"num_passed":2,"score":2.0},"valid_values":{"num_applicable":2,"num_passed":2,"score":2.0},"right_tool":{"num_applicable":2,"num_passed":1,"score":1.0},"right_arguments":{"num_applicable":1,"num_passed":0,"score":0.0}},"scores":{"format":{"count":2,"sum":2.0},"tool":{"count":2,"sum":1.0},"arguments":{"count":2,"sum":0.0}},"notes":{}}',NULL);
INSERT INTO "evaluations" VALUES(2,'eval-58d62d4042ad4b98','run-a79383dcea864113','{"test_run_id":"run-a79383dcea864113","model_version_id":"tiny@1","test_suite_version_id":"roo_xml/small@1","test_suite_digest":"sha256:6488c8db020659422503ba22c7abc8cb5f892da7049074e55b90ef7d7903fc57","profile_id":"roo_xml","profile_digest":"sha256:1acb780798b61735bd0f21f385a097e7b5be89badcb0c5e1ed4ad62c71b15bef","prompt_size":"compact","sampling":{"temperature":0.0,"top_p":1.0,"top_k":0,"max_new_tokens":192,"min_p":0.0},"num_repeats":1,"seed":0,"num_transcripts_total":4,"endpoint":null,"throughput":false}','sha256:1acb780798b61735bd0f21f385a097e7b5be89badcb0c5e1ed4ad62c71b15bef',0,NULL,0,'{"count":0,"conforming":0,"accepted":0,"well_formed":0,"num_turns":0,"num_prompt_tokens":0,"num_cached_tokens":0,"num_generated_tokens":0,"decode_seconds":0.0,"causes":{},"layers":{},"scores":{},"notes":{}}',NULL);
CREATE TABLE job_events (
	job_id VARCHAR NOT NULL,
	sequence INTEGER NOT NULL,
	time DATETIME NOT NULL,
	type VARCHAR NOT NULL,
	payload JSON NOT NULL,
	PRIMARY KEY (job_id, sequence),
	FOREIGN KEY(job_id) REFERENCES jobs (job_id)
);
INSERT INTO "job_events" VALUES('eval-5b48cb428e6944d8',1,'2026-11-30 05:06:39.632853','state','{"state":"QUEUED"}');
INSERT INTO "job_events" VALUES('eval-5b48cb428e6944d8',2,'2026-11-30 05:06:40.846115','state','{"state":"RUNNING","attempt":1,"epoch":1}');
INSERT INTO "job_events" VALUES('eval-5b48cb428e6944d8',3,'2026-11-30 05:06:44.849142','progress','{"phase":"judge","done":0,"total":4,"unit":"verdicts","message":"Waiting for the run''s next answers."}');
INSERT INTO "job_events" VALUES('eval-5b48cb428e6944d8',4,'2026-11-30 05:06:51.510539','progress','{"phase":"judge","done":0,"total":4,"unit":"verdicts","message":"Waiting for the run''s next answers."}');
INSERT INTO "job_events" VALUES('eval-5b48cb428e6944d8',5,'2026-11-30 05:06:53.585630','progress','{"phase":"judge","done":0,"total":4,"unit":"verdicts","message":"Waiting for the run''s next answers."}');
INSERT INTO "job_events" VALUES('eval-5b48cb428e6944d8',6,'2026-11-30 05:06:54.675295','progress','{"phase":"judge","done":0,"total":4,"unit":"verdicts","message":"Waiting for the run''s next answers."}');
INSERT INTO "job_events" VALUES('eval-5b48cb428e6944d8',7,'2026-11-30 05:06:55.991669','progress','{"phase":"judge","done":0,"total":4,"unit":"verdicts","message":"Waiting for the run''s next answers."}');
INSERT INTO "job_events" VALUES('eval-58d62d4042ad4b98',1,'2026-11-30 05:06:56.267025','state','{"state":"QUEUED"}');
INSERT INTO "job_events" VALUES('eval-58d62d4042ad4b98',2,'2026-11-30 05:06:57.959479','state','{"state":"RUNNING","attempt":1,"epoch":1}');
INSERT INTO "job_events" VALUES('eval-5b48cb428e6944d8',8,'2026-11-30 05:07:06.654843','progress','{"phase":"judge","done":0,"total":4,"unit":"verdicts","message":"Waiting for the run''s next answers."}');
INSERT INTO "job_events" VALUES('eval-5b48cb428e6944d8',9,'2026-11-30 05:07:13.610549','progress','{"phase":"judge","done":0,"total":4,"unit":"verdicts","message":"Waiting for the run''s next answers."}');
INSERT INTO "job_events" VALUES('eval-58d62d4042ad4b98',3,'2026-11-30 05:07:13.738321','progress','{"phase":"judge","done":0,"total":4,"unit":"verdicts","message":"Waiting for the run''s next answers."}');
INSERT INTO "job_events" VALUES('eval-5b48cb428e6944d8',10,'2026-11-30 05:07:14.167434','progress','{"phase":"judge","done":0,"total":4,"unit":"verdicts","message":"Waiting for the run''s next answers."}');
INSERT INTO "job_events" VALUES('eval-5b48cb428e6944d8',11,'2026-11-30 05:07:15.270571','counts','{"num_cases":2,"num_conforming":0,"num_accepted":0,"num_well_formed":2,"by_cause":{"wrong_arguments":1,"wrong_tool":1}}');
INSERT INTO "job_events" VALUES('eval-58d62d4042ad4b98',4,'2026-11-30 05:07:21.304706','progress','{"phase":"judge","done":0,"total":4,"unit":"verdicts","message":"Waiting for the run''s next answers."}');
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
INSERT INTO "jobs" VALUES(1,'eval-5b48cb428e6944d8','evaluation','RUNNING','the-evaluation','{"test_run_id":"run-1c6c7e280b3a4358"}','{"phase":"judge","done":0,"total":4,"unit":"verdicts","message":"Waiting for the run''s next answers."}',NULL,NULL,NULL,1,1,'evaluator@host:22147',38617.858358986,'2026-11-30 05:07:36.678667','2026-11-30 05:06:39.632853','2026-11-30 05:07:15.270571','2026-11-30 05:06:40.846115',NULL,11);
INSERT INTO "jobs" VALUES(2,'eval-58d62d4042ad4b98','evaluation','RUNNING','loop-8affa2c448a3852bcd41/0/evaluate','{"test_run_id":"run-a79383dcea864113"}','{"phase":"judge","done":0,"total":4,"unit":"verdicts","message":"Waiting for the run''s next answers."}',NULL,NULL,NULL,1,1,'evaluator@host:22147',38609.13916988,'2026-11-30 05:07:27.959479','2026-11-30 05:06:56.267025','2026-11-30 05:07:21.304706','2026-11-30 05:06:57.959479',NULL,4);
CREATE TABLE verdicts (
	evaluation_id VARCHAR NOT NULL,
	sequence INTEGER NOT NULL,
	transcript_id VARCHAR NOT NULL,
	case_id VARCHAR NOT NULL,
	repeat INTEGER NOT NULL,
	tool VARCHAR NOT NULL,
	category VARCHAR NOT NULL,
	conforming BOOLEAN NOT NULL,
	accepted BOOLEAN NOT NULL,
	well_formed BOOLEAN NOT NULL,
	cause VARCHAR NOT NULL,
	sentence TEXT NOT NULL,
	layers JSON NOT NULL, layer VARCHAR DEFAULT '' NOT NULL, fault VARCHAR DEFAULT '' NOT NULL, is_sole BOOLEAN DEFAULT 0 NOT NULL, num_turns INTEGER DEFAULT '1' NOT NULL, had_client_error BOOLEAN DEFAULT 0 NOT NULL, scores JSON DEFAULT '{}' NOT NULL, style_notes JSON DEFAULT '[]' NOT NULL, num_prompt_tokens INTEGER DEFAULT '0' NOT NULL, num_cached_tokens INTEGER DEFAULT '0' NOT NULL, num_generated_tokens INTEGER DEFAULT '0' NOT NULL, latency_seconds FLOAT DEFAULT '0' NOT NULL, decode_seconds FLOAT DEFAULT '0' NOT NULL,
	PRIMARY KEY (evaluation_id, sequence),
	FOREIGN KEY(evaluation_id) REFERENCES evaluations (evaluation_id)
);
INSERT INTO "verdicts" VALUES('eval-5b48cb428e6944d8',1,'run-1c6c7e280b3a4358-1','core-read_file-01',0,'read_file','read_file.one',0,0,1,'wrong_arguments','In read_file, files is [["src/main.py", []]], not [["internal/catalog/catalogue.go", []]].','[{"name":"call_present","status":"passed","detail":"","span":null,"score":1.0,"turn":0},{"name":"parses","status":"passed","detail":"","span":null,"score":1.0,"turn":0},{"name":"one_and_last","status":"passed","detail":"","span":null,"score":1.0,"turn":0},{"name":"known_tool","status":"passed","detail":"","span":null,"score":1.0,"turn":0},{"name":"offered","status":"passed","detail":"","span":null,"score":1.0,"turn":0},{"name":"required_parameters","status":"passed","detail":"","span":null,"score":1.0,"turn":0},{"name":"valid_values","status":"passed","detail":"","span":null,"score":1.0,"turn":0},{"name":"right_tool","status":"passed","detail":"","span":null,"score":1.0,"turn":0},{"name":"right_arguments","status":"failed","detail":"In read_file, files is [[\"src/main.py\", []]], not [[\"internal/catalog/catalogue.go\", []]].","span":[0,79],"score":0.0,"turn":0},{"name":"effect","status":"not_applicable","detail":"","span":null,"score":null,"turn":0},{"name":"task_done","status":"not_applicable","detail":"","span":null,"score":null,"turn":0},{"name":"no_needless_call","status":"not_applicable","detail":"","span":null,"score":null,"turn":0}]','right_arguments','wrong_arguments',0,1,0,'{"format":1.0,"tool":1.0,"arguments":0.0}','[]',11,0,3,4.32872160017723217606e-02,1.08520440044230781495e-02);
INSERT INTO "verdicts" VALUES('eval-5b48cb428e6944d8',2,'run-1c6c7e280b3a4358-2','core-fetch_instructions-03',0,'fetch_instructions','fetch_instructions.server',0,0,1,'wrong_tool','The task asks for fetch_instructions, not read_file.','[{"name":"call_present","status":"passed","detail":"","span":null,"score":1.0,"turn":0},{"name":"parses","status":"passed","detail":"","span":null,"score":1.0,"turn":0},{"name":"one_and_last","status":"passed","detail":"","span":null,"score":1.0,"turn":0},{"name":"known_tool","status":"passed","detail":"","span":null,"score":1.0,"turn":0},{"name":"offered","status":"passed","detail":"","span":null,"score":1.0,"turn":0},{"name":"required_parameters","status":"passed","detail":"","span":null,"score":1.0,"turn":0},{"name":"valid_values","status":"passed","detail":"","span":null,"score":1.0,"turn":0},{"name":"right_tool","status":"failed","detail":"The task asks for fetch_instructions, not read_file.","span":[0,79],"score":0.0,"turn":0},{"name":"right_arguments","status":"not_applicable","detail":"","span":null,"score":null,"turn":0},{"name":"effect","status":"not_applicable","detail":"","span":null,"score":null,"turn":0},{"name":"task_done","status":"not_applicable","detail":"","span":null,"score":null,"turn":0},{"name":"no_needless_call","status":"not_applicable","detail":"","span":null,"score":null,"turn":0}]','right_tool','wrong_tool',0,1,0,'{"format":1.0,"tool":0.0,"arguments":0.0}','[]',11,0,3,1.10452492997865192592e-01,1.54887030003010295331e-02);
CREATE INDEX ix_jobs_kind_state ON jobs (kind, state);
CREATE INDEX ix_evaluations_test_run_id ON evaluations (test_run_id);
CREATE INDEX verdicts_by_case ON verdicts (evaluation_id, case_id);
CREATE INDEX verdicts_by_cause ON verdicts (evaluation_id, cause);
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('jobs',2);
INSERT INTO "sqlite_sequence" VALUES('evaluations',3);
COMMIT;
