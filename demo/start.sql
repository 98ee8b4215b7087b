-- # The guard
--
-- One command guards this database, at once and in every session. From now on
-- DDL that would block others while it works on more than a million rows
-- (migration_guard.block_rows) is refused.

CREATE EXTENSION migration_guard;
