-- admin.db, version 1: what only the director may read (mode 0600). The tables of users, tokens
-- and sessions come with the REST API; the file and its version exist from the start so that
-- packages can own it and the first of those versions finds a database to migrate.
CREATE TABLE store (
  only_row INTEGER NOT NULL PRIMARY KEY CHECK (only_row = 1),
  schema_version INTEGER NOT NULL
) STRICT;
