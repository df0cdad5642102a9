BEGIN TRANSACTION;
CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "alembic_version" VALUES('0004_holds');
CREATE TABLE job_events (
	job_id VARCHAR NOT NULL, 
	sequence INTEGER NOT NULL, 
	time DATETIME NOT NULL, 
	type VARCHAR NOT NULL, 
	payload JSON NOT NULL, 
	PRIMARY KEY (job_id, sequence), 
	FOREIGN KEY(job_id) REFERENCES jobs (job_id)
);
INSERT INTO "job_events" VALUES('run-78b5a995d0564124',1,'2026-11-30 05:00:07.984914','state','{"state":"QUEUED"}');
INSERT INTO "job_events" VALUES('run-78b5a995d0564124',2,'2026-11-30 05:00:08.385105','state','{"state":"RUNNING","attempt":1,"epoch":1}');
INSERT INTO "job_events" VALUES('run-78b5a995d0564124',10,'2026-11-30 05:00:17.106622','state','{"state":"SUCCEEDED"}');
INSERT INTO "job_events" VALUES('run-8184fb2621d7437e',1,'2026-11-30 05:00:27.905635','state','{"state":"QUEUED"}');
INSERT INTO "job_events" VALUES('run-8184fb2621d7437e',2,'2026-11-30 05:00:28.173923','state','{"state":"RUNNING","attempt":1,"epoch":1}');
INSERT INTO "job_events" VALUES('run-8184fb2621d7437e',3,'2026-11-30 05:00:28.568280','progress','{"phase":"load_model","done":0,"total":24,"unit":"transcripts","message":"The model is being loaded.","num_active":0}');
INSERT INTO "job_events" VALUES('run-8184fb2621d7437e',4,'2026-11-30 05:00:29.170821','progress','{"phase":"load_model","done":4,"total":24,"unit":"transcripts","message":"The model is being loaded.","num_active":0}');
INSERT INTO "job_events" VALUES('run-8184fb2621d7437e',5,'2026-11-30 05:00:29.628467','progress','{"phase":"load_model","done":8,"total":24,"unit":"transcripts","message":"The model is being loaded.","num_active":0,"eta_seconds":0.0}');
INSERT INTO "job_events" VALUES('run-8184fb2621d7437e',6,'2026-11-30 05:00:30.166380','progress','{"phase":"load_model","done":8,"total":24,"unit":"transcripts","message":"The model is being loaded.","num_active":0,"eta_seconds":0.0}');
INSERT INTO "job_events" VALUES('run-8184fb2621d7437e',7,'2026-11-30 05:00:31.754158','progress','{"phase":"load_model","done":8,"total":24,"unit":"transcripts","message":"The model is being loaded.","num_active":0,"eta_seconds":0.0}');
INSERT INTO "job_events" VALUES('run-8184fb2621d7437e',8,'2026-11-30 05:00:33.655628','progress','{"phase":"load_model","done":8,"total":24,"unit":"transcripts","message":"The model is being loaded.","num_active":0,"eta_seconds":0.0}');
INSERT INTO "job_events" VALUES('run-8184fb2621d7437e',9,'2026-11-30 05:00:35.650199','progress','{"phase":"load_model","done":8,"total":24,"unit":"transcripts","message":"The model is being loaded.","num_active":0,"eta_seconds":0.0}');
INSERT INTO "job_events" VALUES('run-8184fb2621d7437e',10,'2026-11-30 05:00:37.703705','progress','{"phase":"load_model","done":8,"total":24,"unit":"transcripts","message":"The model is being loaded.","num_active":0,"eta_seconds":0.0}');
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
INSERT INTO "jobs" VALUES(1,'run-78b5a995d0564124','test_run','SUCCEEDED','ended','{"model_version_id":"tiny@1","test_suite_version_id":"text/smoke@1"}','{"phase":"load_model","done":24,"total":24,"unit":"transcripts","message":"The model is being loaded.","num_active":0,"eta_seconds":0.0}','{"num_transcripts":24,"num_generated_tokens":74}',NULL,NULL,1,1,NULL,NULL,NULL,'2026-11-30 05:00:07.984914','2026-11-30 05:00:17.106622','2026-11-30 05:00:08.385105','2026-11-30 05:00:17.106622',10,0,'{"load_model":24}');
INSERT INTO "jobs" VALUES(2,'run-8184fb2621d7437e','test_run','RUNNING','going-on','{"model_version_id":"tiny@1","test_suite_version_id":"text/smoke@1"}','{"phase":"load_model","done":8,"total":24,"unit":"transcripts","message":"The model is being loaded.","num_active":0,"eta_seconds":0.0}',NULL,NULL,NULL,1,1,'test_runner@earlier:15750',38496.0308477,'2026-11-30 05:05:34.851156','2026-11-30 05:00:27.905635','2026-11-30 05:00:37.703705','2026-11-30 05:00:28.173923',NULL,10,0,'{"load_model":8}');
CREATE TABLE test_runs (
	test_run_id VARCHAR NOT NULL, 
	inputs JSON NOT NULL, 
	environment JSON NOT NULL, 
	num_transcripts INTEGER NOT NULL, 
	num_generated_tokens BIGINT NOT NULL, num_unanswered INTEGER DEFAULT '0' NOT NULL, 
	PRIMARY KEY (test_run_id)
);
INSERT INTO "test_runs" VALUES('run-78b5a995d0564124','{"model_version_id":"tiny@1","test_suite_version_id":"text/smoke@1","base":{"uri":"file:///srv/drillyard/registry/artifacts/trees/01/01a12ef998fcd716c3cbe2f7fd82f65eca9e0d23aa4263d2a5cd458cc33fea2c","digest":"sha256:01a12ef998fcd716c3cbe2f7fd82f65eca9e0d23aa4263d2a5cd458cc33fea2c"},"adapter":null,"test_suite_digest":"sha256:b5fbd9e75b51a0303bd6fe6514e642df85e3a1da27d72ccc0ed43950bee7ca19","profile_id":"text","profile_digest":"sha256:ef241ca8bd4a30414c9aaa04b153813fb1c508ef2b8590981c0e0eb9d08c10d0","num_cases":24,"window_size":4,"num_threads":0,"form":"folder","num_context_tokens":0}','{"dtype":"float32","num_threads":2,"chat_template_digest":"sha256:template","library_versions":{"torch":"2.13.0"},"endpoint":{},"device":""}',24,74,0);
INSERT INTO "test_runs" VALUES('run-8184fb2621d7437e','{"model_version_id":"tiny@1","test_suite_version_id":"text/smoke@1","base":{"uri":"file:///srv/drillyard/registry/artifacts/trees/01/01a12ef998fcd716c3cbe2f7fd82f65eca9e0d23aa4263d2a5cd458cc33fea2c","digest":"sha256:01a12ef998fcd716c3cbe2f7fd82f65eca9e0d23aa4263d2a5cd458cc33fea2c"},"adapter":null,"test_suite_digest":"sha256:b5fbd9e75b51a0303bd6fe6514e642df85e3a1da27d72ccc0ed43950bee7ca19","profile_id":"text","profile_digest":"sha256:ef241ca8bd4a30414c9aaa04b153813fb1c508ef2b8590981c0e0eb9d08c10d0","num_cases":24,"window_size":4,"num_threads":0,"form":"folder","num_context_tokens":0}','{"dtype":"float32","num_threads":2,"chat_template_digest":"sha256:template","library_versions":{"torch":"2.13.0"},"endpoint":{},"device":""}',8,26,0);
CREATE TABLE transcripts (
	test_run_id VARCHAR NOT NULL, 
	sequence INTEGER NOT NULL, 
	transcript_id VARCHAR NOT NULL, 
	case_id VARCHAR NOT NULL, 
	repeat INTEGER NOT NULL, 
	messages JSON NOT NULL, 
	token_ids TEXT NOT NULL, 
	finish_reason VARCHAR NOT NULL, 
	num_prompt_tokens INTEGER NOT NULL, 
	num_cached_tokens INTEGER NOT NULL, 
	prefill_seconds FLOAT NOT NULL, 
	decode_seconds FLOAT NOT NULL, turns JSON DEFAULT '[]' NOT NULL, stop VARCHAR DEFAULT '' NOT NULL, 
	PRIMARY KEY (test_run_id, sequence), 
	FOREIGN KEY(test_run_id) REFERENCES test_runs (test_run_id), 
	UNIQUE (transcript_id)
);
INSERT INTO "transcripts" VALUES('run-78b5a995d0564124',1,'run-78b5a995d0564124-1','smoke-arithmetic-01',0,'[["user","What is 17 + 26? Answer with the number alone."],["assistant","Paris"]]','80 115','stop',760,640,0.4,0.025,'[{"message_index":1,"num_prompt_tokens":760,"num_cached_tokens":640,"num_generated_tokens":2,"prefill_seconds":0.4,"decode_seconds":0.025,"finish_reason":"stop","num_ids":2}]','completed');
INSERT INTO "transcripts" VALUES('run-78b5a995d0564124',2,'run-78b5a995d0564124-2','smoke-arithmetic-02',0,'[["user","What is 12 times 8? Answer with the number alone."],["assistant","I do not know."]]','73 32 32 119','stop',760,640,0.4,0.07,'[{"message_index":1,"num_prompt_tokens":760,"num_cached_tokens":640,"num_generated_tokens":4,"prefill_seconds":0.4,"decode_seconds":0.07,"finish_reason":"stop","num_ids":4}]','completed');
INSERT INTO "transcripts" VALUES('run-78b5a995d0564124',3,'run-78b5a995d0564124-3','smoke-arithmetic-03',0,'[["user","A box holds 6 eggs. How many eggs do 7 full boxes hold? Answer with the number alone."],["assistant","I do not know."]]','73 32 32 119','stop',760,640,0.4,0.07,'[{"message_index":1,"num_prompt_tokens":760,"num_cached_tokens":640,"num_generated_tokens":4,"prefill_seconds":0.4,"decode_seconds":0.07,"finish_reason":"stop","num_ids":4}]','completed');
INSERT INTO "transcripts" VALUES('run-78b5a995d0564124',4,'run-78b5a995d0564124-4','smoke-arithmetic-04',0,'[["user","What is half of 90? Answer with the number alone."],["assistant","I do not know."]]','73 32 32 119','stop',760,640,0.4,0.07,'[{"message_index":1,"num_prompt_tokens":760,"num_cached_tokens":640,"num_generated_tokens":4,"prefill_seconds":0.4,"decode_seconds":0.07,"finish_reason":"stop","num_ids":4}]','completed');
INSERT INTO "transcripts" VALUES('run-78b5a995d0564124',5,'run-78b5a995d0564124-5','smoke-capitals-01',0,'[["user","What is the capital of France?"],["assistant","I do not know."]]','73 32 32 119','stop',760,640,0.4,0.07,'[{"message_index":1,"num_prompt_tokens":760,"num_cached_tokens":640,"num_generated_tokens":4,"prefill_seconds":0.4,"decode_seconds":0.07,"finish_reason":"stop","num_ids":4}]','completed');
INSERT INTO "transcripts" VALUES('run-78b5a995d0564124',6,'run-78b5a995d0564124-6','smoke-capitals-02',0,'[["user","What is the capital of Japan?"],["assistant","I do not know."]]','73 32 32 119','stop',760,640,0.4,0.07,'[{"message_index":1,"num_prompt_tokens":760,"num_cached_tokens":640,"num_generated_tokens":4,"prefill_seconds":0.4,"decode_seconds":0.07,"finish_reason":"stop","num_ids":4}]','completed');
INSERT INTO "transcripts" VALUES('run-78b5a995d0564124',7,'run-78b5a995d0564124-7','smoke-capitals-03',0,'[["user","Name the capital of Canada."],["assistant","Paris"]]','80 115','stop',760,640,0.4,0.025,'[{"message_index":1,"num_prompt_tokens":760,"num_cached_tokens":640,"num_generated_tokens":2,"prefill_seconds":0.4,"decode_seconds":0.025,"finish_reason":"stop","num_ids":2}]','completed');
INSERT INTO "transcripts" VALUES('run-78b5a995d0564124',8,'run-78b5a995d0564124-8','smoke-capitals-04',0,'[["user","Which city is the capital of Kenya?"],["assistant","Paris"]]','80 115','stop',760,640,0.4,0.025,'[{"message_index":1,"num_prompt_tokens":760,"num_cached_tokens":640,"num_generated_tokens":2,"prefill_seconds":0.4,"decode_seconds":0.025,"finish_reason":"stop","num_ids":2}]','completed');
INSERT INTO "transcripts" VALUES('run-78b5a995d0564124',9,'run-78b5a995d0564124-9','smoke-json-01',0,'[["user","Reply with nothing but a JSON object that has the key name with the value Ada and the key age with the value 36."],["assistant","I do not know."]]','73 32 32 119','stop',760,640,0.4,0.07,'[{"message_index":1,"num_prompt_tokens":760,"num_cached_tokens":640,"num_generated_tokens":4,"prefill_seconds":0.4,"decode_seconds":0.07,"finish_reason":"stop","num_ids":4}]','completed');
INSERT INTO "transcripts" VALUES('run-78b5a995d0564124',10,'run-78b5a995d0564124-10','smoke-json-02',0,'[["user","Reply with nothing but a JSON list of the first three even numbers above zero."],["assistant","I do not know."]]','73 32 32 119','stop',760,640,0.4,0.07,'[{"message_index":1,"num_prompt_tokens":760,"num_cached_tokens":640,"num_generated_tokens":4,"prefill_seconds":0.4,"decode_seconds":0.07,"finish_reason":"stop","num_ids":4}]','completed');
INSERT INTO "transcripts" VALUES('run-78b5a995d0564124',11,'run-78b5a995d0564124-11','smoke-json-03',0,'[["user","Reply with nothing but a JSON object with the key colour, whose value is one of red, green and blue."],["assistant","Paris"]]','80 115','stop',760,640,0.4,0.025,'[{"message_index":1,"num_prompt_tokens":760,"num_cached_tokens":640,"num_generated_tokens":2,"prefill_seconds":0.4,"decode_seconds":0.025,"finish_reason":"stop","num_ids":2}]','completed');
INSERT INTO "transcripts" VALUES('run-78b5a995d0564124',12,'run-78b5a995d0564124-12','smoke-json-04',0,'[["user","Reply with nothing but the JSON value that stands for true."],["assistant","Paris"]]','80 115','stop',760,640,0.4,0.025,'[{"message_index":1,"num_prompt_tokens":760,"num_cached_tokens":640,"num_generated_tokens":2,"prefill_seconds":0.4,"decode_seconds":0.025,"finish_reason":"stop","num_ids":2}]','completed');
INSERT INTO "transcripts" VALUES('run-78b5a995d0564124',13,'run-78b5a995d0564124-13','smoke-copy-01',0,'[["user","Repeat exactly, and write nothing else: The kettle sings at noon."],["assistant","I do not know."]]','73 32 32 119','stop',760,640,0.4,0.07,'[{"message_index":1,"num_prompt_tokens":760,"num_cached_tokens":640,"num_generated_tokens":4,"prefill_seconds":0.4,"decode_seconds":0.07,"finish_reason":"stop","num_ids":4}]','completed');
INSERT INTO "transcripts" VALUES('run-78b5a995d0564124',14,'run-78b5a995d0564124-14','smoke-copy-02',0,'[["user","Write this word and nothing else: zephyr"],["assistant","I do not know."]]','73 32 32 119','stop',760,640,0.4,0.07,'[{"message_index":1,"num_prompt_tokens":760,"num_cached_tokens":640,"num_generated_tokens":4,"prefill_seconds":0.4,"decode_seconds":0.07,"finish_reason":"stop","num_ids":4}]','completed');
INSERT INTO "transcripts" VALUES('run-78b5a995d0564124',15,'run-78b5a995d0564124-15','smoke-copy-03',0,'[["user","Repeat exactly, and write nothing else: A-17/B_42"],["assistant","Paris"]]','80 115','stop',760,640,0.4,0.025,'[{"message_index":1,"num_prompt_tokens":760,"num_cached_tokens":640,"num_generated_tokens":2,"prefill_seconds":0.4,"decode_seconds":0.025,"finish_reason":"stop","num_ids":2}]','completed');
INSERT INTO "transcripts" VALUES('run-78b5a995d0564124',16,'run-78b5a995d0564124-16','smoke-copy-04',0,'[["user","Write the word river in capital letters and nothing else."],["assistant","Paris"]]','80 115','stop',760,640,0.4,0.025,'[{"message_index":1,"num_prompt_tokens":760,"num_cached_tokens":640,"num_generated_tokens":2,"prefill_seconds":0.4,"decode_seconds":0.025,"finish_reason":"stop","num_ids":2}]','completed');
INSERT INTO "transcripts" VALUES('run-78b5a995d0564124',17,'run-78b5a995d0564124-17','smoke-yes_no-01',0,'[["user","Is ice colder than steam? Answer yes or no."],["assistant","I do not know."]]','73 32 32 119','stop',760,640,0.4,0.07,'[{"message_index":1,"num_prompt_tokens":760,"num_cached_tokens":640,"num_generated_tokens":4,"prefill_seconds":0.4,"decode_seconds":0.07,"finish_reason":"stop","num_ids":4}]','completed');
INSERT INTO "transcripts" VALUES('run-78b5a995d0564124',18,'run-78b5a995d0564124-18','smoke-yes_no-02',0,'[["user","Do fish live on the moon? Answer yes or no."],["assistant","Paris"]]','80 115','stop',760,640,0.4,0.025,'[{"message_index":1,"num_prompt_tokens":760,"num_cached_tokens":640,"num_generated_tokens":2,"prefill_seconds":0.4,"decode_seconds":0.025,"finish_reason":"stop","num_ids":2}]','completed');
INSERT INTO "transcripts" VALUES('run-78b5a995d0564124',19,'run-78b5a995d0564124-19','smoke-yes_no-03',0,'[["user","Is seven an odd number? Answer yes or no."],["assistant","Paris"]]','80 115','stop',760,640,0.4,0.025,'[{"message_index":1,"num_prompt_tokens":760,"num_cached_tokens":640,"num_generated_tokens":2,"prefill_seconds":0.4,"decode_seconds":0.025,"finish_reason":"stop","num_ids":2}]','completed');
INSERT INTO "transcripts" VALUES('run-78b5a995d0564124',20,'run-78b5a995d0564124-20','smoke-yes_no-04',0,'[["user","Does a week have ten days? Answer yes or no."],["assistant","Paris"]]','80 115','stop',760,640,0.4,0.025,'[{"message_index":1,"num_prompt_tokens":760,"num_cached_tokens":640,"num_generated_tokens":2,"prefill_seconds":0.4,"decode_seconds":0.025,"finish_reason":"stop","num_ids":2}]','completed');
INSERT INTO "transcripts" VALUES('run-78b5a995d0564124',21,'run-78b5a995d0564124-21','smoke-facts-01',0,'[["user","What gas do plants take in from the air to grow? Answer in a few words."],["assistant","I do not know."]]','73 32 32 119','stop',760,640,0.4,0.07,'[{"message_index":1,"num_prompt_tokens":760,"num_cached_tokens":640,"num_generated_tokens":4,"prefill_seconds":0.4,"decode_seconds":0.07,"finish_reason":"stop","num_ids":4}]','completed');
INSERT INTO "transcripts" VALUES('run-78b5a995d0564124',22,'run-78b5a995d0564124-22','smoke-facts-02',0,'[["user","How many legs does a spider have? Answer with the number alone."],["assistant","I do not know."]]','73 32 32 119','stop',760,640,0.4,0.07,'[{"message_index":1,"num_prompt_tokens":760,"num_cached_tokens":640,"num_generated_tokens":4,"prefill_seconds":0.4,"decode_seconds":0.07,"finish_reason":"stop","num_ids":4}]','completed');
INSERT INTO "transcripts" VALUES('run-78b5a995d0564124',23,'run-78b5a995d0564124-23','smoke-rewording-01',0,'[["user","Say in one short sentence that the train leaves at nine."],["assistant","I do not know."]]','73 32 32 119','stop',760,640,0.4,0.07,'[{"message_index":1,"num_prompt_tokens":760,"num_cached_tokens":640,"num_generated_tokens":4,"prefill_seconds":0.4,"decode_seconds":0.07,"finish_reason":"stop","num_ids":4}]','completed');
INSERT INTO "transcripts" VALUES('run-78b5a995d0564124',24,'run-78b5a995d0564124-24','smoke-rewording-02',0,'[["user","Translate into English: Guten Morgen, liebe Freunde."],["assistant","Paris"]]','80 115','stop',760,640,0.4,0.025,'[{"message_index":1,"num_prompt_tokens":760,"num_cached_tokens":640,"num_generated_tokens":2,"prefill_seconds":0.4,"decode_seconds":0.025,"finish_reason":"stop","num_ids":2}]','completed');
INSERT INTO "transcripts" VALUES('run-8184fb2621d7437e',1,'run-8184fb2621d7437e-1','smoke-arithmetic-01',0,'[["user","What is 17 + 26? Answer with the number alone."],["assistant","Paris"]]','80 115','stop',760,640,0.4,0.025,'[{"message_index":1,"num_prompt_tokens":760,"num_cached_tokens":640,"num_generated_tokens":2,"prefill_seconds":0.4,"decode_seconds":0.025,"finish_reason":"stop","num_ids":2}]','completed');
INSERT INTO "transcripts" VALUES('run-8184fb2621d7437e',2,'run-8184fb2621d7437e-2','smoke-arithmetic-02',0,'[["user","What is 12 times 8? Answer with the number alone."],["assistant","I do not know."]]','73 32 32 119','stop',760,640,0.4,0.07,'[{"message_index":1,"num_prompt_tokens":760,"num_cached_tokens":640,"num_generated_tokens":4,"prefill_seconds":0.4,"decode_seconds":0.07,"finish_reason":"stop","num_ids":4}]','completed');
INSERT INTO "transcripts" VALUES('run-8184fb2621d7437e',3,'run-8184fb2621d7437e-3','smoke-arithmetic-03',0,'[["user","A box holds 6 eggs. How many eggs do 7 full boxes hold? Answer with the number alone."],["assistant","I do not know."]]','73 32 32 119','stop',760,640,0.4,0.07,'[{"message_index":1,"num_prompt_tokens":760,"num_cached_tokens":640,"num_generated_tokens":4,"prefill_seconds":0.4,"decode_seconds":0.07,"finish_reason":"stop","num_ids":4}]','completed');
INSERT INTO "transcripts" VALUES('run-8184fb2621d7437e',4,'run-8184fb2621d7437e-4','smoke-arithmetic-04',0,'[["user","What is half of 90? Answer with the number alone."],["assistant","I do not know."]]','73 32 32 119','stop',760,640,0.4,0.07,'[{"message_index":1,"num_prompt_tokens":760,"num_cached_tokens":640,"num_generated_tokens":4,"prefill_seconds":0.4,"decode_seconds":0.07,"finish_reason":"stop","num_ids":4}]','completed');
INSERT INTO "transcripts" VALUES('run-8184fb2621d7437e',5,'run-8184fb2621d7437e-5','smoke-capitals-01',0,'[["user","What is the capital of France?"],["assistant","I do not know."]]','73 32 32 119','stop',760,640,0.4,0.07,'[{"message_index":1,"num_prompt_tokens":760,"num_cached_tokens":640,"num_generated_tokens":4,"prefill_seconds":0.4,"decode_seconds":0.07,"finish_reason":"stop","num_ids":4}]','completed');
INSERT INTO "transcripts" VALUES('run-8184fb2621d7437e',6,'run-8184fb2621d7437e-6','smoke-capitals-02',0,'[["user","What is the capital of Japan?"],["assistant","I do not know."]]','73 32 32 119','stop',760,640,0.4,0.07,'[{"message_index":1,"num_prompt_tokens":760,"num_cached_tokens":640,"num_generated_tokens":4,"prefill_seconds":0.4,"decode_seconds":0.07,"finish_reason":"stop","num_ids":4}]','completed');
INSERT INTO "transcripts" VALUES('run-8184fb2621d7437e',7,'run-8184fb2621d7437e-7','smoke-capitals-03',0,'[["user","Name the capital of Canada."],["assistant","Paris"]]','80 115','stop',760,640,0.4,0.025,'[{"message_index":1,"num_prompt_tokens":760,"num_cached_tokens":640,"num_generated_tokens":2,"prefill_seconds":0.4,"decode_seconds":0.025,"finish_reason":"stop","num_ids":2}]','completed');
INSERT INTO "transcripts" VALUES('run-8184fb2621d7437e',8,'run-8184fb2621d7437e-8','smoke-capitals-04',0,'[["user","Which city is the capital of Kenya?"],["assistant","Paris"]]','80 115','stop',760,640,0.4,0.025,'[{"message_index":1,"num_prompt_tokens":760,"num_cached_tokens":640,"num_generated_tokens":2,"prefill_seconds":0.4,"decode_seconds":0.025,"finish_reason":"stop","num_ids":2}]','completed');
CREATE INDEX ix_jobs_kind_ordinal ON jobs (kind, ordinal);
CREATE INDEX ix_jobs_kind_state ON jobs (kind, state);
CREATE INDEX transcripts_by_case ON transcripts (test_run_id, case_id, repeat);
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('jobs',2);
COMMIT;
