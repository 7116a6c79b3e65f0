-- For whom the settings keep a modem. In the place of device_client, which could not name a client that is
-- made later: such a modem was everybody's until then. Read from the settings at every start.
CREATE TABLE kept_for (
  device INTEGER NOT NULL REFERENCES device,
  client INTEGER NOT NULL,            -- of a client that there may not be, or not any more
  PRIMARY KEY (device, client)
) WITHOUT ROWID;
INSERT INTO kept_for SELECT device, client FROM device_client;

-- The SIM it was last seen with (ICCID): limits set on the page go with the SIM into another modem.
ALTER TABLE device ADD COLUMN sim TEXT NOT NULL DEFAULT '';

-- What waits for one modem alone, to find what waits for one that was removed.
CREATE INDEX part_pinned ON part (pin) WHERE state = 'waiting' AND pin != 0;
