BEGIN TRANSACTION;
CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "alembic_version" VALUES('0006_schedules');
CREATE TABLE feedback_cases (
	case_digest VARCHAR NOT NULL, 
	document TEXT NOT NULL, 
	PRIMARY KEY (case_digest)
);
CREATE TABLE feedback_chats (
	chat_completion_id VARCHAR NOT NULL, 
	create_time DATETIME NOT NULL, 
	document JSON NOT NULL, session_id VARCHAR DEFAULT '' NOT NULL, size_bytes BIGINT DEFAULT '0' NOT NULL, is_kept BOOLEAN DEFAULT 1 NOT NULL, 
	PRIMARY KEY (chat_completion_id)
);
CREATE TABLE feedback_contents (
	feedback_item_id VARCHAR NOT NULL, 
	document JSON NOT NULL, 
	PRIMARY KEY (feedback_item_id)
);
CREATE TABLE feedback_items (
	ordinal INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	feedback_item_id VARCHAR NOT NULL, 
	kind VARCHAR NOT NULL, 
	author VARCHAR NOT NULL, 
	create_time DATETIME NOT NULL, 
	version INTEGER NOT NULL, 
	replaces_feedback_item_id VARCHAR NOT NULL, 
	request_digest VARCHAR NOT NULL, 
	transcript_id VARCHAR NOT NULL, 
	test_run_id VARCHAR NOT NULL, 
	case_id VARCHAR NOT NULL, 
	chat_completion_id VARCHAR NOT NULL, 
	model_version_id VARCHAR NOT NULL, 
	test_suite_version_id VARCHAR NOT NULL, 
	profile_id VARCHAR NOT NULL, 
	prompt_size VARCHAR NOT NULL, 
	tool VARCHAR NOT NULL, 
	category VARCHAR NOT NULL, 
	tag VARCHAR NOT NULL, 
	opinion VARCHAR NOT NULL, 
	pair_key VARCHAR NOT NULL, 
	case_digest VARCHAR NOT NULL, 
	withdraw_reason VARCHAR NOT NULL, 
	repeat INTEGER NOT NULL, 
	turn INTEGER NOT NULL, 
	rating_value INTEGER, 
	rating_scale VARCHAR, 
	is_judged_good BOOLEAN, 
	disagrees BOOLEAN NOT NULL, 
	pair_side INTEGER NOT NULL, 
	withdraw_time DATETIME, 
	UNIQUE (feedback_item_id)
);
CREATE TABLE feedback_uses (
	feedback_item_id VARCHAR NOT NULL, 
	dataset_version_id VARCHAR NOT NULL, 
	PRIMARY KEY (feedback_item_id, dataset_version_id)
);
CREATE TABLE job_events (
	job_id VARCHAR NOT NULL, 
	sequence INTEGER NOT NULL, 
	time DATETIME NOT NULL, 
	type VARCHAR NOT NULL, 
	payload JSON NOT NULL, 
	PRIMARY KEY (job_id, sequence), 
	FOREIGN KEY(job_id) REFERENCES jobs (job_id)
);
INSERT INTO "job_events" VALUES('loop-fcf9da0d8b77431d8e94',1,'2026-11-30 04:54:34.667788','state','{"state":"QUEUED"}');
INSERT INTO "job_events" VALUES('loop-fcf9da0d8b77431d8e94',2,'2026-11-30 04:54:34.986198','state','{"state":"RUNNING","attempt":1,"epoch":1}');
INSERT INTO "job_events" VALUES('loop-fcf9da0d8b77431d8e94',3,'2026-11-30 04:54:36.780528','step','{"round":0,"step":"diagnose","state":"started","message":"Whether the template of smollm2-135m-instruct@1 can carry roo_xml.","ids":{}}');
INSERT INTO "job_events" VALUES('loop-fcf9da0d8b77431d8e94',5,'2026-11-30 04:54:37.700217','step','{"round":0,"step":"diagnose","state":"finished","message":"No error.","ids":{}}');
INSERT INTO "job_events" VALUES('loop-fcf9da0d8b77431d8e94',7,'2026-11-30 04:54:39.257741','step','{"round":0,"step":"test","state":"started","message":"smollm2-135m-instruct@1 on roo_xml/smoke@1: test run run-7efbc29d900a45b3","ids":{"test_run_id":"run-7efbc29d900a45b3"}}');
INSERT INTO "job_events" VALUES('loop-fcf9da0d8b77431d8e94',10,'2026-11-30 04:54:47.779262','step','{"round":0,"step":"evaluate","state":"started","message":"evaluation eval-64db91c34dd24085","ids":{"evaluation_id":"eval-64db91c34dd24085"}}');
INSERT INTO "job_events" VALUES('loop-fcf9da0d8b77431d8e94',17,'2026-11-30 04:55:02.341516','step','{"round":0,"step":"test","state":"finished","message":"Test run run-7efbc29d900a45b3 has ended.","ids":{"test_run_id":"run-7efbc29d900a45b3"}}');
INSERT INTO "job_events" VALUES('loop-fcf9da0d8b77431d8e94',20,'2026-11-30 04:55:04.767885','step','{"round":0,"step":"evaluate","state":"finished","message":"0.0% conform, 0.0% are accepted, 0.0% are well formed.","ids":{"evaluation_id":"eval-64db91c34dd24085"}}');
INSERT INTO "job_events" VALUES('loop-fcf9da0d8b77431d8e94',24,'2026-11-30 04:55:12.801164','step','{"round":0,"step":"probe","state":"started","message":"smollm2-135m-instruct@1 on roo_xml/probe@1: test run run-e81e0b75b91142cd","ids":{"test_run_id":"run-e81e0b75b91142cd"}}');
INSERT INTO "job_events" VALUES('loop-fcf9da0d8b77431d8e94',26,'2026-11-30 04:55:13.843265','step','{"round":0,"step":"probe_evaluate","state":"started","message":"evaluation eval-f6e85308a0814ee7","ids":{"evaluation_id":"eval-f6e85308a0814ee7"}}');
INSERT INTO "job_events" VALUES('loop-fcf9da0d8b77431d8e94',46,'2026-11-30 04:55:50.669096','step','{"round":0,"step":"probe","state":"finished","message":"Test run run-e81e0b75b91142cd has ended.","ids":{"test_run_id":"run-e81e0b75b91142cd"}}');
INSERT INTO "job_events" VALUES('loop-fcf9da0d8b77431d8e94',50,'2026-11-30 04:55:56.105211','step','{"round":0,"step":"probe_evaluate","state":"finished","message":"39 of 39 probe cases fail.","ids":{"evaluation_id":"eval-f6e85308a0814ee7"}}');
INSERT INTO "job_events" VALUES('loop-fcf9da0d8b77431d8e94',52,'2026-11-30 04:55:59.507655','decision','{"topic":"training","action":"train","rule":"format_failures","reason":"39 of 39 probe cases fail, 39 by form: right answers teach the form (SFT).","next_step":"","figures":{"num_answers":39.0,"num_unknown":0.0,"num_failed":39.0,"num_form_failures":39.0,"num_template_faults":0.0,"num_empty":0.0,"num_cut_off":0.0},"model_version_id":"smollm2-135m-instruct@1","method":"sft","training":{},"recipe":{"num_examples":26,"replay_share":0.0},"number":1,"round":0,"state":"made"}');
INSERT INTO "job_events" VALUES('loop-fcf9da0d8b77431d8e94',54,'2026-11-30 04:56:00.012240','step','{"round":0,"step":"dataset","state":"started","message":"Treating what evaluation eval-f6e85308a0814ee7 found.","ids":{}}');
INSERT INTO "job_events" VALUES('loop-fcf9da0d8b77431d8e94',59,'2026-11-30 04:56:07.068126','step','{"round":0,"step":"dataset","state":"finished","message":"26 examples for 13 tools in 13 kinds of task (4 of list_files to 1 of new_task), treating no_call 26.","ids":{"dataset_version_id":"roo_xml/loop-fcf9da0d8b77431d8e94@1"}}');
INSERT INTO "job_events" VALUES('loop-fcf9da0d8b77431d8e94',63,'2026-11-30 04:56:12.884026','step','{"round":0,"step":"train","state":"started","message":"smollm2-135m-instruct@1 on roo_xml/loop-fcf9da0d8b77431d8e94@1: training job train-59a2a03c2b3942e2","ids":{"training_job_id":"train-59a2a03c2b3942e2"}}');
INSERT INTO "job_events" VALUES('loop-fcf9da0d8b77431d8e94',77,'2026-11-30 04:56:30.789318','step','{"round":0,"step":"train","state":"finished","message":"Trained smollm2-135m-instruct@2.","ids":{"training_job_id":"train-59a2a03c2b3942e2","model_version_id":"smollm2-135m-instruct@2"}}');
INSERT INTO "job_events" VALUES('loop-fcf9da0d8b77431d8e94',79,'2026-11-30 04:56:32.847855','step','{"round":1,"step":"test","state":"started","message":"smollm2-135m-instruct@2 on roo_xml/smoke@1: test run run-42c10070e3864cf3","ids":{"test_run_id":"run-42c10070e3864cf3"}}');
INSERT INTO "job_events" VALUES('loop-fcf9da0d8b77431d8e94',81,'2026-11-30 04:56:34.422821','step','{"round":1,"step":"evaluate","state":"started","message":"evaluation eval-ece41a821b214b99","ids":{"evaluation_id":"eval-ece41a821b214b99"}}');
INSERT INTO "job_events" VALUES('loop-fcf9da0d8b77431d8e94',87,'2026-11-30 04:56:38.131909','step','{"round":1,"step":"test","state":"finished","message":"Test run run-42c10070e3864cf3 has ended.","ids":{"test_run_id":"run-42c10070e3864cf3"}}');
INSERT INTO "job_events" VALUES('loop-fcf9da0d8b77431d8e94',92,'2026-11-30 04:56:47.614660','step','{"round":1,"step":"evaluate","state":"finished","message":"83.3% conform, 83.3% are accepted, 91.7% are well formed.","ids":{"evaluation_id":"eval-ece41a821b214b99"}}');
INSERT INTO "job_events" VALUES('loop-fcf9da0d8b77431d8e94',94,'2026-11-30 04:56:47.919156','state','{"state":"SUCCEEDED"}');
INSERT INTO "job_events" VALUES('loop-c09de01676c24e8ea918',1,'2026-11-30 04:56:54.984216','state','{"state":"QUEUED"}');
INSERT INTO "job_events" VALUES('loop-c09de01676c24e8ea918',2,'2026-11-30 04:56:55.138305','state','{"state":"RUNNING","attempt":1,"epoch":1}');
INSERT INTO "job_events" VALUES('loop-c09de01676c24e8ea918',3,'2026-11-30 04:56:55.169984','step','{"round":0,"step":"diagnose","state":"started","message":"Whether the template of smollm2-135m-instruct@2 can carry roo_xml.","ids":{}}');
INSERT INTO "job_events" VALUES('loop-c09de01676c24e8ea918',4,'2026-11-30 04:56:55.202403','progress','{"phase":"diagnose","done":0,"total":9,"unit":"steps","message":"Round 0, diagnose \u00b7 asking the template doctor \u00b7 0 s"}');
INSERT INTO "job_events" VALUES('loop-c09de01676c24e8ea918',5,'2026-11-30 04:56:55.273562','step','{"round":0,"step":"diagnose","state":"finished","message":"No error.","ids":{}}');
INSERT INTO "job_events" VALUES('loop-c09de01676c24e8ea918',6,'2026-11-30 04:56:57.716761','progress','{"phase":"diagnose","done":1,"total":9,"unit":"steps","message":"Round 0, diagnose \u00b7 asking the template doctor \u00b7 2 s"}');
INSERT INTO "job_events" VALUES('loop-c09de01676c24e8ea918',7,'2026-11-30 04:57:02.067921','progress','{"phase":"diagnose","done":1,"total":9,"unit":"steps","message":"Round 0, diagnose \u00b7 asking the template doctor \u00b7 4 s"}');
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
	num_barren_holds INTEGER DEFAULT '0' NOT NULL, 
	furthest JSON DEFAULT '{}' NOT NULL, 
	CONSTRAINT uq_jobs_kind_request_id UNIQUE (kind, request_id), 
	UNIQUE (job_id)
);
INSERT INTO "jobs" VALUES(1,'loop-fcf9da0d8b77431d8e94','loop','SUCCEEDED','once:loop-fcf9da0d8b77431d8e94','{"spec":{"model_version_id":"smollm2-135m-instruct@1","test_suite_version_id":"roo_xml/smoke@1","prompt_size":"compact","goals":[{"metric":"conforming_rate","minimum":0.9,"confidence":0.0}],"budget":{"plateau_rounds":2},"num_examples":26,"search":{"num_trials":4}},"inputs":{"model_version_id":"smollm2-135m-instruct@1","test_suite_version_id":"roo_xml/smoke@1","profile_id":"roo_xml"}}','{"phase":"ended","done":9,"total":9,"unit":"steps","message":"All rounds of the budget (1) are used up: the conforming rate is 83.3% (64.1% to 93.3% at 95% confidence, goal 90.0% for the share itself).","waits":true}','{"stop_reason":"OUT_OF_ROUNDS","stop_sentence":"All rounds of the budget (1) are used up: the conforming rate is 83.3% (64.1% to 93.3% at 95% confidence, goal 90.0% for the share itself).","next_step":"Start another loop from smollm2-135m-instruct@2 with more rounds or more examples per round."}',NULL,'{"rounds":[{"number":0,"model_version_id":"smollm2-135m-instruct@1","test_run_id":"run-7efbc29d900a45b3","evaluation_id":"eval-64db91c34dd24085","rates":{"conforming_rate":0.0,"accepted_rate":0.0,"well_formed_rate":0.0},"probe_test_suite_version_id":"roo_xml/probe@1","probe_test_run_id":"run-e81e0b75b91142cd","probe_evaluation_id":"eval-f6e85308a0814ee7","dataset_version_id":"roo_xml/loop-fcf9da0d8b77431d8e94@1","training_job_id":"train-59a2a03c2b3942e2","num_finishes":{},"export_id":"","form_model_version_id":"","readings":[{"value":0.0,"num_cases":24}],"guardrails":[],"base_model_version_id":"smollm2-135m-instruct@1","num_probe_failures":39,"costs":{"test":{"seconds":20.331039,"num_generated_tokens":401,"num_trained_tokens":0},"probe":{"seconds":32.962886,"num_generated_tokens":710,"num_trained_tokens":0},"train":{"seconds":19.788005,"num_generated_tokens":0,"num_trained_tokens":10240}},"decisions":[{"topic":"training","action":"train","rule":"format_failures","reason":"39 of 39 probe cases fail, 39 by form: right answers teach the form (SFT).","next_step":"","figures":{"num_answers":39.0,"num_unknown":0.0,"num_failed":39.0,"num_form_failures":39.0,"num_template_faults":0.0,"num_empty":0.0,"num_cut_off":0.0},"model_version_id":"smollm2-135m-instruct@1","method":"sft","training":{},"recipe":{"num_examples":26,"replay_share":0.0},"number":1,"round":0,"state":"made"}],"sample_test_run_id":"","sample_evaluation_id":"","trials":[]},{"number":1,"model_version_id":"smollm2-135m-instruct@2","test_run_id":"run-42c10070e3864cf3","evaluation_id":"eval-ece41a821b214b99","rates":{"conforming_rate":0.8333333333333334,"accepted_rate":0.8333333333333334,"well_formed_rate":0.9166666666666666},"probe_test_suite_version_id":"","probe_test_run_id":"","probe_evaluation_id":"","dataset_version_id":"","training_job_id":"","num_finishes":{},"export_id":"","form_model_version_id":"","readings":[{"value":0.8333333333333334,"num_cases":24}],"guardrails":[],"base_model_version_id":"","num_probe_failures":null,"costs":{"test":{"seconds":4.83195,"num_generated_tokens":1080,"num_trained_tokens":0}},"decisions":[],"sample_test_run_id":"","sample_evaluation_id":"","trials":[]}],"seconds":131.18476018199726}',1,1,NULL,NULL,NULL,'2026-11-30 04:54:34.667788','2026-11-30 04:56:47.919156','2026-11-30 04:54:34.986198','2026-11-30 04:56:47.919156',94,0,'{"diagnose":1,"test":8,"evaluate":8,"probe":4,"probe_evaluate":5,"dataset":6,"train":7,"ended":9}');
INSERT INTO "jobs" VALUES(2,'loop-c09de01676c24e8ea918','loop','RUNNING','once:loop-c09de01676c24e8ea918','{"spec":{"model_version_id":"smollm2-135m-instruct@2","test_suite_version_id":"roo_xml/smoke@1","prompt_size":"compact","goals":[{"metric":"conforming_rate","minimum":0.9,"confidence":0.0}],"budget":{"plateau_rounds":2},"num_examples":26,"search":{"num_trials":4}},"inputs":{"model_version_id":"smollm2-135m-instruct@2","test_suite_version_id":"roo_xml/smoke@1","profile_id":"roo_xml"}}','{"phase":"diagnose","done":1,"total":9,"unit":"steps","message":"Round 0, diagnose \u00b7 asking the template doctor \u00b7 4 s","waits":true}',NULL,NULL,'{"rounds":[{"number":0,"model_version_id":"smollm2-135m-instruct@2","test_run_id":"","evaluation_id":"","rates":null,"probe_test_suite_version_id":"","probe_test_run_id":"","probe_evaluation_id":"","dataset_version_id":"","training_job_id":"","num_finishes":{},"export_id":"","form_model_version_id":"","readings":[],"guardrails":[],"base_model_version_id":"","num_probe_failures":null,"costs":{},"decisions":[],"sample_test_run_id":"","sample_evaluation_id":"","trials":[]}],"seconds":3.386099706403911e-05}',1,1,'feedback@earlier:9943',38283.907660085,'2026-11-30 05:02:02.727968','2026-11-30 04:56:54.984216','2026-11-30 04:57:02.067921','2026-11-30 04:56:55.138305',NULL,7,0,'{"diagnose":1}');
CREATE TABLE loop_answers (
	loop_id VARCHAR NOT NULL, 
	number INTEGER NOT NULL, 
	document JSON NOT NULL, 
	PRIMARY KEY (loop_id, number)
);
CREATE TABLE scheduled_runs (
	ordinal INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	scheduled_run_id VARCHAR NOT NULL, 
	schedule_id VARCHAR NOT NULL, 
	due_time DATETIME NOT NULL, 
	is_manual BOOLEAN NOT NULL, 
	num_missed INTEGER NOT NULL, 
	outcome VARCHAR, 
	sentence TEXT NOT NULL, 
	report JSON NOT NULL, 
	UNIQUE (scheduled_run_id)
);
CREATE TABLE schedules (
	ordinal INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	schedule_id VARCHAR NOT NULL, 
	state VARCHAR NOT NULL, 
	next_due_time DATETIME, 
	create_time DATETIME NOT NULL, 
	spec JSON NOT NULL, 
	last_outcome VARCHAR NOT NULL, 
	UNIQUE (schedule_id)
);
CREATE INDEX ix_jobs_kind_state ON jobs (kind, state);
CREATE INDEX ix_jobs_kind_ordinal ON jobs (kind, ordinal);
CREATE INDEX feedback_items_by_profile_id ON feedback_items (profile_id, ordinal);
CREATE INDEX feedback_items_by_model_version_id ON feedback_items (model_version_id, ordinal);
CREATE INDEX feedback_items_by_test_suite_version_id ON feedback_items (test_suite_version_id, ordinal);
CREATE INDEX feedback_items_by_tool ON feedback_items (tool, ordinal);
CREATE INDEX feedback_items_by_author ON feedback_items (author, ordinal);
CREATE INDEX feedback_items_by_transcript_id ON feedback_items (transcript_id, ordinal);
CREATE INDEX feedback_items_by_kind ON feedback_items (kind, ordinal);
CREATE INDEX feedback_items_by_tag ON feedback_items (tag, ordinal);
CREATE INDEX feedback_items_by_pair ON feedback_items (pair_key);
CREATE INDEX ix_feedback_chats_create_time ON feedback_chats (create_time);
CREATE INDEX feedback_chats_by_session ON feedback_chats (session_id, create_time, chat_completion_id, size_bytes, is_kept);
CREATE INDEX feedback_chats_by_age ON feedback_chats (is_kept, create_time, chat_completion_id, size_bytes);
CREATE INDEX scheduled_runs_by_schedule ON scheduled_runs (schedule_id, ordinal);
CREATE INDEX scheduled_runs_by_outcome ON scheduled_runs (outcome);
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('jobs',2);
COMMIT;
