BEGIN TRANSACTION;
CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "alembic_version" VALUES('0002_holds');
CREATE TABLE attempts (
	training_job_id VARCHAR NOT NULL, 
	attempt INTEGER NOT NULL, 
	epoch INTEGER NOT NULL, 
	start_step BIGINT NOT NULL, 
	outcome VARCHAR, 
	reason TEXT NOT NULL, 
	is_permanent BOOLEAN NOT NULL, 
	PRIMARY KEY (training_job_id, attempt), 
	FOREIGN KEY(training_job_id) REFERENCES jobs (job_id)
);
INSERT INTO "attempts" VALUES('train-5d7a53f140034185',1,1,0,'succeeded','',0);
INSERT INTO "attempts" VALUES('train-e5a8e58a5373455e',1,1,0,NULL,'',0);
CREATE TABLE checkpoints (
	training_job_id VARCHAR NOT NULL, 
	step BIGINT NOT NULL, 
	attempt INTEGER NOT NULL, 
	uri TEXT NOT NULL, 
	digest VARCHAR NOT NULL, 
	size_bytes BIGINT NOT NULL, 
	create_time DATETIME NOT NULL, 
	PRIMARY KEY (training_job_id, step), 
	FOREIGN KEY(training_job_id) REFERENCES jobs (job_id)
);
INSERT INTO "checkpoints" VALUES('train-5d7a53f140034185',20,1,'file:///srv/drillyard/trainer/checkpoints/train-5d7a53f140034185/step-00000020-attempt-001','sha256:1b08c337da1ea3dd3de65a999043688d8ef55d552cc6401563a121c7c8109895',260,'2026-11-30 05:00:14.970465');
CREATE TABLE curve_points (
	training_job_id VARCHAR NOT NULL, 
	step BIGINT NOT NULL, 
	metric VARCHAR NOT NULL, 
	value FLOAT NOT NULL, 
	attempt INTEGER NOT NULL, 
	PRIMARY KEY (training_job_id, step, metric), 
	FOREIGN KEY(training_job_id) REFERENCES jobs (job_id)
);
INSERT INTO "curve_points" VALUES('train-5d7a53f140034185',1,'loss',1.61140106554193529575e+00,1);
INSERT INTO "curve_points" VALUES('train-5d7a53f140034185',2,'loss',1.30824273801691370877e+00,1);
INSERT INTO "curve_points" VALUES('train-5d7a53f140034185',3,'loss',1.06549252616192480225e+00,1);
INSERT INTO "curve_points" VALUES('train-5d7a53f140034185',4,'loss',8.7111335196365613509e-01,1);
INSERT INTO "curve_points" VALUES('train-5d7a53f140034185',5,'loss',7.15466676835020520819e-01,1);
INSERT INTO "curve_points" VALUES('train-5d7a53f140034185',6,'loss',5.90834562419880859884e-01,1);
INSERT INTO "curve_points" VALUES('train-5d7a53f140034185',7,'loss',4.91036966803071406317e-01,1);
INSERT INTO "curve_points" VALUES('train-5d7a53f140034185',8,'loss',4.11125299271525523892e-01,1);
INSERT INTO "curve_points" VALUES('train-5d7a53f140034185',9,'loss',3.47137038149564092215e-01,1);
INSERT INTO "curve_points" VALUES('train-5d7a53f140034185',10,'loss',2.95899244121602122969e-01,1);
INSERT INTO "curve_points" VALUES('train-5d7a53f140034185',11,'loss',2.54871226000465522787e-01,1);
INSERT INTO "curve_points" VALUES('train-5d7a53f140034185',12,'loss',2.22018557323322929253e-01,1);
INSERT INTO "curve_points" VALUES('train-5d7a53f140034185',13,'loss',1.95712196727901355242e-01,1);
INSERT INTO "curve_points" VALUES('train-5d7a53f140034185',14,'loss',1.746477098645304038e-01,1);
INSERT INTO "curve_points" VALUES('train-5d7a53f140034185',15,'loss',1.57780587359779539413e-01,1);
INSERT INTO "curve_points" VALUES('train-5d7a53f140034185',16,'loss',1.442744514906457165e-01,1);
INSERT INTO "curve_points" VALUES('train-5d7a53f140034185',17,'loss',1.3345958333135393703e-01,1);
INSERT INTO "curve_points" VALUES('train-5d7a53f140034185',18,'loss',1.24799713888594926425e-01,1);
INSERT INTO "curve_points" VALUES('train-5d7a53f140034185',19,'loss',1.17865432521401483634e-01,1);
INSERT INTO "curve_points" VALUES('train-5d7a53f140034185',20,'loss',1.12312894068340579645e-01,1);
INSERT INTO "curve_points" VALUES('train-e5a8e58a5373455e',1,'loss',1.61140106554193529575e+00,1);
INSERT INTO "curve_points" VALUES('train-e5a8e58a5373455e',2,'loss',1.30824273801691370877e+00,1);
INSERT INTO "curve_points" VALUES('train-e5a8e58a5373455e',3,'loss',1.06549252616192480225e+00,1);
INSERT INTO "curve_points" VALUES('train-e5a8e58a5373455e',4,'loss',8.7111335196365613509e-01,1);
INSERT INTO "curve_points" VALUES('train-e5a8e58a5373455e',5,'loss',7.15466676835020520819e-01,1);
INSERT INTO "curve_points" VALUES('train-e5a8e58a5373455e',6,'loss',5.90834562419880859884e-01,1);
INSERT INTO "curve_points" VALUES('train-e5a8e58a5373455e',7,'loss',4.91036966803071406317e-01,1);
INSERT INTO "curve_points" VALUES('train-e5a8e58a5373455e',8,'loss',4.11125299271525523892e-01,1);
INSERT INTO "curve_points" VALUES('train-e5a8e58a5373455e',9,'loss',3.47137038149564092215e-01,1);
INSERT INTO "curve_points" VALUES('train-e5a8e58a5373455e',10,'loss',2.95899244121602122969e-01,1);
INSERT INTO "curve_points" VALUES('train-e5a8e58a5373455e',11,'loss',2.54871226000465522787e-01,1);
INSERT INTO "curve_points" VALUES('train-e5a8e58a5373455e',12,'loss',2.22018557323322929253e-01,1);
INSERT INTO "curve_points" VALUES('train-e5a8e58a5373455e',13,'loss',1.95712196727901355242e-01,1);
CREATE TABLE job_events (
	job_id VARCHAR NOT NULL, 
	sequence INTEGER NOT NULL, 
	time DATETIME NOT NULL, 
	type VARCHAR NOT NULL, 
	payload JSON NOT NULL, 
	PRIMARY KEY (job_id, sequence), 
	FOREIGN KEY(job_id) REFERENCES jobs (job_id)
);
INSERT INTO "job_events" VALUES('train-5d7a53f140034185',1,'2026-11-30 05:00:09.734774','state','{"state":"QUEUED"}');
INSERT INTO "job_events" VALUES('train-5d7a53f140034185',2,'2026-11-30 05:00:12.461302','state','{"state":"RUNNING","attempt":1,"epoch":1}');
INSERT INTO "job_events" VALUES('train-5d7a53f140034185',64,'2026-11-30 05:00:18.300074','checkpoint','{"step":20,"attempt":1,"uri":"file:///srv/drillyard/trainer/checkpoints/train-5d7a53f140034185/step-00000020-attempt-001","digest":"sha256:1b08c337da1ea3dd3de65a999043688d8ef55d552cc6401563a121c7c8109895","size_bytes":260}');
INSERT INTO "job_events" VALUES('train-5d7a53f140034185',67,'2026-11-30 05:00:23.425717','attempt_end','{"attempt":1,"epoch":1,"start_step":0,"reason":"","outcome":"succeeded"}');
INSERT INTO "job_events" VALUES('train-5d7a53f140034185',69,'2026-11-30 05:00:27.554003','state','{"state":"SUCCEEDED"}');
INSERT INTO "job_events" VALUES('train-e5a8e58a5373455e',1,'2026-11-30 05:00:29.774229','state','{"state":"QUEUED"}');
INSERT INTO "job_events" VALUES('train-e5a8e58a5373455e',2,'2026-11-30 05:00:29.866767','state','{"state":"RUNNING","attempt":1,"epoch":1}');
INSERT INTO "job_events" VALUES('train-e5a8e58a5373455e',3,'2026-11-30 05:00:31.738552','progress','{"phase":"start","done":0,"total":0,"unit":"steps","message":"Attempt 1 has run for 0 s."}');
INSERT INTO "job_events" VALUES('train-e5a8e58a5373455e',4,'2026-11-30 05:00:33.516641','point','{"metric":"loss","step":1,"value":1.6114010655419353,"attempt":1}');
INSERT INTO "job_events" VALUES('train-e5a8e58a5373455e',5,'2026-11-30 05:00:33.516641','point','{"metric":"learning_rate","step":1,"value":0.001,"attempt":1}');
INSERT INTO "job_events" VALUES('train-e5a8e58a5373455e',6,'2026-11-30 05:00:33.516641','point','{"metric":"tokens","step":1,"value":512.0,"attempt":1}');
INSERT INTO "job_events" VALUES('train-e5a8e58a5373455e',7,'2026-11-30 05:00:33.516641','point','{"metric":"loss","step":2,"value":1.3082427380169137,"attempt":1}');
INSERT INTO "job_events" VALUES('train-e5a8e58a5373455e',8,'2026-11-30 05:00:33.516641','point','{"metric":"learning_rate","step":2,"value":0.0005,"attempt":1}');
INSERT INTO "job_events" VALUES('train-e5a8e58a5373455e',9,'2026-11-30 05:00:33.516641','point','{"metric":"tokens","step":2,"value":512.0,"attempt":1}');
INSERT INTO "job_events" VALUES('train-e5a8e58a5373455e',10,'2026-11-30 05:00:33.516641','point','{"metric":"loss","step":3,"value":1.0654925261619248,"attempt":1}');
INSERT INTO "job_events" VALUES('train-e5a8e58a5373455e',11,'2026-11-30 05:00:33.516641','point','{"metric":"learning_rate","step":3,"value":0.0003333333333333333,"attempt":1}');
INSERT INTO "job_events" VALUES('train-e5a8e58a5373455e',12,'2026-11-30 05:00:33.516641','point','{"metric":"tokens","step":3,"value":512.0,"attempt":1}');
INSERT INTO "job_events" VALUES('train-e5a8e58a5373455e',13,'2026-11-30 05:00:33.516641','point','{"metric":"loss","step":4,"value":0.8711133519636561,"attempt":1}');
INSERT INTO "job_events" VALUES('train-e5a8e58a5373455e',14,'2026-11-30 05:00:33.516641','point','{"metric":"learning_rate","step":4,"value":0.00025,"attempt":1}');
INSERT INTO "job_events" VALUES('train-e5a8e58a5373455e',15,'2026-11-30 05:00:33.516641','point','{"metric":"tokens","step":4,"value":512.0,"attempt":1}');
INSERT INTO "job_events" VALUES('train-e5a8e58a5373455e',16,'2026-11-30 05:00:33.516641','point','{"metric":"loss","step":5,"value":0.7154666768350205,"attempt":1}');
INSERT INTO "job_events" VALUES('train-e5a8e58a5373455e',17,'2026-11-30 05:00:33.516641','point','{"metric":"learning_rate","step":5,"value":0.0002,"attempt":1}');
INSERT INTO "job_events" VALUES('train-e5a8e58a5373455e',18,'2026-11-30 05:00:33.516641','point','{"metric":"tokens","step":5,"value":512.0,"attempt":1}');
INSERT INTO "job_events" VALUES('train-e5a8e58a5373455e',19,'2026-11-30 05:00:33.516641','point','{"metric":"loss","step":6,"value":0.5908345624198809,"attempt":1}');
INSERT INTO "job_events" VALUES('train-e5a8e58a5373455e',20,'2026-11-30 05:00:33.516641','point','{"metric":"learning_rate","step":6,"value":0.00016666666666666666,"attempt":1}');
INSERT INTO "job_events" VALUES('train-e5a8e58a5373455e',21,'2026-11-30 05:00:33.516641','point','{"metric":"tokens","step":6,"value":512.0,"attempt":1}');
INSERT INTO "job_events" VALUES('train-e5a8e58a5373455e',22,'2026-11-30 05:00:33.516641','point','{"metric":"loss","step":7,"value":0.4910369668030714,"attempt":1}');
INSERT INTO "job_events" VALUES('train-e5a8e58a5373455e',23,'2026-11-30 05:00:33.516641','point','{"metric":"learning_rate","step":7,"value":0.00014285714285714287,"attempt":1}');
INSERT INTO "job_events" VALUES('train-e5a8e58a5373455e',24,'2026-11-30 05:00:33.516641','point','{"metric":"tokens","step":7,"value":512.0,"attempt":1}');
INSERT INTO "job_events" VALUES('train-e5a8e58a5373455e',25,'2026-11-30 05:00:33.516641','point','{"metric":"loss","step":8,"value":0.4111252992715255,"attempt":1}');
INSERT INTO "job_events" VALUES('train-e5a8e58a5373455e',26,'2026-11-30 05:00:33.516641','point','{"metric":"learning_rate","step":8,"value":0.000125,"attempt":1}');
INSERT INTO "job_events" VALUES('train-e5a8e58a5373455e',27,'2026-11-30 05:00:33.516641','point','{"metric":"tokens","step":8,"value":512.0,"attempt":1}');
INSERT INTO "job_events" VALUES('train-e5a8e58a5373455e',28,'2026-11-30 05:00:33.516641','point','{"metric":"loss","step":9,"value":0.3471370381495641,"attempt":1}');
INSERT INTO "job_events" VALUES('train-e5a8e58a5373455e',29,'2026-11-30 05:00:33.516641','point','{"metric":"learning_rate","step":9,"value":0.00011111111111111112,"attempt":1}');
INSERT INTO "job_events" VALUES('train-e5a8e58a5373455e',30,'2026-11-30 05:00:33.516641','point','{"metric":"tokens","step":9,"value":512.0,"attempt":1}');
INSERT INTO "job_events" VALUES('train-e5a8e58a5373455e',31,'2026-11-30 05:00:33.516641','point','{"metric":"loss","step":10,"value":0.2958992441216021,"attempt":1}');
INSERT INTO "job_events" VALUES('train-e5a8e58a5373455e',32,'2026-11-30 05:00:33.516641','point','{"metric":"learning_rate","step":10,"value":0.0001,"attempt":1}');
INSERT INTO "job_events" VALUES('train-e5a8e58a5373455e',33,'2026-11-30 05:00:33.516641','point','{"metric":"tokens","step":10,"value":512.0,"attempt":1}');
INSERT INTO "job_events" VALUES('train-e5a8e58a5373455e',34,'2026-11-30 05:00:33.516641','point','{"metric":"loss","step":11,"value":0.2548712260004655,"attempt":1}');
INSERT INTO "job_events" VALUES('train-e5a8e58a5373455e',35,'2026-11-30 05:00:33.516641','point','{"metric":"learning_rate","step":11,"value":9.090909090909092e-05,"attempt":1}');
INSERT INTO "job_events" VALUES('train-e5a8e58a5373455e',36,'2026-11-30 05:00:33.516641','point','{"metric":"tokens","step":11,"value":512.0,"attempt":1}');
INSERT INTO "job_events" VALUES('train-e5a8e58a5373455e',37,'2026-11-30 05:00:33.516641','point','{"metric":"loss","step":12,"value":0.22201855732332293,"attempt":1}');
INSERT INTO "job_events" VALUES('train-e5a8e58a5373455e',38,'2026-11-30 05:00:33.516641','point','{"metric":"learning_rate","step":12,"value":8.333333333333333e-05,"attempt":1}');
INSERT INTO "job_events" VALUES('train-e5a8e58a5373455e',39,'2026-11-30 05:00:33.516641','point','{"metric":"tokens","step":12,"value":512.0,"attempt":1}');
INSERT INTO "job_events" VALUES('train-e5a8e58a5373455e',40,'2026-11-30 05:00:33.516641','point','{"metric":"loss","step":13,"value":0.19571219672790136,"attempt":1}');
INSERT INTO "job_events" VALUES('train-e5a8e58a5373455e',41,'2026-11-30 05:00:33.516641','point','{"metric":"learning_rate","step":13,"value":7.692307692307693e-05,"attempt":1}');
INSERT INTO "job_events" VALUES('train-e5a8e58a5373455e',42,'2026-11-30 05:00:33.516641','point','{"metric":"tokens","step":13,"value":512.0,"attempt":1}');
INSERT INTO "job_events" VALUES('train-e5a8e58a5373455e',43,'2026-11-30 05:00:34.615631','progress','{"phase":"train","done":13,"total":20,"unit":"steps","message":"Attempt 1 has run for 3 s."}');
INSERT INTO "job_events" VALUES('train-e5a8e58a5373455e',44,'2026-11-30 05:00:36.717350','progress','{"phase":"train","done":13,"total":20,"unit":"steps","message":"Attempt 1 has run for 5 s."}');
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
INSERT INTO "jobs" VALUES(1,'train-5d7a53f140034185','training_job','SUCCEEDED','ended','{"model_version_id":"tiny@1","dataset_version_id":"drills@1"}','{"phase":"register","done":20,"total":20,"unit":"steps","message":"Registering the weights of step 20."}','{"model_version_id":"tiny@2","step":20}',NULL,'{"checkpoints":[{"step":20,"attempt":1,"uri":"file:///srv/drillyard/trainer/artifacts/trees/66/6616e0e196d3867872db5f2b708809954ceb1ddd1f66d2f7531e0089d9f4b43b","digest":"sha256:6616e0e196d3867872db5f2b708809954ceb1ddd1f66d2f7531e0089d9f4b43b","size_bytes":753}]}',1,1,NULL,NULL,NULL,'2026-11-30 05:00:09.734774','2026-11-30 05:00:27.554003','2026-11-30 05:00:12.461302','2026-11-30 05:00:27.554003',69,0,'{"start":0,"train":20,"register":20}');
INSERT INTO "jobs" VALUES(2,'train-e5a8e58a5373455e','training_job','RUNNING','going-on','{"model_version_id":"tiny@1","dataset_version_id":"drills@1"}','{"phase":"train","done":13,"total":20,"unit":"steps","message":"Attempt 1 has run for 5 s."}',NULL,NULL,NULL,1,1,'trainer@earlier:15750',38497.242024932,'2026-11-30 05:05:36.062333','2026-11-30 05:00:29.774229','2026-11-30 05:00:36.717350','2026-11-30 05:00:29.866767',NULL,44,0,'{"start":0,"train":13}');
CREATE TABLE training_inputs (
	training_job_id VARCHAR NOT NULL, 
	inputs JSON NOT NULL, 
	PRIMARY KEY (training_job_id), 
	FOREIGN KEY(training_job_id) REFERENCES jobs (job_id)
);
INSERT INTO "training_inputs" VALUES('train-5d7a53f140034185','{"model_version_id":"tiny@1","base_model_version_id":"tiny@1","output_model_id":"tiny","base":{"uri":"file:///srv/drillyard/registry/artifacts/trees/01/01a12ef998fcd716c3cbe2f7fd82f65eca9e0d23aa4263d2a5cd458cc33fea2c","digest":"sha256:01a12ef998fcd716c3cbe2f7fd82f65eca9e0d23aa4263d2a5cd458cc33fea2c","size_bytes":1232},"adapter":null,"dataset_version_id":"drills@1","dataset":{"uri":"file:///srv/drillyard/registry/artifacts/blobs/8a/8afcfb82fdb6b9ae6cb7894aac349f840df9e38310a9e2a41fb9239b7b708d62","digest":"sha256:8afcfb82fdb6b9ae6cb7894aac349f840df9e38310a9e2a41fb9239b7b708d62","size_bytes":504},"fork_step":0,"fork":null,"validation_dataset_version_id":"","validation":null}');
INSERT INTO "training_inputs" VALUES('train-e5a8e58a5373455e','{"model_version_id":"tiny@1","base_model_version_id":"tiny@1","output_model_id":"tiny","base":{"uri":"file:///srv/drillyard/registry/artifacts/trees/01/01a12ef998fcd716c3cbe2f7fd82f65eca9e0d23aa4263d2a5cd458cc33fea2c","digest":"sha256:01a12ef998fcd716c3cbe2f7fd82f65eca9e0d23aa4263d2a5cd458cc33fea2c","size_bytes":1232},"adapter":null,"dataset_version_id":"drills@1","dataset":{"uri":"file:///srv/drillyard/registry/artifacts/blobs/8a/8afcfb82fdb6b9ae6cb7894aac349f840df9e38310a9e2a41fb9239b7b708d62","digest":"sha256:8afcfb82fdb6b9ae6cb7894aac349f840df9e38310a9e2a41fb9239b7b708d62","size_bytes":504},"fork_step":0,"fork":null,"validation_dataset_version_id":"","validation":null}');
CREATE INDEX ix_jobs_kind_ordinal ON jobs (kind, ordinal);
CREATE INDEX ix_jobs_kind_state ON jobs (kind, state);
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('jobs',2);
COMMIT;
