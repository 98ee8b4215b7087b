-- # Story 1: a foreign key on a table with millions of rows
--
-- Messages get a push notification token. This is what Django wrote, in one
-- transaction. Without a guard, nobody could read chat_message until the index
-- is built.

BEGIN;
ALTER TABLE "chat_message"
  ADD COLUMN "push_notification_token_id" integer NULL
  CONSTRAINT "chat_message_push_fk"
  REFERENCES "chat_pushnotificationtoken"("id") DEFERRABLE INITIALLY DEFERRED;
SET CONSTRAINTS "chat_message_push_fk" IMMEDIATE;
CREATE INDEX "chat_message_push_idx"
  ON "chat_message" ("push_notification_token_id");
ROLLBACK;

-- The first statement passed: a new column without a default is a matter of the
-- catalog. The index was refused before it requested a lock. explain() tells
-- beforehand, and runs nothing:

SELECT relation, lock_mode, blocks, scan, index_builds AS idx
FROM migration_guard.explain($$
BEGIN;
ALTER TABLE "chat_message"
  ADD COLUMN "push_notification_token_id" integer NULL
  CONSTRAINT "chat_message_push_fk"
  REFERENCES "chat_pushnotificationtoken"("id") DEFERRABLE INITIALLY DEFERRED;
CREATE INDEX "chat_message_push_idx"
  ON "chat_message" ("push_notification_token_id");
COMMIT;
$$);

-- The safe way is to split it: the column in a transaction of its own, then the
-- index without blocking anybody. check() has nothing to say about that ...

SELECT verdict, rule, message FROM migration_guard.check($$
ALTER TABLE "chat_message"
  ADD COLUMN "push_notification_token_id" integer NULL
  CONSTRAINT "chat_message_push_fk"
  REFERENCES "chat_pushnotificationtoken"("id") DEFERRABLE INITIALLY DEFERRED;
CREATE INDEX CONCURRENTLY "chat_message_push_idx"
  ON "chat_message" ("push_notification_token_id");
$$);

-- ... and it passes:

ALTER TABLE "chat_message"
  ADD COLUMN "push_notification_token_id" integer NULL
  CONSTRAINT "chat_message_push_fk"
  REFERENCES "chat_pushnotificationtoken"("id") DEFERRABLE INITIALLY DEFERRED;
CREATE INDEX CONCURRENTLY "chat_message_push_idx"
  ON "chat_message" ("push_notification_token_id");

-- So does the other design, a table between the two: its foreign key scans
-- nothing, as the table is new.

SELECT relation, lock_mode, blocks, scan FROM migration_guard.explain($$
CREATE TABLE chat_message_push (
  message_id bigint NOT NULL UNIQUE REFERENCES chat_message (id),
  token_id integer NOT NULL REFERENCES chat_pushnotificationtoken (id));
$$);
