-- # Story 2: users must link to their teams
--
-- A column, then a foreign key: every row of users_user is looked up in
-- teams_team, while nobody can write to either.

ALTER TABLE users_user ADD COLUMN team_id integer;
ALTER TABLE users_user ADD CONSTRAINT fk_users_team
  FOREIGN KEY (team_id) REFERENCES teams_team (id);

SELECT relation, lock_mode, blocks, scan, rows
FROM migration_guard.explain($$
ALTER TABLE users_user ADD CONSTRAINT fk_users_team
  FOREIGN KEY (team_id) REFERENCES teams_team (id);
$$);

-- The safe way: the index first, the constraint NOT VALID, and the validation
-- later, under a lock that nobody notices.

CREATE INDEX CONCURRENTLY users_user_team_idx ON users_user (team_id);
ALTER TABLE users_user ADD CONSTRAINT fk_users_team
  FOREIGN KEY (team_id) REFERENCES teams_team (id) NOT VALID;
ALTER TABLE users_user VALIDATE CONSTRAINT fk_users_team;

-- But not in one transaction, which would keep the strong lock while it scans:

SELECT statement, verdict, rule, sqlstate FROM migration_guard.check($$
BEGIN;
ALTER TABLE users_user ADD CONSTRAINT fk_users_first_team
  FOREIGN KEY (team_id) REFERENCES teams_team (id) NOT VALID;
ALTER TABLE users_user VALIDATE CONSTRAINT fk_users_first_team;
COMMIT;
$$);

-- Would a wider column rewrite the table, and what happens to its indexes?

SELECT relation, lock_mode, rewrite, index_builds, bytes
FROM migration_guard.explain('ALTER TABLE users_user ALTER id TYPE bigint');

-- A longer varchar is free:

SELECT relation, lock_mode, rewrite, index_builds, bytes
FROM migration_guard.explain(
  'ALTER TABLE users_user ALTER email TYPE varchar(300)');

-- And to get rid of bloat?

VACUUM FULL users_user;
