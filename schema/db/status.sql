-- status.db, version 1: what may be lost. Written outside registrations, by its own thread, without
-- waiting for the disk; a damaged file is put aside and begun anew.
CREATE TABLE store (
  only_row INTEGER NOT NULL PRIMARY KEY CHECK (only_row = 1),
  schema_version INTEGER NOT NULL
) STRICT;

-- The newest 64 moves of each terminal, numbered per terminal.
CREATE TABLE move (
  terminal INTEGER NOT NULL,
  number INTEGER NOT NULL,
  at INTEGER NOT NULL,
  flags INTEGER NOT NULL,
  outside4 TEXT NOT NULL,          -- 192.0.2.1:4753, empty = not on this family
  outside6 TEXT NOT NULL,
  behind_nat INTEGER NOT NULL,     -- bit 0: IPv4, bit 1: IPv6
  PRIMARY KEY (terminal, number)
) STRICT, WITHOUT ROWID;

-- The newest million events, at most 30 days back from the newest.
CREATE TABLE event (
  number INTEGER NOT NULL PRIMARY KEY,
  at INTEGER NOT NULL,
  kind TEXT NOT NULL,
  subject TEXT NOT NULL,
  text TEXT NOT NULL
) STRICT;

CREATE TABLE counter (
  name TEXT NOT NULL PRIMARY KEY,
  value INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
