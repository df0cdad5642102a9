BEGIN TRANSACTION;
CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL,
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "alembic_version" VALUES('0002_turns');
CREATE TABLE job_events (
	job_id VARCHAR NOT NULL,
	sequence INTEGER NOT NULL,
	time DATETIME NOT NULL,
	type VARCHAR NOT NULL,
	payload JSON NOT NULL,
	PRIMARY KEY (job_id, sequence),
	FOREIGN KEY(job_id) REFERENCES jobs (job_id)
);
INSERT INTO "job_events" VALUES('run-1c6c7e280b3a4358',1,'2026-11-30 05:06:35.436206','state','{"state":"QUEUED"}');
INSERT INTO "job_events" VALUES('run-1c6c7e280b3a4358',2,'2026-11-30 05:06:36.611040','state','{"state":"RUNNING","attempt":1,"epoch":1}');
INSERT INTO "job_events" VALUES('run-1c6c7e280b3a4358',3,'2026-11-30 05:06:38.850122','progress','{"phase":"load_model","done":0,"total":4,"unit":"transcripts","message":"The model is being loaded.","num_active":0}');
INSERT INTO "job_events" VALUES('run-1c6c7e280b3a4358',4,'2026-11-30 05:06:40.840810','progress','{"phase":"load_model","done":0,"total":4,"unit":"transcripts","message":"The model is being loaded.","num_active":0}');
INSERT INTO "job_events" VALUES('run-1c6c7e280b3a4358',5,'2026-11-30 05:06:45.773260','progress','{"phase":"load_model","done":0,"total":4,"unit":"transcripts","message":"The model is being loaded.","num_active":0}');
INSERT INTO "job_events" VALUES('run-1c6c7e280b3a4358',6,'2026-11-30 05:06:52.437757','progress','{"phase":"load_model","done":0,"total":4,"unit":"transcripts","message":"The model is being loaded.","num_active":0}');
INSERT INTO "job_events" VALUES('run-a79383dcea864113',1,'2026-11-30 05:06:53.486902','state','{"state":"QUEUED"}');
INSERT INTO "job_events" VALUES('run-1c6c7e280b3a4358',7,'2026-11-30 05:06:54.254140','progress','{"phase":"generate","done":0,"total":4,"unit":"transcripts","message":"The prompts are being read.","num_active":1,"tokens_per_second":0.0}');
INSERT INTO "job_events" VALUES('run-1c6c7e280b3a4358',8,'2026-11-30 05:06:55.430335','progress','{"phase":"generate","done":1,"total":4,"unit":"transcripts","message":"The prompts are being read.","num_active":1,"tokens_per_second":0.0}');
INSERT INTO "job_events" VALUES('run-1c6c7e280b3a4358',9,'2026-11-30 05:06:55.886389','progress','{"phase":"generate","done":1,"total":4,"unit":"transcripts","message":"2 tokens a second, 1 answer in work.","num_active":1,"tokens_per_second":1.5}');
INSERT INTO "job_events" VALUES('run-1c6c7e280b3a4358',10,'2026-11-30 05:06:59.349882','progress','{"phase":"generate","done":2,"total":4,"unit":"transcripts","message":"1 tokens a second, 1 answer in work.","num_active":1,"tokens_per_second":1.2}');
INSERT INTO "job_events" VALUES('run-1c6c7e280b3a4358',11,'2026-11-30 05:07:06.600627','progress','{"phase":"generate","done":2,"total":4,"unit":"transcripts","message":"1 tokens a second, 0 answers in work.","num_active":0,"tokens_per_second":0.9}');
INSERT INTO "job_events" VALUES('run-1c6c7e280b3a4358',12,'2026-11-30 05:07:13.910926','progress','{"phase":"generate","done":2,"total":4,"unit":"transcripts","message":"0 tokens a second, 0 answers in work.","num_active":0,"tokens_per_second":0.3}');
INSERT INTO "job_events" VALUES('run-1c6c7e280b3a4358',13,'2026-11-30 05:07:15.044406','progress','{"phase":"generate","done":3,"total":4,"unit":"transcripts","message":"0 tokens a second, 1 answer in work.","num_active":1,"tokens_per_second":0.4}');
INSERT INTO "job_events" VALUES('run-1c6c7e280b3a4358',14,'2026-11-30 05:07:16.892054','progress','{"phase":"generate","done":3,"total":4,"unit":"transcripts","message":"0 tokens a second, 1 answer in work.","num_active":1,"tokens_per_second":0.4}');
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
INSERT INTO "jobs" VALUES(1,'run-1c6c7e280b3a4358','test_run','RUNNING','the-run','{"model_version_id":"","test_suite_version_id":"roo_xml/small@1","prompt_size":"compact","sampling":{"temperature":0.0,"top_p":1.0,"top_k":0,"max_new_tokens":48},"num_repeats":1,"seed":0,"dtype":"","endpoint":{"base_url":"http://127.0.0.1:35609/v1","model":"fake-model","api_key_secret":"","tool_mode":"profile","num_ctx":0,"stop":[],"extra_body":"","max_concurrency":1}}','{"phase":"generate","done":3,"total":4,"unit":"transcripts","message":"0 tokens a second, 1 answer in work.","num_active":1,"tokens_per_second":0.4}',NULL,NULL,NULL,1,1,'test_runner@host:21516',38631.969159823,'2026-11-30 05:07:50.789468','2026-11-30 05:06:35.436206','2026-11-30 05:07:16.892054','2026-11-30 05:06:36.611040',NULL,14);
INSERT INTO "jobs" VALUES(2,'run-a79383dcea864113','test_run','QUEUED','loop-8affa2c448a3852bcd41/0/test','{"model_version_id":"tiny@1","test_suite_version_id":"roo_xml/small@1","prompt_size":"compact","sampling":{"temperature":0.0,"top_p":1.0,"top_k":0,"max_new_tokens":192},"num_repeats":1,"seed":0,"dtype":""}','{}',NULL,NULL,NULL,0,0,NULL,NULL,NULL,'2026-11-30 05:06:53.486902','2026-11-30 05:06:53.486902',NULL,NULL,1);
CREATE TABLE test_runs (
	test_run_id VARCHAR NOT NULL,
	inputs JSON NOT NULL,
	environment JSON NOT NULL,
	num_transcripts INTEGER NOT NULL,
	num_generated_tokens BIGINT NOT NULL,
	PRIMARY KEY (test_run_id)
);
INSERT INTO "test_runs" VALUES('run-1c6c7e280b3a4358','{"model_version_id":"","test_suite_version_id":"roo_xml/small@1","base":null,"adapter":null,"test_suite_digest":"sha256:6488c8db020659422503ba22c7abc8cb5f892da7049074e55b90ef7d7903fc57","profile_id":"roo_xml","profile_digest":"sha256:1acb780798b61735bd0f21f385a097e7b5be89badcb0c5e1ed4ad62c71b15bef","num_cases":4,"window_size":2,"num_threads":0}','{"dtype":"","num_threads":0,"chat_template_digest":"","library_versions":{"openai":"3.54.0"},"endpoint":{"model":"fake-model"},"device":""}',2,6);
INSERT INTO "test_runs" VALUES('run-a79383dcea864113','{"model_version_id":"tiny@1","test_suite_version_id":"roo_xml/small@1","base":{"uri":"file:///data/registry/artifacts/trees/af/afc3ab18cd1e79e16f6ba3ff89e0dc2cee27bc9266c744bf0090474c3476aa46","digest":"sha256:afc3ab18cd1e79e16f6ba3ff89e0dc2cee27bc9266c744bf0090474c3476aa46"},"adapter":null,"test_suite_digest":"sha256:6488c8db020659422503ba22c7abc8cb5f892da7049074e55b90ef7d7903fc57","profile_id":"roo_xml","profile_digest":"sha256:1acb780798b61735bd0f21f385a097e7b5be89badcb0c5e1ed4ad62c71b15bef","num_cases":4,"window_size":2,"num_threads":0}','{"dtype":"","num_threads":0,"chat_template_digest":"","library_versions":{},"endpoint":{},"device":""}',0,0);
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
INSERT INTO "transcripts" VALUES('run-1c6c7e280b3a4358',1,'run-1c6c7e280b3a4358-1','core-read_file-01',0,'[["system","You are Roo, a coding agent. You work in the user''s project only through tools.\n\nAnswer with exactly one tool call, written as XML tags. The call comes last; write nothing after it. No JSON, no code fence. Close every tag. Copy paths, commands, patterns, names and text exactly.\n\n<read_file>\n<args>\n<file>\n<path>dir/a.py</path>\n<line_range>5-20</line_range>\n</file>\n</args>\n</read_file>\nOne <file> for each path; <line_range> only if lines are asked for.\n\n<search_files>\n<path>dir</path>\n<regex>pattern</regex>\n<file_pattern>*.py</file_pattern>\n</search_files>\n\n<list_files>\n<path>dir</path>\n<recursive>false</recursive>\n</list_files>\n\n<fetch_instructions>\n<task>create_mode</task>\n</fetch_instructions>\nThe task is create_mcp_server or create_mode.\n\n<write_to_file>\n<path>dir/a.py</path>\n<content>\nthe whole file\n</content>\n</write_to_file>\n\n<apply_diff>\n<path>dir/a.py</path>\n<diff>\n<<<<<<< SEARCH\n:start_line:3\n-------\nold line 3\n=======\nnew line 3\n>>>>>>> REPLACE\n</diff>\n</apply_diff>\nFor a change in an existing file. start_line is the number of the first old line.\n\n<execute_command>\n<command>make test</command>\n<cwd>dir</cwd>\n</execute_command>\n<cwd> only if a folder is asked for.\n\n<use_mcp_tool>\n<server_name>name</server_name>\n<tool_name>name</tool_name>\n<arguments>{\"key\": \"value\"}</arguments>\n</use_mcp_tool>\n\n<ask_followup_question>\n<question>What do you want to know?</question>\n<follow_up>\n<suggest>first answer</suggest>\n<suggest>second answer</suggest>\n</follow_up>\n</ask_followup_question>\n\n<attempt_completion>\n<result>\nWhat was achieved.\n</result>\n</attempt_completion>\n\n<switch_mode>\n<mode_slug>code</mode_slug>\n<reason>why</reason>\n</switch_mode>\n\n<new_task>\n<mode>code</mode>\n<message>what to do</message>\n</new_task>\n\n<update_todo_list>\n<todos>\n[x] done\n[-] in progress\n[ ] open\n</todos>\n</update_todo_list>\nAlways write the whole list.\n\nModes: code writes and changes code; debug finds the cause of faults; architect plans, edits only .md files, runs no commands; ask explains, edits nothing, runs no commands; orchestrator only delegates: no reading, editing, commands or MCP."],["user","<task>\nPlease read the file `internal/catalog/catalogue.go` and tell me about it.\n</task>\n\n<environment_details>\n# Current Mode\n<slug>code</slug>\n\n# Workspace Files\ninternal/catalog/catalogue.go\npackages/geo/thermostat_notify.java\nsrc/mailer/quarry_merge.ts\n</environment_details>"],["assistant","<read_file>\n<args>\n<file>\n<path>src/main.py</path>\n</file>\n</args>\n</read_file>"]]','','stop',11,0,3.2435171997349243611e-02,1.08520440044230781495e-02,'[{"message_index":2,"num_prompt_tokens":11,"num_generated_tokens":3,"queue_seconds":3.110599936917424e-05,"prefill_seconds":0.032435171997349244,"decode_seconds":0.010852044004423078,"finish_reason":"stop","num_ids":0}]','turn_budget');
INSERT INTO "transcripts" VALUES('run-1c6c7e280b3a4358',2,'run-1c6c7e280b3a4358-2','core-fetch_instructions-03',0,'[["system","You are Roo, a coding agent. You work in the user''s project only through tools.\n\nAnswer with exactly one tool call, written as XML tags. The call comes last; write nothing after it. No JSON, no code fence. Close every tag. Copy paths, commands, patterns, names and text exactly.\n\n<read_file>\n<args>\n<file>\n<path>dir/a.py</path>\n<line_range>5-20</line_range>\n</file>\n</args>\n</read_file>\nOne <file> for each path; <line_range> only if lines are asked for.\n\n<search_files>\n<path>dir</path>\n<regex>pattern</regex>\n<file_pattern>*.py</file_pattern>\n</search_files>\n\n<list_files>\n<path>dir</path>\n<recursive>false</recursive>\n</list_files>\n\n<fetch_instructions>\n<task>create_mode</task>\n</fetch_instructions>\nThe task is create_mcp_server or create_mode.\n\n<write_to_file>\n<path>dir/a.py</path>\n<content>\nthe whole file\n</content>\n</write_to_file>\n\n<apply_diff>\n<path>dir/a.py</path>\n<diff>\n<<<<<<< SEARCH\n:start_line:3\n-------\nold line 3\n=======\nnew line 3\n>>>>>>> REPLACE\n</diff>\n</apply_diff>\nFor a change in an existing file. start_line is the number of the first old line.\n\n<execute_command>\n<command>make test</command>\n<cwd>dir</cwd>\n</execute_command>\n<cwd> only if a folder is asked for.\n\n<use_mcp_tool>\n<server_name>name</server_name>\n<tool_name>name</tool_name>\n<arguments>{\"key\": \"value\"}</arguments>\n</use_mcp_tool>\n\n<ask_followup_question>\n<question>What do you want to know?</question>\n<follow_up>\n<suggest>first answer</suggest>\n<suggest>second answer</suggest>\n</follow_up>\n</ask_followup_question>\n\n<attempt_completion>\n<result>\nWhat was achieved.\n</result>\n</attempt_completion>\n\n<switch_mode>\n<mode_slug>code</mode_slug>\n<reason>why</reason>\n</switch_mode>\n\n<new_task>\n<mode>code</mode>\n<message>what to do</message>\n</new_task>\n\n<update_todo_list>\n<todos>\n[x] done\n[-] in progress\n[ ] open\n</todos>\n</update_todo_list>\nAlways write the whole list.\n\nModes: code writes and changes code; debug finds the cause of faults; architect plans, edits only .md files, runs no commands; ask explains, edits nothing, runs no commands; orchestrator only delegates: no reading, editing, commands or MCP."],["user","<task>\nWhich instructions are there for creating an MCP server? It will serve the roster warehouse.\n</task>\n\n<environment_details>\n# Current Mode\n<slug>code</slug>\n</environment_details>"],["assistant","<read_file>\n<args>\n<file>\n<path>src/main.py</path>\n</file>\n</args>\n</read_file>"]]','','stop',11,0,9.49637899975641630589e-02,1.54887030003010295331e-02,'[{"message_index":2,"num_prompt_tokens":11,"num_generated_tokens":3,"queue_seconds":0.044970066999667324,"prefill_seconds":0.09496378999756416,"decode_seconds":0.01548870300030103,"finish_reason":"stop","num_ids":0}]','turn_budget');
CREATE INDEX ix_jobs_kind_state ON jobs (kind, state);
CREATE INDEX transcripts_by_case ON transcripts (test_run_id, case_id, repeat);
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('jobs',2);
COMMIT;
