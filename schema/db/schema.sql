-- dc.db, version 1: everything durable of a Direction Coordinator. This file is the truth; the
-- store compiles it in, and every migration must end at exactly these tables.
--
-- Names are BLOBs: reversed keys (root-most label first, each ended by 0x00; libntm/base/name.hpp),
-- compared as bytes, so a zone or a subtree is one range. Addresses are BLOBs of 4 or 16 bytes.
-- Ids come from the caller; 64-bit ones are stored as the signed integer with the same bits.
-- Times are microseconds since 1970, UTC, from the caller; nothing is ordered by them.
-- Plain SQL on purpose: a PostgreSQL store has the same tables.

-- One row. The version is also in PRAGMA user_version, which can be read before any table.
-- `history` names this line of commits; a restored copy gets another, so that cursors of the feed
-- that were taken before the restore are recognised.
CREATE TABLE store (
  only_row INTEGER NOT NULL PRIMARY KEY CHECK (only_row = 1),
  schema_version INTEGER NOT NULL,
  history BLOB NOT NULL CHECK (length(history) = 8)
) STRICT;

-- `changes` grows with every change of the zone's ordinary rows. `live` is the generation of
-- record rows that is served: a whole zone is staged under another one and switched. `bumped` is
-- the feed's position at the last serial bump: what came later asks for the next bump, so a move
-- of a terminal need not touch this row.
CREATE TABLE zone (
  id INTEGER NOT NULL PRIMARY KEY,
  apex BLOB NOT NULL UNIQUE,
  kind INTEGER NOT NULL,           -- 0 native, 1 primary, 2 secondary
  serial INTEGER NOT NULL,
  changes INTEGER NOT NULL,
  live INTEGER NOT NULL,
  bumped INTEGER NOT NULL,
  has_terminals INTEGER NOT NULL,
  peer_policy INTEGER NOT NULL,    -- 0 tofu, 1 dnssec, 2 closed
  publish_behind_nat INTEGER NOT NULL,
  virtual6 TEXT,                   -- fd00:1:2::/48
  pools4 TEXT NOT NULL,            -- 198.18.0.0/20 198.19.16.0/20
  dc_endpoints TEXT NOT NULL,      -- 192.0.2.1:4753 [2001:db8::1]:4753
  dc_key BLOB NOT NULL,
  dc_next_key BLOB
) STRICT;

-- Ordinary rows; a terminal's name is one of type 0 (the name exists, nothing is stored at it).
-- rdata is in wire form without compression; the serial inside an SOA is zero here and filled in
-- from the zone by the reader.
CREATE TABLE record (
  zone INTEGER NOT NULL,
  generation INTEGER NOT NULL,
  name BLOB NOT NULL,
  type INTEGER NOT NULL,
  rdata BLOB NOT NULL,
  ttl INTEGER NOT NULL,
  auth INTEGER NOT NULL,
  disabled INTEGER NOT NULL,
  ordername TEXT,
  PRIMARY KEY (zone, generation, name, type, rdata)
) STRICT, WITHOUT ROWID;

-- Written when a terminal is created and when it is enrolled, never when it moves.
CREATE TABLE terminal (
  id INTEGER NOT NULL PRIMARY KEY,
  zone INTEGER NOT NULL,
  name BLOB NOT NULL UNIQUE,
  virtual4 BLOB,
  virtual6 BLOB,
  key BLOB,
  next_key BLOB,
  created INTEGER NOT NULL
) STRICT;
CREATE INDEX terminal_zone ON terminal (zone, name);
CREATE UNIQUE INDEX terminal_key ON terminal (key) WHERE key IS NOT NULL;
CREATE UNIQUE INDEX terminal_virtual4 ON terminal (virtual4) WHERE virtual4 IS NOT NULL;
CREATE UNIQUE INDEX terminal_virtual6 ON terminal (virtual6) WHERE virtual6 IS NOT NULL;

-- Where a terminal is: the only row a move writes. No index but the key: every further one would
-- be written with each move. NULL real address: not on that family.
CREATE TABLE location (
  terminal INTEGER NOT NULL PRIMARY KEY,
  counter INTEGER NOT NULL,
  digest BLOB NOT NULL,
  flags INTEGER NOT NULL,
  suites INTEGER NOT NULL,
  real4 BLOB, real4_port INTEGER NOT NULL,
  outside4 BLOB, outside4_port INTEGER NOT NULL, behind_nat4 INTEGER NOT NULL,
  real6 BLOB, real6_port INTEGER NOT NULL,
  outside6 BLOB, outside6_port INTEGER NOT NULL, behind_nat6 INTEGER NOT NULL,
  updated INTEGER NOT NULL
) STRICT;

-- Enrolment tokens: the PSK, never the secret that it comes from. `bound_key` is the key that
-- burnt the last use, so that the same request again gets the same answer.
CREATE TABLE token (
  id INTEGER NOT NULL PRIMARY KEY,
  purpose INTEGER NOT NULL,        -- 0 terminal, 1 relay
  subject BLOB NOT NULL,
  psk BLOB NOT NULL,
  expires INTEGER NOT NULL,
  uses_left INTEGER NOT NULL,
  bound_key BLOB
) STRICT;
CREATE INDEX token_subject ON token (subject);

CREATE TABLE relay (
  id INTEGER NOT NULL PRIMARY KEY,
  name BLOB NOT NULL UNIQUE,
  key BLOB,
  drained INTEGER NOT NULL
) STRICT;

CREATE TABLE peer_dc (
  zone BLOB NOT NULL PRIMARY KEY,
  key BLOB NOT NULL,
  listed INTEGER NOT NULL,
  first_seen INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Blocks of ids and addresses: the first value that was never given out.
CREATE TABLE block (
  counter TEXT NOT NULL PRIMARY KEY,
  next INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- One row a commit: what it changed (libntm/store/feed.hpp). `total` counts all changes up to and
-- with this row. Kept: the newest million rows and the newest four million changes.
CREATE TABLE feed (
  seq INTEGER NOT NULL PRIMARY KEY,
  total INTEGER NOT NULL,
  items BLOB NOT NULL
) STRICT;
