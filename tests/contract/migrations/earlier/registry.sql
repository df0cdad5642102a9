BEGIN TRANSACTION;
CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "alembic_version" VALUES('0009_dataset_origin');
CREATE TABLE alias_moves (
	alias_id VARCHAR NOT NULL, 
	revision INTEGER NOT NULL, 
	model_version_id VARCHAR NOT NULL, 
	deployment_id VARCHAR NOT NULL, 
	evaluation_ids JSON NOT NULL, 
	shadow_model_version_id VARCHAR NOT NULL, 
	previous_revision INTEGER NOT NULL, 
	update_time DATETIME NOT NULL, 
	PRIMARY KEY (alias_id, revision)
);
CREATE TABLE artifact_claims (
	claim_id VARCHAR NOT NULL, 
	artifact_digest VARCHAR NOT NULL, 
	artifact_uri VARCHAR NOT NULL, 
	expire_time DATETIME NOT NULL, 
	is_deleting BOOLEAN DEFAULT 0 NOT NULL, 
	PRIMARY KEY (claim_id)
);
CREATE TABLE dataset_versions (
	ordinal INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	version_id VARCHAR NOT NULL, 
	owner_id VARCHAR NOT NULL, 
	version INTEGER NOT NULL, 
	request_id VARCHAR, 
	artifact_uri VARCHAR NOT NULL, 
	artifact_digest VARCHAR NOT NULL, 
	artifact_size_bytes BIGINT NOT NULL, 
	produced_by VARCHAR NOT NULL, 
	create_time DATETIME NOT NULL, 
	num_train_examples INTEGER NOT NULL, 
	num_validation_examples INTEGER NOT NULL, 
	imported_from VARCHAR DEFAULT '' NOT NULL, 
	CONSTRAINT uq_dataset_versions_owner_id_version UNIQUE (owner_id, version), 
	UNIQUE (version_id), 
	UNIQUE (request_id)
);
INSERT INTO "dataset_versions" VALUES(1,'drills@1','drills',1,NULL,'file:///srv/drillyard/registry/artifacts/blobs/8a/8afcfb82fdb6b9ae6cb7894aac349f840df9e38310a9e2a41fb9239b7b708d62','sha256:8afcfb82fdb6b9ae6cb7894aac349f840df9e38310a9e2a41fb9239b7b708d62',504,'','2026-11-30 05:00:07.031046',4,0,'unspecified 0 - all sha256:36b2daed7eec85a3f6b4cb35b337df83626e7e924d1e90eef90d94f74e0041df');
CREATE TABLE deleted_versions (
	table_name VARCHAR NOT NULL, 
	owner_id VARCHAR NOT NULL, 
	version INTEGER NOT NULL, 
	PRIMARY KEY (table_name, owner_id, version)
);
CREATE TABLE deployments (
	ordinal INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	deployment_id VARCHAR NOT NULL, 
	request_id VARCHAR, 
	model_version_id VARCHAR NOT NULL, 
	asked_backend VARCHAR NOT NULL, 
	backend VARCHAR NOT NULL, 
	image VARCHAR NOT NULL, 
	num_replicas INTEGER NOT NULL, 
	num_gpus INTEGER NOT NULL, 
	num_ctx INTEGER NOT NULL, 
	state VARCHAR NOT NULL, 
	reason TEXT NOT NULL, 
	base_url VARCHAR NOT NULL, 
	create_time DATETIME NOT NULL, 
	update_time DATETIME NOT NULL, 
	UNIQUE (deployment_id), 
	UNIQUE (request_id)
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
CREATE TABLE model_versions (
	ordinal INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	version_id VARCHAR NOT NULL, 
	owner_id VARCHAR NOT NULL, 
	version INTEGER NOT NULL, 
	request_id VARCHAR, 
	artifact_uri VARCHAR NOT NULL, 
	artifact_digest VARCHAR NOT NULL, 
	artifact_size_bytes BIGINT NOT NULL, 
	produced_by VARCHAR NOT NULL, 
	create_time DATETIME NOT NULL, 
	kind VARCHAR NOT NULL, 
	base_version_id VARCHAR, 
	source_uri VARCHAR, 
	source_digest VARCHAR, 
	source_size_bytes BIGINT, 
	architecture VARCHAR NOT NULL, 
	num_parameters BIGINT NOT NULL, 
	context_length INTEGER NOT NULL, 
	licence VARCHAR DEFAULT '' NOT NULL, 
	CONSTRAINT uq_model_versions_owner_id_version UNIQUE (owner_id, version), 
	UNIQUE (version_id), 
	UNIQUE (request_id), 
	FOREIGN KEY(base_version_id) REFERENCES model_versions (version_id)
);
INSERT INTO "model_versions" VALUES(1,'tiny@1','tiny',1,NULL,'file:///srv/drillyard/registry/artifacts/trees/01/01a12ef998fcd716c3cbe2f7fd82f65eca9e0d23aa4263d2a5cd458cc33fea2c','sha256:01a12ef998fcd716c3cbe2f7fd82f65eca9e0d23aa4263d2a5cd458cc33fea2c',1232,'','2026-11-30 05:00:01.807599','base',NULL,NULL,NULL,NULL,'llama',128,8192,'');
INSERT INTO "model_versions" VALUES(2,'tiny@2','tiny',2,'train-5d7a53f140034185/result','file:///srv/drillyard/registry/artifacts/trees/81/814098dc579a81179a5d3380e80601b120903edc66ec4e0085fc97625acd0239','sha256:814098dc579a81179a5d3380e80601b120903edc66ec4e0085fc97625acd0239',260,'training_job:train-5d7a53f140034185','2026-11-30 05:00:27.220548','adapter','tiny@1',NULL,NULL,NULL,'llama',16,8192,'');
CREATE TABLE reconcilers (
	name VARCHAR NOT NULL, 
	owner VARCHAR NOT NULL, 
	until FLOAT NOT NULL, 
	PRIMARY KEY (name)
);
CREATE TABLE test_cases (
	version_id VARCHAR NOT NULL, 
	position INTEGER NOT NULL, 
	case_id VARCHAR NOT NULL, 
	category VARCHAR NOT NULL, 
	tool VARCHAR NOT NULL, 
	document TEXT NOT NULL, 
	PRIMARY KEY (version_id, position), 
	FOREIGN KEY(version_id) REFERENCES test_suite_versions (version_id)
);
INSERT INTO "test_cases" VALUES('text/smoke@1',1,'smoke-arithmetic-01','arithmetic','text','{"case_id": "smoke-arithmetic-01", "category": "arithmetic", "tool": "text", "mode": "", "template": "What is 17 + 26? Answer with the number alone.", "task": "What is 17 + 26? Answer with the number alone.", "scoring": {"scorer": "regex", "targets": ["43\\.?"], "options": {"full": true}}, "expected": {"tool": "text", "arguments": {}, "files": {}, "free_text": [], "no_call": true}, "reference": "43"}');
INSERT INTO "test_cases" VALUES('text/smoke@1',2,'smoke-arithmetic-02','arithmetic','text','{"case_id": "smoke-arithmetic-02", "category": "arithmetic", "tool": "text", "mode": "", "template": "What is 12 times 8? Answer with the number alone.", "task": "What is 12 times 8? Answer with the number alone.", "scoring": {"scorer": "regex", "targets": ["96\\.?"], "options": {"full": true}}, "expected": {"tool": "text", "arguments": {}, "files": {}, "free_text": [], "no_call": true}, "reference": "96"}');
INSERT INTO "test_cases" VALUES('text/smoke@1',3,'smoke-arithmetic-03','arithmetic','text','{"case_id": "smoke-arithmetic-03", "category": "arithmetic", "tool": "text", "mode": "", "template": "A box holds 6 eggs. How many eggs do 7 full boxes hold? Answer with the number alone.", "task": "A box holds 6 eggs. How many eggs do 7 full boxes hold? Answer with the number alone.", "scoring": {"scorer": "regex", "targets": ["42\\.?"], "options": {"full": true}}, "expected": {"tool": "text", "arguments": {}, "files": {}, "free_text": [], "no_call": true}, "reference": "42"}');
INSERT INTO "test_cases" VALUES('text/smoke@1',4,'smoke-arithmetic-04','arithmetic','text','{"case_id": "smoke-arithmetic-04", "category": "arithmetic", "tool": "text", "mode": "", "template": "What is half of 90? Answer with the number alone.", "task": "What is half of 90? Answer with the number alone.", "scoring": {"scorer": "regex", "targets": ["45\\.?"], "options": {"full": true}}, "expected": {"tool": "text", "arguments": {}, "files": {}, "free_text": [], "no_call": true}, "reference": "45"}');
INSERT INTO "test_cases" VALUES('text/smoke@1',5,'smoke-capitals-01','capitals','text','{"case_id": "smoke-capitals-01", "category": "capitals", "tool": "text", "mode": "", "template": "What is the capital of France?", "task": "What is the capital of France?", "scoring": {"scorer": "contains", "targets": ["Paris"]}, "expected": {"tool": "text", "arguments": {}, "files": {}, "free_text": [], "no_call": true}, "reference": "Paris"}');
INSERT INTO "test_cases" VALUES('text/smoke@1',6,'smoke-capitals-02','capitals','text','{"case_id": "smoke-capitals-02", "category": "capitals", "tool": "text", "mode": "", "template": "What is the capital of Japan?", "task": "What is the capital of Japan?", "scoring": {"scorer": "contains", "targets": ["Tokyo", "Tōkyō"]}, "expected": {"tool": "text", "arguments": {}, "files": {}, "free_text": [], "no_call": true}, "reference": "Tokyo"}');
INSERT INTO "test_cases" VALUES('text/smoke@1',7,'smoke-capitals-03','capitals','text','{"case_id": "smoke-capitals-03", "category": "capitals", "tool": "text", "mode": "", "template": "Name the capital of Canada.", "task": "Name the capital of Canada.", "scoring": {"scorer": "contains", "targets": ["Ottawa"]}, "expected": {"tool": "text", "arguments": {}, "files": {}, "free_text": [], "no_call": true}, "reference": "Ottawa"}');
INSERT INTO "test_cases" VALUES('text/smoke@1',8,'smoke-capitals-04','capitals','text','{"case_id": "smoke-capitals-04", "category": "capitals", "tool": "text", "mode": "", "template": "Which city is the capital of Kenya?", "task": "Which city is the capital of Kenya?", "scoring": {"scorer": "contains", "targets": ["Nairobi"]}, "expected": {"tool": "text", "arguments": {}, "files": {}, "free_text": [], "no_call": true}, "reference": "Nairobi"}');
INSERT INTO "test_cases" VALUES('text/smoke@1',9,'smoke-json-01','json','text','{"case_id": "smoke-json-01", "category": "json", "tool": "text", "mode": "", "template": "Reply with nothing but a JSON object that has the key name with the value Ada and the key age with the value 36.", "task": "Reply with nothing but a JSON object that has the key name with the value Ada and the key age with the value 36.", "scoring": {"scorer": "json_schema", "targets": ["{\"name\": \"Ada\", \"age\": 36}"], "options": {"schema": {"type": "object", "required": ["name", "age"], "properties": {"name": {"type": "string"}, "age": {"type": "integer"}}}}}, "expected": {"tool": "text", "arguments": {}, "files": {}, "free_text": [], "no_call": true}, "reference": "{\"name\": \"Ada\", \"age\": 36}"}');
INSERT INTO "test_cases" VALUES('text/smoke@1',10,'smoke-json-02','json','text','{"case_id": "smoke-json-02", "category": "json", "tool": "text", "mode": "", "template": "Reply with nothing but a JSON list of the first three even numbers above zero.", "task": "Reply with nothing but a JSON list of the first three even numbers above zero.", "scoring": {"scorer": "json_schema", "targets": ["[2, 4, 6]"], "options": {"schema": {"type": "array", "items": {"type": "integer"}}}}, "expected": {"tool": "text", "arguments": {}, "files": {}, "free_text": [], "no_call": true}, "reference": "[2, 4, 6]"}');
INSERT INTO "test_cases" VALUES('text/smoke@1',11,'smoke-json-03','json','text','{"case_id": "smoke-json-03", "category": "json", "tool": "text", "mode": "", "template": "Reply with nothing but a JSON object with the key colour, whose value is one of red, green and blue.", "task": "Reply with nothing but a JSON object with the key colour, whose value is one of red, green and blue.", "scoring": {"scorer": "json_schema", "options": {"schema": {"type": "object", "required": ["colour"], "properties": {"colour": {"enum": ["red", "green", "blue"]}}}}}, "expected": {"tool": "text", "arguments": {}, "files": {}, "free_text": [], "no_call": true}, "reference": "{\"colour\": \"green\"}"}');
INSERT INTO "test_cases" VALUES('text/smoke@1',12,'smoke-json-04','json','text','{"case_id": "smoke-json-04", "category": "json", "tool": "text", "mode": "", "template": "Reply with nothing but the JSON value that stands for true.", "task": "Reply with nothing but the JSON value that stands for true.", "scoring": {"scorer": "json_schema", "targets": ["true"], "options": {"schema": {"type": "boolean"}}}, "expected": {"tool": "text", "arguments": {}, "files": {}, "free_text": [], "no_call": true}, "reference": "true"}');
INSERT INTO "test_cases" VALUES('text/smoke@1',13,'smoke-copy-01','copy','text','{"case_id": "smoke-copy-01", "category": "copy", "tool": "text", "mode": "", "template": "Repeat exactly, and write nothing else: The kettle sings at noon.", "task": "Repeat exactly, and write nothing else: The kettle sings at noon.", "scoring": {"scorer": "exact", "targets": ["The kettle sings at noon."]}, "expected": {"tool": "text", "arguments": {}, "files": {}, "free_text": [], "no_call": true}, "reference": "The kettle sings at noon."}');
INSERT INTO "test_cases" VALUES('text/smoke@1',14,'smoke-copy-02','copy','text','{"case_id": "smoke-copy-02", "category": "copy", "tool": "text", "mode": "", "template": "Write this word and nothing else: zephyr", "task": "Write this word and nothing else: zephyr", "scoring": {"scorer": "exact", "targets": ["zephyr"]}, "expected": {"tool": "text", "arguments": {}, "files": {}, "free_text": [], "no_call": true}, "reference": "zephyr"}');
INSERT INTO "test_cases" VALUES('text/smoke@1',15,'smoke-copy-03','copy','text','{"case_id": "smoke-copy-03", "category": "copy", "tool": "text", "mode": "", "template": "Repeat exactly, and write nothing else: A-17/B_42", "task": "Repeat exactly, and write nothing else: A-17/B_42", "scoring": {"scorer": "exact", "targets": ["A-17/B_42"]}, "expected": {"tool": "text", "arguments": {}, "files": {}, "free_text": [], "no_call": true}, "reference": "A-17/B_42"}');
INSERT INTO "test_cases" VALUES('text/smoke@1',16,'smoke-copy-04','copy','text','{"case_id": "smoke-copy-04", "category": "copy", "tool": "text", "mode": "", "template": "Write the word river in capital letters and nothing else.", "task": "Write the word river in capital letters and nothing else.", "scoring": {"scorer": "exact", "targets": ["RIVER"]}, "expected": {"tool": "text", "arguments": {}, "files": {}, "free_text": [], "no_call": true}, "reference": "RIVER"}');
INSERT INTO "test_cases" VALUES('text/smoke@1',17,'smoke-yes_no-01','yes_no','text','{"case_id": "smoke-yes_no-01", "category": "yes_no", "tool": "text", "mode": "", "template": "Is ice colder than steam? Answer yes or no.", "task": "Is ice colder than steam? Answer yes or no.", "scoring": {"scorer": "regex", "targets": ["^\\W*yes\\b"], "options": {"ignore_case": true}}, "expected": {"tool": "text", "arguments": {}, "files": {}, "free_text": [], "no_call": true}, "reference": "Yes"}');
INSERT INTO "test_cases" VALUES('text/smoke@1',18,'smoke-yes_no-02','yes_no','text','{"case_id": "smoke-yes_no-02", "category": "yes_no", "tool": "text", "mode": "", "template": "Do fish live on the moon? Answer yes or no.", "task": "Do fish live on the moon? Answer yes or no.", "scoring": {"scorer": "regex", "targets": ["^\\W*no\\b"], "options": {"ignore_case": true}}, "expected": {"tool": "text", "arguments": {}, "files": {}, "free_text": [], "no_call": true}, "reference": "No"}');
INSERT INTO "test_cases" VALUES('text/smoke@1',19,'smoke-yes_no-03','yes_no','text','{"case_id": "smoke-yes_no-03", "category": "yes_no", "tool": "text", "mode": "", "template": "Is seven an odd number? Answer yes or no.", "task": "Is seven an odd number? Answer yes or no.", "scoring": {"scorer": "regex", "targets": ["^\\W*yes\\b"], "options": {"ignore_case": true}}, "expected": {"tool": "text", "arguments": {}, "files": {}, "free_text": [], "no_call": true}, "reference": "Yes"}');
INSERT INTO "test_cases" VALUES('text/smoke@1',20,'smoke-yes_no-04','yes_no','text','{"case_id": "smoke-yes_no-04", "category": "yes_no", "tool": "text", "mode": "", "template": "Does a week have ten days? Answer yes or no.", "task": "Does a week have ten days? Answer yes or no.", "scoring": {"scorer": "regex", "targets": ["^\\W*no\\b"], "options": {"ignore_case": true}}, "expected": {"tool": "text", "arguments": {}, "files": {}, "free_text": [], "no_call": true}, "reference": "No"}');
INSERT INTO "test_cases" VALUES('text/smoke@1',21,'smoke-facts-01','facts','text','{"case_id": "smoke-facts-01", "category": "facts", "tool": "text", "mode": "", "template": "What gas do plants take in from the air to grow? Answer in a few words.", "task": "What gas do plants take in from the air to grow? Answer in a few words.", "scoring": {"scorer": "contains", "targets": ["carbon dioxide", "CO2", "CO₂"], "options": {"ignore_case": true}}, "expected": {"tool": "text", "arguments": {}, "files": {}, "free_text": [], "no_call": true}, "reference": "Carbon dioxide"}');
INSERT INTO "test_cases" VALUES('text/smoke@1',22,'smoke-facts-02','facts','text','{"case_id": "smoke-facts-02", "category": "facts", "tool": "text", "mode": "", "template": "How many legs does a spider have? Answer with the number alone.", "task": "How many legs does a spider have? Answer with the number alone.", "scoring": {"scorer": "regex", "targets": ["(8|eight)\\.?"], "options": {"ignore_case": true, "full": true}}, "expected": {"tool": "text", "arguments": {}, "files": {}, "free_text": [], "no_call": true}, "reference": "8"}');
INSERT INTO "test_cases" VALUES('text/smoke@1',23,'smoke-rewording-01','rewording','text','{"case_id": "smoke-rewording-01", "category": "rewording", "tool": "text", "mode": "", "template": "Say in one short sentence that the train leaves at nine.", "task": "Say in one short sentence that the train leaves at nine.", "scoring": {"scorer": "rouge_l", "targets": ["The train leaves at nine."], "threshold": 0.5}, "expected": {"tool": "text", "arguments": {}, "files": {}, "free_text": [], "no_call": true}, "reference": "The train leaves at nine."}');
INSERT INTO "test_cases" VALUES('text/smoke@1',24,'smoke-rewording-02','rewording','text','{"case_id": "smoke-rewording-02", "category": "rewording", "tool": "text", "mode": "", "template": "Translate into English: Guten Morgen, liebe Freunde.", "task": "Translate into English: Guten Morgen, liebe Freunde.", "scoring": {"scorer": "f1", "targets": ["Good morning, dear friends."], "threshold": 0.5}, "expected": {"tool": "text", "arguments": {}, "files": {}, "free_text": [], "no_call": true}, "reference": "Good morning, dear friends."}');
CREATE TABLE test_suite_versions (
	ordinal INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	version_id VARCHAR NOT NULL, 
	owner_id VARCHAR NOT NULL, 
	version INTEGER NOT NULL, 
	request_id VARCHAR, 
	artifact_uri VARCHAR NOT NULL, 
	artifact_digest VARCHAR NOT NULL, 
	artifact_size_bytes BIGINT NOT NULL, 
	produced_by VARCHAR NOT NULL, 
	create_time DATETIME NOT NULL, 
	num_cases INTEGER NOT NULL, 
	built_in BOOLEAN NOT NULL, 
	origin TEXT DEFAULT '{}' NOT NULL, 
	CONSTRAINT uq_test_suite_versions_owner_id_version UNIQUE (owner_id, version), 
	UNIQUE (version_id), 
	UNIQUE (request_id)
);
INSERT INTO "test_suite_versions" VALUES(10,'text/smoke@1','text/smoke',1,'built-in:text/smoke@1','file:///srv/drillyard/registry/artifacts/blobs/b5/b5fbd9e75b51a0303bd6fe6514e642df85e3a1da27d72ccc0ed43950bee7ca19','sha256:b5fbd9e75b51a0303bd6fe6514e642df85e3a1da27d72ccc0ed43950bee7ca19',10404,'','2026-11-30 04:59:54.384697',24,1,'{"licence": "Apache-2.0", "generator": "written by hand", "profile_version": "1", "imported_from": ""}');
CREATE INDEX ix_jobs_kind_ordinal ON jobs (kind, ordinal);
CREATE INDEX ix_jobs_kind_state ON jobs (kind, state);
CREATE INDEX ix_model_versions_source_digest ON model_versions (source_digest);
CREATE INDEX ix_model_versions_artifact_digest ON model_versions (artifact_digest);
CREATE INDEX ix_dataset_versions_artifact_digest ON dataset_versions (artifact_digest);
CREATE INDEX ix_test_suite_versions_artifact_digest ON test_suite_versions (artifact_digest);
CREATE INDEX ix_artifact_claims_artifact_digest ON artifact_claims (artifact_digest);
CREATE INDEX ix_deployments_model_version_id ON deployments (model_version_id);
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('test_suite_versions',10);
INSERT INTO "sqlite_sequence" VALUES('model_versions',2);
INSERT INTO "sqlite_sequence" VALUES('dataset_versions',1);
COMMIT;
