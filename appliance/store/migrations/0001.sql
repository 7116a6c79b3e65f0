-- The schema of the first release. Times are milliseconds since the epoch, UTC.
-- `tenant` = client * 2 + (1 for test mode): the partition a client's row belongs to.

CREATE TABLE meta (key TEXT PRIMARY KEY, value) WITHOUT ROWID;
-- How often the box has started. `start_number` in other tables: the start in which the times of the row that count
-- from now on were written (appliance.store.starts).
INSERT INTO meta VALUES ('start', 0);

CREATE TABLE client (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  name TEXT NOT NULL,
  signing_secret TEXT NOT NULL,       -- signs calls to a message's own webhook_url
  created_at INTEGER NOT NULL,
  disabled_at INTEGER,
  deleted_at INTEGER
);

CREATE TABLE api_key (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  client INTEGER NOT NULL REFERENCES client,
  test INTEGER NOT NULL,
  smpp INTEGER NOT NULL DEFAULT 0,    -- 1: a password for SMPP, not a key for HTTP
  hash BLOB NOT NULL UNIQUE,          -- SHA-256 (of a password scrypt); the key itself is shown once and not stored
  hint TEXT NOT NULL,                 -- its last four characters
  name TEXT NOT NULL,
  permissions TEXT NOT NULL,          -- JSON (appliance.domain.views.Permissions)
  created_at INTEGER NOT NULL,
  last_used_at INTEGER,
  expires_at INTEGER,
  revoked_at INTEGER,
  cancel_queued INTEGER NOT NULL DEFAULT 0   -- revoked with its queued messages
);

-- Messages that came over SMPP: a row for each submit_sm that was accepted, with a message or a segment of one.
CREATE TABLE smpp_submission (
  id INTEGER PRIMARY KEY,             -- what its answer names, as msg_…: the message, or a segment before its last
  tenant INTEGER NOT NULL,
  message INTEGER,                    -- NULL: a segment that waits for the others
  addresses TEXT NOT NULL,            -- JSON: source and destination as the engine wrote them, for receipts
  receipts INTEGER NOT NULL,          -- which ones the engine wants: 1 delivered, 2 failed, 4 on the way
  fingerprint BLOB NOT NULL,          -- of client, number, sender and text
  answer INTEGER NOT NULL DEFAULT 0,  -- 0 written, or about to be; 1 received by the engine; 2 lost
  at INTEGER NOT NULL,
  start_number INTEGER NOT NULL
);
CREATE INDEX smpp_submission_message ON smpp_submission (message) WHERE message IS NOT NULL;
CREATE INDEX smpp_submission_open ON smpp_submission (answer) WHERE answer = 0;
CREATE INDEX smpp_submission_lost ON smpp_submission (fingerprint, at) WHERE answer = 2;
-- Segments that wait for the others of their message.
CREATE TABLE smpp_segment (
  submission INTEGER PRIMARY KEY,
  tenant INTEGER NOT NULL,
  long_message BLOB NOT NULL,         -- SHA-256 of client, addresses and concatenation reference
  number INTEGER NOT NULL,
  recipient TEXT NOT NULL,
  text BLOB NOT NULL,                 -- UTF-16
  at INTEGER NOT NULL,
  start_number INTEGER NOT NULL,
  UNIQUE (long_message, number)
);
-- Receipts and received texts that no engine has confirmed yet.
CREATE TABLE smpp_delivery (
  id INTEGER PRIMARY KEY,
  tenant INTEGER NOT NULL,
  submission INTEGER,                 -- of a receipt
  state INTEGER,                      -- of a receipt: message_state (SMPP 3.4 5.2.28)
  error INTEGER,                      -- of a receipt: the number of the network or the modem
  inbound INTEGER,                    -- of a received text
  at INTEGER NOT NULL,
  start_number INTEGER NOT NULL
);
CREATE INDEX smpp_delivery_tenant ON smpp_delivery (tenant, id);

-- Messages queued by keys with a daily cap, by local day.
CREATE TABLE key_day (api_key INTEGER NOT NULL, day INTEGER NOT NULL, taken INTEGER NOT NULL,
  PRIMARY KEY (api_key, day)) WITHOUT ROWID;

CREATE TABLE device (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  imei TEXT NOT NULL UNIQUE,          -- or what the modem is known by without one of its own
  test INTEGER NOT NULL,
  name TEXT NOT NULL,
  phone_number TEXT NOT NULL DEFAULT '',
  created_at INTEGER NOT NULL,
  since INTEGER,                      -- when the current state began
  online INTEGER NOT NULL DEFAULT 0,
  sim TEXT NOT NULL DEFAULT '',       -- ICCID of the last SIM, which takes its limits to another modem
  limitations TEXT NOT NULL DEFAULT '' -- what the modem cannot do, separated by blanks; announced by device.warning
);
-- The clients a modem is reserved for; without a row it is available to all. Read from the settings at every start.
CREATE TABLE kept_for (
  device INTEGER NOT NULL REFERENCES device,
  client INTEGER NOT NULL,            -- the client may not exist (yet)
  PRIMARY KEY (device, client)
) WITHOUT ROWID;
-- Ids by which a client names a device in X-Device-ID besides the box's own, such as the one of the hosted API.
CREATE TABLE device_alias (
  client INTEGER NOT NULL,            -- the client may not exist (yet)
  alias TEXT NOT NULL,
  device INTEGER NOT NULL REFERENCES device,
  by_settings INTEGER NOT NULL,       -- 1: read from the settings at every start
  PRIMARY KEY (client, alias)
) WITHOUT ROWID;
-- Limits set on the page; a device without a row has those of the settings.
CREATE TABLE device_limits (device INTEGER PRIMARY KEY REFERENCES device ON DELETE CASCADE, limits TEXT NOT NULL);

-- Messages that are queued, waiting for a report, or finished and not moved to the history yet. Stays small.
CREATE TABLE message (
  id INTEGER PRIMARY KEY,
  tenant INTEGER NOT NULL,
  api_key INTEGER,
  kind TEXT NOT NULL,                 -- 'sms' | 'otp'
  batch INTEGER,
  recipient TEXT NOT NULL,
  body TEXT NOT NULL,                 -- masked for a one-time password
  secret BLOB,                        -- its encrypted text, until it was sent
  alphabet TEXT NOT NULL,
  shift INTEGER NOT NULL,             -- national single shift table; 0: none
  parts INTEGER NOT NULL,
  priority INTEGER NOT NULL,
  device INTEGER NOT NULL,            -- picked, named or used; 0: not known yet
  bound INTEGER NOT NULL,            -- 1: named in X-Device-ID
  status TEXT NOT NULL,
  uncertain INTEGER NOT NULL DEFAULT 0,
  ever_submitted INTEGER NOT NULL DEFAULT 0, -- a part was submitted to a modem at least once
  attempts INTEGER NOT NULL DEFAULT 0, -- submissions, of the part that needed most
  attempts_before INTEGER NOT NULL DEFAULT 0, -- of these, before it was last resent
  max_attempts INTEGER NOT NULL,      -- retry_attempts
  round INTEGER NOT NULL DEFAULT 0,   -- how often it was resent
  created_at INTEGER NOT NULL,
  queued_at INTEGER NOT NULL,
  scheduled_at INTEGER,
  due_at INTEGER NOT NULL,
  expires_at INTEGER NOT NULL,        -- end of its lifetime
  start_number INTEGER NOT NULL,      -- in which it was queued, or queued again
  sent_at INTEGER,
  delivered_at INTEGER,
  failed_at INTEGER,
  cancelled_at INTEGER,
  error_code TEXT,
  error_detail TEXT,                  -- JSON {"text", "source", "number"}
  concatenation INTEGER,              -- concatenation reference of its parts
  validity_minutes INTEGER,
  flash INTEGER NOT NULL DEFAULT 0,
  on_uncertain TEXT NOT NULL,
  metadata TEXT,
  webhook_url TEXT,
  closed_at INTEGER,                  -- finished: nothing can change it any more, so it may move to the history
  held INTEGER NOT NULL DEFAULT 0,    -- since a restore: 1 the owner decides, 2 decided to send, 3 to drop it
  changed_at INTEGER NOT NULL,
  reserve BLOB                        -- space for the times that are not known yet: a row that grows splits its page
);
CREATE INDEX message_status ON message (tenant, status, created_at);
CREATE INDEX message_queued ON message (expires_at, tenant) WHERE status = 'queued';
CREATE INDEX message_closed ON message (closed_at) WHERE closed_at IS NOT NULL;
CREATE INDEX message_held ON message (held, id) WHERE held != 0;

CREATE TABLE part (
  message INTEGER NOT NULL,
  number INTEGER NOT NULL,            -- 1 …
  state TEXT NOT NULL,
  test INTEGER NOT NULL,
  bound_device INTEGER NOT NULL,               -- 0: any device; else only this one
  bound_sim TEXT,                       -- ICCID: after its first part a message stays with its SIM
  urgent INTEGER NOT NULL,            -- priority 1
  scheduled INTEGER NOT NULL,         -- needs a trusted clock
  rank INTEGER NOT NULL,
  ready_at INTEGER NOT NULL,          -- since it is uncertain: when its window began
  ready INTEGER NOT NULL,              -- ready_at is reached
  start_number INTEGER NOT NULL DEFAULT 0, -- in which it became uncertain
  attempts INTEGER NOT NULL DEFAULT 0, -- refused by the network for now, so far
  -- the current attempt (earlier ones are in the table attempt)
  device INTEGER,
  sim TEXT,
  submitted_at INTEGER,
  answered_at INTEGER,
  reference INTEGER,                  -- TP-MR
  tp_status INTEGER,
  reported_at INTEGER,
  open INTEGER NOT NULL DEFAULT 0,    -- a report may still come
  error TEXT,                         -- JSON as message.error_detail, with "code"
  reserve BLOB,                       -- as in message, for the attempt
  PRIMARY KEY (message, number)
) WITHOUT ROWID;
CREATE INDEX part_waiting ON part (ready_at) WHERE state = 'waiting' AND ready = 0;
CREATE INDEX part_ready ON part (test, bound_device, rank, message, number) WHERE state = 'waiting' AND ready = 1;
CREATE INDEX part_uncertain ON part (state) WHERE state IN ('submitted', 'uncertain');
CREATE INDEX part_open ON part (sim, reference) WHERE open = 1;
-- Parts bound to one modem, to find those bound to a removed one.
CREATE INDEX part_bound ON part (bound_device) WHERE state = 'waiting' AND bound_device != 0;

-- Earlier attempts of a part, for the timeline and for late reports.
CREATE TABLE attempt (
  id INTEGER PRIMARY KEY,
  message INTEGER NOT NULL,
  number INTEGER NOT NULL,
  device INTEGER,
  sim TEXT,
  submitted_at INTEGER,
  answered_at INTEGER,
  reference INTEGER,
  tp_status INTEGER,
  reported_at INTEGER,
  open INTEGER NOT NULL,
  error TEXT,
  round INTEGER NOT NULL DEFAULT 0    -- how often the message had been resent before this attempt
);
CREATE INDEX attempt_message ON attempt (message);
CREATE INDEX attempt_open ON attempt (sim, reference) WHERE open = 1;

-- Submissions that a report was about, or that expect none any more. TP-MR is one octet (23.040 9.2.3.6), so
-- only earlier submissions distinguish a report from a copy of an older part's report. Kept for as long as they may
-- compete for a report (appliance.store.submissions.forget).
CREATE TABLE submission (
  sim TEXT NOT NULL,
  reference INTEGER NOT NULL,         -- TP-MR; -1: the modem never answered
  submitted_at INTEGER NOT NULL,
  message INTEGER NOT NULL,
  number INTEGER NOT NULL,
  recipient TEXT NOT NULL,
  taken_by INTEGER NOT NULL,          -- the latest time at which the network can have accepted it
  scts INTEGER,               -- TP-SCTS, the same in all its reports; NULL: no report had one
  PRIMARY KEY (sim, reference, submitted_at, message, number)
) WITHOUT ROWID;

-- Reports that match no part yet: they may precede the answer of the modem, or settle an uncertain part.
CREATE TABLE stray_report (
  id INTEGER PRIMARY KEY,
  device INTEGER NOT NULL,
  sim TEXT NOT NULL,
  reference INTEGER NOT NULL,
  recipient TEXT NOT NULL,
  tp_status INTEGER NOT NULL,
  scts INTEGER,
  discharged_at INTEGER,
  arrived_at INTEGER NOT NULL
);

-- Reports that no submission could be found for in time.
CREATE TABLE unplaced_report (
  id INTEGER PRIMARY KEY,
  device INTEGER NOT NULL,
  sim TEXT NOT NULL,
  reference INTEGER NOT NULL,
  recipient TEXT NOT NULL,
  tp_status INTEGER NOT NULL,
  scts INTEGER,
  discharged_at INTEGER,
  arrived_at INTEGER NOT NULL
);
CREATE INDEX unplaced_report_arrived ON unplaced_report (arrived_at);

-- The last concatenation reference per number, so that two long texts to it never share one.
CREATE TABLE concatenation (recipient TEXT PRIMARY KEY, reference INTEGER NOT NULL) WITHOUT ROWID;

-- Finished messages. Append-mostly: changed only by resend (moved back), erasure and retention.
CREATE TABLE history (
  id INTEGER PRIMARY KEY,
  tenant INTEGER NOT NULL,
  kind TEXT NOT NULL,
  batch INTEGER,
  recipient TEXT NOT NULL,
  body TEXT NOT NULL,
  alphabet TEXT NOT NULL,
  parts INTEGER NOT NULL,
  priority INTEGER NOT NULL,
  device INTEGER NOT NULL,
  bound INTEGER NOT NULL DEFAULT 0,  -- 1: named in X-Device-ID, and used again for a resend
  status TEXT NOT NULL,
  uncertain INTEGER NOT NULL DEFAULT 0,
  ever_submitted INTEGER NOT NULL,
  attempts INTEGER NOT NULL,
  max_attempts INTEGER NOT NULL,
  round INTEGER NOT NULL,
  created_at INTEGER NOT NULL,
  queued_at INTEGER NOT NULL,
  scheduled_at INTEGER,
  sent_at INTEGER,
  delivered_at INTEGER,
  failed_at INTEGER,
  cancelled_at INTEGER,
  error_code TEXT,
  error_detail TEXT,
  validity_minutes INTEGER,
  flash INTEGER NOT NULL,
  on_uncertain TEXT NOT NULL,
  metadata TEXT,
  webhook_url TEXT,
  timeline TEXT NOT NULL              -- JSON: its parts and earlier attempts
);
CREATE INDEX history_created ON history (tenant, created_at, id);
CREATE INDEX history_status ON history (tenant, status, created_at, id);
-- Filled in sorted batches when messages move: a plain index on the number would cost a page write per row.
CREATE TABLE history_recipient (
  tenant INTEGER NOT NULL,
  recipient TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  id INTEGER NOT NULL,
  PRIMARY KEY (tenant, recipient, created_at, id)
) WITHOUT ROWID;
-- Folded texts (without case and accents); the text itself is in the history.
CREATE VIRTUAL TABLE history_text USING fts5 (folded, content = '', tokenize = 'trigram', detail = 'full');

-- Counters that every message changes, in the transaction of the change. They are rows of one table, because a commit
-- writes a whole page of each table that it changes (docs/adr/0062-counters-share-a-page.md). The views below name them.
--   kind      a       b             c      n1 …
--   'queued'  tenant  priority      0      messages with status 'queued', their parts
--   'parts'   test    bound_device  0      parts that are ready, delayed, submitted
--   'hour'    tenant  device        hour   changes of hour_total and day_total: queued, sent, delivered, failed, cancelled
--   'minute'  sim     day           minute changes of sim_minute_total and sim_day_total: parts
--   'month'   sim     month         0      recipients, those of them with waiting messages
CREATE TABLE counter (
  kind TEXT NOT NULL,
  a NOT NULL,
  b INTEGER NOT NULL,
  c INTEGER NOT NULL,
  n1 INTEGER NOT NULL DEFAULT 0,
  n2 INTEGER NOT NULL DEFAULT 0,
  n3 INTEGER NOT NULL DEFAULT 0,
  n4 INTEGER NOT NULL DEFAULT 0,
  n5 INTEGER NOT NULL DEFAULT 0,
  PRIMARY KEY (kind, a, b, c)
) WITHOUT ROWID;

-- Messages by hour and day of creation and current status, without what `counter` still has.
-- Hours are removed by the retention; days stay for ever.
CREATE TABLE hour_total (
  tenant INTEGER NOT NULL,
  device INTEGER NOT NULL,
  hour INTEGER NOT NULL,              -- hours since the epoch
  queued INTEGER NOT NULL DEFAULT 0,
  sent INTEGER NOT NULL DEFAULT 0,
  delivered INTEGER NOT NULL DEFAULT 0,
  failed INTEGER NOT NULL DEFAULT 0,
  cancelled INTEGER NOT NULL DEFAULT 0,
  PRIMARY KEY (tenant, hour, device)
) WITHOUT ROWID;
CREATE TABLE day_total (
  tenant INTEGER NOT NULL,
  device INTEGER NOT NULL,
  day INTEGER NOT NULL,               -- days since the epoch
  queued INTEGER NOT NULL DEFAULT 0,
  sent INTEGER NOT NULL DEFAULT 0,
  delivered INTEGER NOT NULL DEFAULT 0,
  failed INTEGER NOT NULL DEFAULT 0,
  cancelled INTEGER NOT NULL DEFAULT 0,
  PRIMARY KEY (tenant, day, device)
) WITHOUT ROWID;
CREATE VIEW hour_change AS
  SELECT a AS tenant, b AS device, c AS hour, n1 AS queued, n2 AS sent, n3 AS delivered, n4 AS failed, n5 AS cancelled
  FROM counter WHERE kind = 'hour';
CREATE VIEW day_change AS
  SELECT a AS tenant, b AS device, c / 24 AS day, n1 AS queued, n2 AS sent, n3 AS delivered, n4 AS failed, n5 AS cancelled
  FROM counter WHERE kind = 'hour';
CREATE VIEW hour_count AS SELECT * FROM hour_total UNION ALL SELECT * FROM hour_change;
CREATE VIEW day_count AS SELECT * FROM day_total UNION ALL SELECT * FROM day_change;

-- What a SIM has sent, for its limits, without what `counter` still has. sim is the ICCID.
CREATE TABLE sim_minute_total (sim TEXT NOT NULL, minute INTEGER NOT NULL, parts INTEGER NOT NULL,
  PRIMARY KEY (sim, minute)) WITHOUT ROWID;
CREATE TABLE sim_day_total (sim TEXT NOT NULL, day INTEGER NOT NULL, parts INTEGER NOT NULL,
  PRIMARY KEY (sim, day)) WITHOUT ROWID;
CREATE VIEW sim_minute AS
  SELECT sim, minute, parts FROM sim_minute_total
  UNION ALL SELECT a, c, n1 FROM counter WHERE kind = 'minute';
CREATE VIEW sim_day AS
  SELECT sim, day, parts FROM sim_day_total
  UNION ALL SELECT a, b, n1 FROM counter WHERE kind = 'minute';
CREATE TABLE sim_recipient (sim TEXT NOT NULL, month INTEGER NOT NULL, recipient TEXT NOT NULL,
  PRIMARY KEY (recipient, sim, month)) WITHOUT ROWID;

-- Alerts of monitoring programs that fire and were sent (SHA-256 of their identity).
CREATE TABLE alert (
  api_key INTEGER NOT NULL,
  identity BLOB NOT NULL,
  sent_at INTEGER NOT NULL,
  PRIMARY KEY (api_key, identity)
) WITHOUT ROWID;

CREATE TABLE idempotency (
  tenant INTEGER NOT NULL,
  key TEXT NOT NULL,
  fingerprint BLOB NOT NULL,
  status INTEGER NOT NULL,
  answer BLOB NOT NULL,
  created_at INTEGER NOT NULL,
  start_number INTEGER NOT NULL,
  PRIMARY KEY (tenant, key)
) WITHOUT ROWID;
CREATE INDEX idempotency_age ON idempotency (created_at);

CREATE TABLE otp (
  id INTEGER PRIMARY KEY,
  tenant INTEGER NOT NULL,
  message INTEGER NOT NULL,
  recipient TEXT NOT NULL,
  code_hash BLOB NOT NULL,            -- keyed; the key is outside the database
  attempts_left INTEGER NOT NULL,
  expires_at INTEGER NOT NULL,
  verified_at INTEGER,
  purpose TEXT,
  created_at INTEGER NOT NULL,
  start_number INTEGER NOT NULL
);
CREATE INDEX otp_recipient ON otp (recipient, created_at);

CREATE TABLE webhook (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  tenant INTEGER NOT NULL,
  url TEXT NOT NULL,
  events TEXT NOT NULL,               -- comma-separated
  secret TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  deleted_at INTEGER
);
-- The ids of these three tables grow with time (like those of inbound and otp), so that old rows are a range.
CREATE TABLE event (
  id INTEGER PRIMARY KEY,
  tenant INTEGER NOT NULL,
  name TEXT NOT NULL,
  body TEXT NOT NULL,                 -- the JSON body, the same in every attempt
  created_at INTEGER NOT NULL
);
CREATE TABLE delivery (
  id INTEGER PRIMARY KEY,             -- grows in the order of the events
  event INTEGER NOT NULL,
  tenant INTEGER NOT NULL,
  message INTEGER,                    -- NULL: not about a message
  webhook INTEGER,                    -- NULL: the message's own webhook_url
  url TEXT NOT NULL,
  receiver TEXT NOT NULL,             -- 'wh_3' or '2 https://host:port': receivers never wait for each other
  stream TEXT NOT NULL,               -- events of one stream reach a receiver in order
  state TEXT NOT NULL,                -- 'due' | 'behind' an earlier one of its stream | 'done' | 'given_up'
                                      -- | 'dropped' with its webhook | 'test' never due by itself
  attempt INTEGER NOT NULL DEFAULT 0, -- number of attempts
  scheduled_attempts INTEGER NOT NULL DEFAULT 0, -- attempts since it was stored or replayed; the retry schedule counts these
  due_at INTEGER NOT NULL,
  created_at INTEGER NOT NULL
);
CREATE INDEX delivery_due ON delivery (receiver, due_at, id) WHERE state = 'due';
CREATE INDEX delivery_stream ON delivery (receiver, stream, id) WHERE state IN ('due', 'behind');
CREATE INDEX delivery_event ON delivery (event);
CREATE INDEX delivery_message ON delivery (message) WHERE message IS NOT NULL;
CREATE INDEX delivery_given_up_at ON delivery (created_at) WHERE state = 'given_up';
CREATE TABLE delivery_log (
  id INTEGER PRIMARY KEY,
  delivery INTEGER NOT NULL,
  tenant INTEGER NOT NULL,
  response_status INTEGER,
  response_time_ms INTEGER NOT NULL,
  success INTEGER NOT NULL,
  attempt INTEGER NOT NULL,
  reason TEXT NOT NULL,               -- why it failed, one English sentence
  at INTEGER NOT NULL
);
CREATE INDEX delivery_log_tenant ON delivery_log (tenant, id);
CREATE INDEX delivery_log_delivery ON delivery_log (delivery);

CREATE TABLE inbound (
  id INTEGER PRIMARY KEY,
  tenant INTEGER NOT NULL,             -- the client that it belongs to
  device INTEGER NOT NULL,
  sender TEXT NOT NULL,
  body TEXT NOT NULL,
  folded TEXT NOT NULL,
  sent_at INTEGER,
  received_at INTEGER NOT NULL,
  incomplete INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX inbound_tenant ON inbound (tenant, received_at, id);
CREATE INDEX inbound_sender ON inbound (tenant, sender, received_at, id);
-- The numbers that have written to a client. Written with each received text only, so that sending costs nothing.
CREATE TABLE conversation (
  tenant INTEGER NOT NULL,
  number TEXT NOT NULL,               -- or a name, as received
  last INTEGER NOT NULL,              -- the last text received (inbound.id)
  last_at INTEGER NOT NULL,
  unread INTEGER NOT NULL,            -- received texts that nobody has read
  PRIMARY KEY (tenant, number)
) WITHOUT ROWID;
CREATE INDEX conversation_recent ON conversation (tenant, last_at);
CREATE INDEX conversation_unread ON conversation (tenant, last_at) WHERE unread > 0;
-- Names that a client gives to numbers.
CREATE TABLE contact (
  tenant INTEGER NOT NULL,
  number TEXT NOT NULL,
  name TEXT NOT NULL,
  folded TEXT NOT NULL,               -- without case and accents, for the search
  PRIMARY KEY (tenant, number)
) WITHOUT ROWID;
CREATE TABLE inbound_part (
  id INTEGER PRIMARY KEY,
  device INTEGER NOT NULL,
  sim TEXT NOT NULL,
  sender TEXT NOT NULL,
  reference INTEGER NOT NULL,
  total INTEGER NOT NULL,
  number INTEGER NOT NULL,
  text TEXT NOT NULL,
  hex TEXT NOT NULL,                  -- as received: a character may be split between two parts
  sent_at INTEGER,
  arrived_at INTEGER NOT NULL,
  start_number INTEGER NOT NULL
);
CREATE INDEX inbound_part_group ON inbound_part (sim, sender, reference, total);
-- Picture messages that wait at the operator: the box cannot fetch them, but says so.
CREATE TABLE picture_message (
  id INTEGER PRIMARY KEY,
  tenant INTEGER NOT NULL,
  device INTEGER NOT NULL,
  sender TEXT NOT NULL,
  size INTEGER,                       -- octets
  url TEXT,
  received_at INTEGER NOT NULL
);
CREATE INDEX picture_message_tenant ON picture_message (tenant, received_at);
-- PDUs that were received (SHA-256 of SIM and PDU): a modem may hand one out twice.
CREATE TABLE seen (hash BLOB PRIMARY KEY, at INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE undecodable (id INTEGER PRIMARY KEY, device INTEGER NOT NULL, hex TEXT NOT NULL, reason TEXT NOT NULL, at INTEGER NOT NULL);

CREATE TABLE blocked (
  tenant INTEGER NOT NULL,             -- 0 or 1: for all clients (an opt-out by STOP), live or test
  number TEXT NOT NULL,
  reason TEXT NOT NULL,
  source TEXT NOT NULL,               -- 'api' | 'page' | 'stop'
  device INTEGER,                     -- the SIM that it opted out of
  created_at INTEGER NOT NULL,
  PRIMARY KEY (tenant, number)
) WITHOUT ROWID;

-- Clients exempted from an opt-out of all clients. The next STOP ends the exemption.
CREATE TABLE opt_in (
  tenant INTEGER NOT NULL,
  number TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  PRIMARY KEY (tenant, number)
) WITHOUT ROWID;

-- The client that wrote to a number last: received texts belong to it.
CREATE TABLE last_writer (
  test INTEGER NOT NULL,
  device INTEGER NOT NULL,
  recipient TEXT NOT NULL,
  tenant INTEGER NOT NULL,
  at INTEGER NOT NULL,
  PRIMARY KEY (test, recipient, device)
) WITHOUT ROWID;

-- Data of the status page: the owner's login, and settings made there.

-- One value per row, as JSON: "password" (argon2), "language", "time_zone", "own_number", …
CREATE TABLE admin_setting (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;

CREATE TABLE admin_session (
  hash BLOB PRIMARY KEY,              -- SHA-256 of the cookie; the cookie itself is not stored
  created_at INTEGER NOT NULL,
  seen_at INTEGER NOT NULL,
  start_number INTEGER NOT NULL,      -- of seen_at
  agent TEXT NOT NULL                 -- the browser, for the owner to recognise
) WITHOUT ROWID;

-- Counters of the queue, updated by the triggers below in the transaction of each change. No request counts rows.

-- Messages with status 'queued', and their parts.
CREATE VIEW queued_count AS
  SELECT a AS tenant, b AS priority, n1 AS messages, n2 AS parts FROM counter WHERE kind = 'queued';
CREATE TRIGGER message_inserted AFTER INSERT ON message WHEN NEW.status = 'queued' BEGIN
  INSERT INTO counter (kind, a, b, c, n1, n2) VALUES ('queued', NEW.tenant, NEW.priority, 0, 1, NEW.parts)
    ON CONFLICT DO UPDATE SET n1 = n1 + 1, n2 = n2 + excluded.n2;
END;
CREATE TRIGGER message_deleted AFTER DELETE ON message WHEN OLD.status = 'queued' BEGIN
  UPDATE counter SET n1 = n1 - 1, n2 = n2 - OLD.parts
    WHERE kind = 'queued' AND a = OLD.tenant AND b = OLD.priority AND c = 0;
END;
CREATE TRIGGER message_left_queue AFTER UPDATE OF status, parts ON message WHEN OLD.status = 'queued' BEGIN
  UPDATE counter SET n1 = n1 - 1, n2 = n2 - OLD.parts
    WHERE kind = 'queued' AND a = OLD.tenant AND b = OLD.priority AND c = 0;
END;
CREATE TRIGGER message_joined_queue AFTER UPDATE OF status, parts ON message WHEN NEW.status = 'queued' BEGIN
  INSERT INTO counter (kind, a, b, c, n1, n2) VALUES ('queued', NEW.tenant, NEW.priority, 0, 1, NEW.parts)
    ON CONFLICT DO UPDATE SET n1 = n1 + 1, n2 = n2 + excluded.n2;
END;

-- Parts that are not sent, by the modem they are bound to (0: any).
CREATE VIEW part_count AS
  SELECT a AS test, b AS bound_device, n1 AS ready, n2 AS delayed, n3 AS submitted FROM counter WHERE kind = 'parts';
CREATE TRIGGER part_inserted AFTER INSERT ON part WHEN NEW.state IN ('waiting', 'submitted') BEGIN
  INSERT INTO counter (kind, a, b, c, n1, n2, n3) VALUES ('parts', NEW.test, NEW.bound_device, 0,
      NEW.state = 'waiting' AND NEW.ready, NEW.state = 'waiting' AND NOT NEW.ready, NEW.state = 'submitted')
    ON CONFLICT DO UPDATE SET n1 = n1 + excluded.n1, n2 = n2 + excluded.n2, n3 = n3 + excluded.n3;
END;
CREATE TRIGGER part_deleted AFTER DELETE ON part WHEN OLD.state IN ('waiting', 'submitted') BEGIN
  UPDATE counter SET n1 = n1 - (OLD.state = 'waiting' AND OLD.ready),
      n2 = n2 - (OLD.state = 'waiting' AND NOT OLD.ready), n3 = n3 - (OLD.state = 'submitted')
    WHERE kind = 'parts' AND a = OLD.test AND b = OLD.bound_device AND c = 0;
END;
CREATE TRIGGER part_left AFTER UPDATE OF state, bound_device, ready ON part WHEN OLD.state IN ('waiting', 'submitted') BEGIN
  UPDATE counter SET n1 = n1 - (OLD.state = 'waiting' AND OLD.ready),
      n2 = n2 - (OLD.state = 'waiting' AND NOT OLD.ready), n3 = n3 - (OLD.state = 'submitted')
    WHERE kind = 'parts' AND a = OLD.test AND b = OLD.bound_device AND c = 0;
END;
CREATE TRIGGER part_joined AFTER UPDATE OF state, bound_device, ready ON part WHEN NEW.state IN ('waiting', 'submitted') BEGIN
  INSERT INTO counter (kind, a, b, c, n1, n2, n3) VALUES ('parts', NEW.test, NEW.bound_device, 0,
      NEW.state = 'waiting' AND NEW.ready, NEW.state = 'waiting' AND NOT NEW.ready, NEW.state = 'submitted')
    ON CONFLICT DO UPDATE SET n1 = n1 + excluded.n1, n2 = n2 + excluded.n2, n3 = n3 + excluded.n3;
END;

-- What waits for a time, by days, hours and minutes (width in ms, bucket = time / width), so that everything
-- before a time is a few dozen rows. kind 'part': delayed parts by ready_at and test mode
-- (0, 1); 'message': queued messages that were scheduled, by due_at and test mode * 8 + priority.
CREATE TABLE due_count (
  kind TEXT NOT NULL,
  class INTEGER NOT NULL,
  width INTEGER NOT NULL,
  bucket INTEGER NOT NULL,
  n INTEGER NOT NULL,
  parts INTEGER NOT NULL,
  PRIMARY KEY (kind, class, width, bucket)
) WITHOUT ROWID;
CREATE VIEW due_change AS SELECT '' AS kind, 0 AS class, 0 AS moment, 0 AS n, 0 AS parts;
CREATE TRIGGER due_changed INSTEAD OF INSERT ON due_change BEGIN
  INSERT INTO due_count
    SELECT NEW.kind, NEW.class, column1, NEW.moment / column1, NEW.n, NEW.parts
      FROM (VALUES (86400000), (3600000), (60000)) WHERE 1
    ON CONFLICT DO UPDATE SET n = n + excluded.n, parts = parts + excluded.parts;
  DELETE FROM due_count WHERE kind = NEW.kind AND class = NEW.class AND n = 0 AND (width, bucket) IN
    (SELECT column1, NEW.moment / column1 FROM (VALUES (86400000), (3600000), (60000)));
END;
CREATE TRIGGER part_delayed AFTER INSERT ON part WHEN NEW.state = 'waiting' AND NEW.ready = 0 BEGIN
  INSERT INTO due_change VALUES ('part', NEW.test, NEW.ready_at, 1, 1);
END;
CREATE TRIGGER part_delayed_deleted AFTER DELETE ON part WHEN OLD.state = 'waiting' AND OLD.ready = 0 BEGIN
  INSERT INTO due_change VALUES ('part', OLD.test, OLD.ready_at, -1, -1);
END;
CREATE TRIGGER part_delayed_before AFTER UPDATE OF state, ready, ready_at ON part
WHEN OLD.state = 'waiting' AND OLD.ready = 0 BEGIN
  INSERT INTO due_change VALUES ('part', OLD.test, OLD.ready_at, -1, -1);
END;
CREATE TRIGGER part_delayed_after AFTER UPDATE OF state, ready, ready_at ON part
WHEN NEW.state = 'waiting' AND NEW.ready = 0 BEGIN
  INSERT INTO due_change VALUES ('part', NEW.test, NEW.ready_at, 1, 1);
END;
CREATE INDEX message_scheduled ON message (tenant & 1, due_at) WHERE status = 'queued' AND scheduled_at IS NOT NULL;
CREATE TRIGGER message_scheduled AFTER INSERT ON message
WHEN NEW.status = 'queued' AND NEW.scheduled_at IS NOT NULL BEGIN
  INSERT INTO due_change VALUES ('message', (NEW.tenant & 1) * 8 + NEW.priority, NEW.due_at, 1, NEW.parts);
END;
CREATE TRIGGER message_scheduled_deleted AFTER DELETE ON message
WHEN OLD.status = 'queued' AND OLD.scheduled_at IS NOT NULL BEGIN
  INSERT INTO due_change VALUES ('message', (OLD.tenant & 1) * 8 + OLD.priority, OLD.due_at, -1, -OLD.parts);
END;
CREATE TRIGGER message_scheduled_before AFTER UPDATE OF status, parts, due_at, scheduled_at ON message
WHEN OLD.status = 'queued' AND OLD.scheduled_at IS NOT NULL BEGIN
  INSERT INTO due_change VALUES ('message', (OLD.tenant & 1) * 8 + OLD.priority, OLD.due_at, -1, -OLD.parts);
END;
CREATE TRIGGER message_scheduled_after AFTER UPDATE OF status, parts, due_at, scheduled_at ON message
WHEN NEW.status = 'queued' AND NEW.scheduled_at IS NOT NULL BEGIN
  INSERT INTO due_change VALUES ('message', (NEW.tenant & 1) * 8 + NEW.priority, NEW.due_at, 1, NEW.parts);
END;

-- Live messages that wait, by recipient. Kept since the first message for a SIM with a cap on recipients
-- (meta: recipients_counted); without such a cap it would cost a page write per message for nothing.
CREATE TABLE queued_recipient (recipient TEXT PRIMARY KEY, messages INTEGER NOT NULL) WITHOUT ROWID;
CREATE TRIGGER recipient_inserted AFTER INSERT ON message
WHEN NEW.status = 'queued' AND NEW.tenant & 1 = 0
  AND EXISTS (SELECT 1 FROM meta WHERE key = 'recipients_counted') BEGIN
  INSERT INTO queued_recipient VALUES (NEW.recipient, 1) ON CONFLICT DO UPDATE SET messages = messages + 1;
END;
CREATE TRIGGER recipient_deleted AFTER DELETE ON message
WHEN OLD.status = 'queued' AND OLD.tenant & 1 = 0
  AND EXISTS (SELECT 1 FROM meta WHERE key = 'recipients_counted') BEGIN
  UPDATE queued_recipient SET messages = messages - 1 WHERE recipient = OLD.recipient;
  DELETE FROM queued_recipient WHERE recipient = OLD.recipient AND messages = 0;
END;
CREATE TRIGGER recipient_before AFTER UPDATE OF status, recipient ON message
WHEN OLD.status = 'queued' AND OLD.tenant & 1 = 0
  AND EXISTS (SELECT 1 FROM meta WHERE key = 'recipients_counted') BEGIN
  UPDATE queued_recipient SET messages = messages - 1 WHERE recipient = OLD.recipient;
  DELETE FROM queued_recipient WHERE recipient = OLD.recipient AND messages = 0;
END;
CREATE TRIGGER recipient_after AFTER UPDATE OF status, recipient ON message
WHEN NEW.status = 'queued' AND NEW.tenant & 1 = 0
  AND EXISTS (SELECT 1 FROM meta WHERE key = 'recipients_counted') BEGIN
  INSERT INTO queued_recipient VALUES (NEW.recipient, 1) ON CONFLICT DO UPDATE SET messages = messages + 1;
END;

-- How many numbers a SIM has written to in a billing month, and how many of these have waiting messages. The
-- row with the empty name counts all numbers with waiting messages.
CREATE VIEW recipient_count AS
  SELECT a AS sim, b AS month, n1 AS recipients, n2 AS queued FROM counter WHERE kind = 'month';
INSERT INTO counter (kind, a, b, c) VALUES ('month', '', 0, 0);
CREATE TRIGGER recipient_known AFTER INSERT ON sim_recipient BEGIN
  INSERT INTO counter (kind, a, b, c, n1, n2) VALUES ('month', NEW.sim, NEW.month, 0, 1,
      EXISTS (SELECT 1 FROM queued_recipient WHERE recipient = NEW.recipient))
    ON CONFLICT DO UPDATE SET n1 = n1 + 1, n2 = n2 + excluded.n2;
END;
CREATE TRIGGER recipient_forgotten AFTER DELETE ON sim_recipient BEGIN
  UPDATE counter SET n1 = n1 - 1,
      n2 = n2 - EXISTS (SELECT 1 FROM queued_recipient WHERE recipient = OLD.recipient)
    WHERE kind = 'month' AND a = OLD.sim AND b = OLD.month AND c = 0;
  DELETE FROM counter WHERE kind = 'month' AND a = OLD.sim AND b = OLD.month AND c = 0 AND n1 = 0;
END;
CREATE TRIGGER recipient_waits AFTER INSERT ON queued_recipient BEGIN
  UPDATE counter SET n2 = n2 + 1 WHERE kind = 'month' AND (a, b) IN
    (SELECT sim, month FROM sim_recipient WHERE recipient = NEW.recipient UNION ALL SELECT '', 0);
END;
CREATE TRIGGER recipient_waits_no_more AFTER DELETE ON queued_recipient BEGIN
  UPDATE counter SET n2 = n2 - 1 WHERE kind = 'month' AND (a, b) IN
    (SELECT sim, month FROM sim_recipient WHERE recipient = OLD.recipient UNION ALL SELECT '', 0);
END;

-- Open deliveries: due, or behind an earlier one.
CREATE TABLE delivery_count (state TEXT PRIMARY KEY, n INTEGER NOT NULL) WITHOUT ROWID;
CREATE TRIGGER delivery_inserted AFTER INSERT ON delivery BEGIN
  INSERT INTO delivery_count VALUES (NEW.state, 1) ON CONFLICT DO UPDATE SET n = n + 1;
END;
CREATE TRIGGER delivery_deleted AFTER DELETE ON delivery BEGIN
  UPDATE delivery_count SET n = n - 1 WHERE state = OLD.state;
END;
CREATE TRIGGER delivery_changed AFTER UPDATE OF state ON delivery WHEN NEW.state != OLD.state BEGIN
  UPDATE delivery_count SET n = n - 1 WHERE state = OLD.state;
  INSERT INTO delivery_count VALUES (NEW.state, 1) ON CONFLICT DO UPDATE SET n = n + 1;
END;
-- Attempts in the log of a client.
CREATE TABLE delivery_log_count (tenant INTEGER PRIMARY KEY, n INTEGER NOT NULL);
CREATE TRIGGER delivery_log_inserted AFTER INSERT ON delivery_log BEGIN
  INSERT INTO delivery_log_count VALUES (NEW.tenant, 1) ON CONFLICT DO UPDATE SET n = n + 1;
END;
CREATE TRIGGER delivery_log_deleted AFTER DELETE ON delivery_log BEGIN
  UPDATE delivery_log_count SET n = n - 1 WHERE tenant = OLD.tenant;
END;

-- Grows with every change to keys, clients and devices. Code that keeps them in memory checks it first, so that
-- a key revoked by the command line is refused at once (docs/adr/0028-keys-in-memory-by-version.md).
CREATE TABLE access_version (version INTEGER NOT NULL);
INSERT INTO access_version VALUES (0);
CREATE TRIGGER api_key_inserted AFTER INSERT ON api_key BEGIN UPDATE access_version SET version = version + 1; END;
CREATE TRIGGER api_key_deleted AFTER DELETE ON api_key BEGIN UPDATE access_version SET version = version + 1; END;
-- Without last_used_at, which is for people only.
CREATE TRIGGER api_key_changed AFTER UPDATE OF id, client, test, smpp, hash, permissions, expires_at, revoked_at ON api_key
  BEGIN UPDATE access_version SET version = version + 1; END;
CREATE TRIGGER client_inserted AFTER INSERT ON client BEGIN UPDATE access_version SET version = version + 1; END;
CREATE TRIGGER client_deleted AFTER DELETE ON client BEGIN UPDATE access_version SET version = version + 1; END;
CREATE TRIGGER client_changed AFTER UPDATE ON client BEGIN UPDATE access_version SET version = version + 1; END;
CREATE TRIGGER device_inserted AFTER INSERT ON device BEGIN UPDATE access_version SET version = version + 1; END;
CREATE TRIGGER device_deleted AFTER DELETE ON device BEGIN UPDATE access_version SET version = version + 1; END;
CREATE TRIGGER device_changed AFTER UPDATE ON device BEGIN UPDATE access_version SET version = version + 1; END;
CREATE TRIGGER kept_for_inserted AFTER INSERT ON kept_for BEGIN UPDATE access_version SET version = version + 1; END;
CREATE TRIGGER kept_for_deleted AFTER DELETE ON kept_for BEGIN UPDATE access_version SET version = version + 1; END;
CREATE TRIGGER kept_for_changed AFTER UPDATE ON kept_for BEGIN UPDATE access_version SET version = version + 1; END;
CREATE TRIGGER device_alias_inserted AFTER INSERT ON device_alias BEGIN UPDATE access_version SET version = version + 1; END;
CREATE TRIGGER device_alias_deleted AFTER DELETE ON device_alias BEGIN UPDATE access_version SET version = version + 1; END;
CREATE TRIGGER device_alias_changed AFTER UPDATE ON device_alias BEGIN UPDATE access_version SET version = version + 1; END;
