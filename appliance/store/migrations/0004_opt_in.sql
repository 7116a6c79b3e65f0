-- An opt-out holds for the clients of the SIM it was said to; each of them may be asked back by itself.

-- Who was asked back: the opt-out that is every client's does not hold for this one. The next STOP ends it.
CREATE TABLE opt_in (
  scope INTEGER NOT NULL,
  number TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  PRIMARY KEY (scope, number)
) WITHOUT ROWID;

-- A modem that was named stays named when its message is finished, and is the one again when it is resent.
ALTER TABLE history ADD COLUMN pinned INTEGER NOT NULL DEFAULT 0;

-- How often its message had been resent before this try: a report for an earlier round speaks of all of it.
ALTER TABLE try ADD COLUMN round INTEGER NOT NULL DEFAULT 0;
